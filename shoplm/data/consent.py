"""Consent: whose rows a model may learn from. The rule stands here, and only here.

    use                                      withheld by
    learning, judging, histories             consent_analytics = false, or consent_personalization = false
    learning from and judging on ``ads``     consent_ads = false, too
    counting (check), export, erase          nothing: they change nobody's answers, or serve the person

A shopper who has said neither yes nor no follows the shop's ``unknown_consent`` (granted, unless settled otherwise). What
one of a person's ids withholds, all ids that ``same_as`` relations tie to it withhold. A conversation is withheld whole.
Rows that name nobody are nobody's to withhold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from shoplm.data import privacy
from shoplm.data.shop import Shop
from shoplm.data.view import View

_REFUSES = "consent_analytics = false OR consent_personalization = false"
_GRANTS = "coalesce(consent_analytics, false) AND coalesce(consent_personalization, false)"
_NAMED = (
    ("events", "user_id"), ("events", "user_pseudo_id"), ("reviews", "user_id"), ("chats", "user_id"), ("orders", "user_id"), ("ads", "user_id"),
    ("users", "user_id"),
)  # fmt: skip
"""Where a shopper or a device is named."""


def learnable(shop: Shop) -> View:
    """The shop as it may be learnt from: its newest version without the rows of those who withhold them.

    Every table and every SQL query of the view and its parts lacks them, so neither moments nor histories hold them.
    """
    view = shop.view()
    withheld = barred(view, privacy.settings(shop).unknown_consent == "denied")
    return view.without(withheld) if withheld else view


def barred(view: View, unknown_denied: bool) -> dict[tuple[str, str], pa.Array]:
    """Whose rows may not be learnt from: by table and column, the values that bar a row."""
    people = _people(view, _REFUSES, _GRANTS, unknown_denied)
    for_ads = _people(view, f"{_REFUSES} OR consent_ads = false", f"{_GRANTS} AND coalesce(consent_ads, false)", unknown_denied)
    found = {
        place: pa.array(sorted(for_ads if place[0] == "ads" else people), pa.string())
        for place in _NAMED
        if view.has(place[0]) and (for_ads if place[0] == "ads" else people)
    }
    if people and view.has("chats"):
        talks = view.sql("SELECT DISTINCT conversation_id, user_id FROM chats WHERE user_id IS NOT NULL")
        theirs = {
            talk for talk, who in zip(talks["conversation_id"].to_pylist(), talks["user_id"].to_pylist(), strict=True) if who in people
        }
        found["chats", "conversation_id"] = pa.array(sorted(theirs), pa.string())
    return found


def _people(view: View, refuses: str, grants: str, unknown_denied: bool) -> set[str]:
    refused = set(_ids(view, f"SELECT user_id AS id FROM users WHERE {refuses}"))
    if not refused and not unknown_denied:
        return set()
    same = _tied(view)
    refused = {other for one in refused for other in same.get(one, {one})}
    if not unknown_denied:
        return refused
    granted = set(_ids(view, f"SELECT user_id AS id FROM users WHERE {grants}"))
    granted = {other for one in granted for other in same.get(one, {one})} - refused
    everybody: set[str] = set()
    for table, column in _NAMED:
        if view.has(table):  # a device counts where nobody was logged in; else the shopper's own word holds
            alone = " AND user_id IS NULL" if column == "user_pseudo_id" else ""
            everybody.update(_ids(view, f"SELECT DISTINCT {column} AS id FROM {table} WHERE {column} IS NOT NULL{alone}"))
    return (everybody | refused) - granted


def _ids(view: View, query: str) -> Iterable[str]:
    names: list[str] = view.sql(query)["id"].to_pylist()
    return names


def _tied(view: View) -> Mapping[str, set[str]]:
    """Each id that a ``same_as`` relation names, with all ids of the same person."""
    if not view.has("relations"):
        return {}
    pairs = view.sql("SELECT head, tail FROM relations WHERE relation = 'same_as' AND NOT coalesce(undone, false)")
    groups: dict[str, set[str]] = {}
    for head, tail in zip(pairs["head"].to_pylist(), pairs["tail"].to_pylist(), strict=True):
        one, other = groups.setdefault(head, {head}), groups.setdefault(tail, {tail})
        if one is not other:
            small, large = sorted((one, other), key=len)
            large |= small
            for member in small:
                groups[member] = large
    return groups
