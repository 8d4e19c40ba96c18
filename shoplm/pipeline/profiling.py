"""profile: one shopper's rows out of a shop, as they were known at a moment, and what may be said from them.

Rows of those who withhold consent are not there at all (``data.consent``), nor those of people who were erased; whoever is left
without a row is unknown, in one line. Time is cut by ``_before`` alone: only what happened strictly before the moment is read, for the
shopper and for those with whom they are compared.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shoplm.apps.profile import DISLIKED, LIKED, SIGNS, Act, Claim, Profile, Review, drawn, written
from shoplm.data import persons, privacy
from shoplm.data.consent import learnable
from shoplm.data.convert import name_in_sql, text_in_sql
from shoplm.data.shop import Shop
from shoplm.data.view import View
from shoplm.errors import BundleError, DataError
from shoplm.evaluate.profile_page import ProfilePage, Told, write_page
from shoplm.pipeline.bundle import Bundle, load
from shoplm.retrieve.words import read
from shoplm.text.render import clean

FACETS: Mapping[str, str] = {
    "kind": "coalesce(product_type, google_product_category)", "brand": "brand", "color": "color", "material": "material", "pattern": "pattern",
    "gender": "gender",
}  # fmt: skip
"""What a product is, in SQL over the products."""
WORDS = 3
"""Words of a review that are told where no aspects are known."""
LEAST = 2.0
"""Standard deviations that such a word must lean its review's way."""
SENTIMENT = "sentiment"


def profiled(
    shop: str | Path | Shop, user_id: str, *, bundle: str | Path | Bundle | None = None, at: str | datetime | None = None
) -> Profile:
    """What may be said of a shopper.

    Args:
        shop: its folder, or itself.
        user_id: any id of the person; ``same_as`` relations are followed.
        bundle: one with the task ``sentiment``, by whose aspects reviews are read; None = by their stars and words.
        at: the moment, ISO 8601 (UTC where it says no zone); None = after the newest act of the shop.

    Raises:
        DataError: nothing is known of the shopper that may be used, or ``at`` is no moment.
        BundleError: ``bundle`` cannot be used, or has no ``sentiment``.
    """
    where = shop if isinstance(shop, Shop) else Shop(Path(shop))
    view = learnable(where)
    who = persons.person(view, privacy.stored_name(where, user_id, os.environ))
    moment = _newest(view) + 1 if at is None else _moment(at)
    ids = _listed(who.ids)
    notes: list[str] = []
    acts = _acts(view, ids, moment)
    reviews = _reviews(view, ids, moment, bundle, notes)
    if not acts and not reviews:
        raise DataError(
            f"{where.path}: nothing is known of `{user_id}`{'' if at is None else f' before {written(moment)}'} that may be used "
            "(unknown, erased, or consent withheld); give the id of a shopper with acts"
        )
    usual, paid = _usual(view, moment), _paid(view, moment)
    return drawn(user_id, who.ids, acts, reviews, usual=usual, paid=paid, currency=_currency(view), at_us=moment, notes=notes)


def profile(
    shop: str | Path | Shop, user_id: str, *, bundle: str | Path | Bundle | None = None, at: str | datetime | None = None
) -> dict[str, Any]:
    """``shoplm.profile``: as ``profiled``, in plain values.

    Raises:
        DataError: nothing is known of the shopper that may be used, or ``at`` is no moment.
        BundleError: ``bundle`` cannot be used, or has no ``sentiment``.
    """
    return profiled(shop, user_id, bundle=bundle, at=at).plain()


def write_profile(found: Profile, path: Path) -> None:
    """The page of a profile.

    Raises:
        ResourceError: the disk is full or the place cannot be written.
    """
    numbers = {"acts": f"{found.acts:,}"}
    if found.rhythm is not None:
        numbers |= {"days with a purchase": f"{found.rhythm.orders:,}", f"spent {found.currency}".strip(): f"{found.rhythm.spent:,.2f}",
                    "days since the last act": f"{found.rhythm.recency_days:,.0f}"}  # fmt: skip
    if found.price is not None:
        numbers["prices paid, quartiles"] = f"{found.price.low:g} to {found.price.high:g}"
    by_facet: dict[str, list[Claim]] = {}
    for claim in found.tastes:
        by_facet.setdefault(claim.what, []).append(claim)
    sections = {f"Taste: {facet}": [_told(claim) for claim in claims] for facet, claims in by_facet.items()}
    if found.price is not None:
        place = "" if found.price.place is None else f", at {found.price.place:.0%} of what others pay for the same kinds"
        sections["Price"] = [
            Told(f"{found.price.words}{place}", f"{found.price.purchases:,} purchases", [_line(act) for act in found.price.evidence])
        ]
    sections |= {
        "Likes, in own reviews": [_told(claim) for claim in found.liked],
        "Dislikes, in own reviews": [_told(claim) for claim in found.disliked],
        "Searches": [_told(claim) for claim in found.searches],
    }
    facts = {"as known at": written(found.at_us), "ids": ", ".join(found.ids), "half-life of a taste": "90 days"}
    write_page(ProfilePage(found.user_id, _verdict(found), numbers, sections, found.months, found.over_time, facts, found.notes), path)


def in_words(found: Profile) -> str:
    """A profile as lines for a terminal."""
    lines = [f"{found.user_id}: {_verdict(found)}"]
    for claim in found.tastes:
        newest = _line(claim.evidence[0])
        lines.append(f"  {claim.what:<9} {claim.value}: {_share(claim)} ({newest})")
    if found.price is not None:
        place = "" if found.price.place is None else f", at {found.price.place:.0%} of what others pay for the same kinds"
        lines.append(
            f"  price     {found.price.low:g} to {found.price.high:g} {found.currency}, {found.price.words}{place} ({found.price.purchases} purchases)"
        )
    lines += [f"  {claim.what:<9} {claim.value} ({_line(claim.evidence[0])})" for claim in (*found.liked, *found.disliked)]
    lines += [f"  searched  {claim.value}, {claim.acts}× ({_line(claim.evidence[0])})" for claim in found.searches]
    if found.rhythm is not None:
        often = "" if found.rhythm.between_days is None else f", {found.rhythm.between_days:g} days apart"
        lines.append(
            f"  rhythm    last act {found.rhythm.recency_days:g} days ago, bought on {found.rhythm.orders} days{often}, "
            f"spent {found.rhythm.spent:,.2f} {found.currency}, gave back {found.rhythm.returned}"
        )
    return "\n".join([*lines, *(f"note: {note}" for note in found.notes)])


def _verdict(found: Profile) -> str:
    foremost = [claim.value.split(" > ")[-1] for claim in found.tastes if claim.what in ("kind", "brand")][:3]
    said = f"mostly {', '.join(foremost)}" if foremost else "too little is known for a taste"
    return f"{said}; {found.acts:,} acts" + (f" since {written(found.rhythm.since_us)[:10]}" if found.rhythm else "")


def _told(claim: Claim) -> Told:
    return Told(claim.value, _share(claim), [_line(act) for act in claim.evidence])


def _share(claim: Claim) -> str:
    share = "" if claim.share is None else f"{claim.share:.0%}" + ("" if claim.usual is None else f", usually {claim.usual:.0%}") + ", "
    return f"{share}{claim.acts} {'act' if claim.acts == 1 else 'acts'}"


def _line(act: Act) -> str:
    return f"{written(act.at_us)[:10]} {act.name} {act.about} [{act.id}]"


def _moment(at: str | datetime) -> int:
    try:
        found = at if isinstance(at, datetime) else datetime.fromisoformat(at.strip().replace("Z", "+00:00"))
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found
        return int((found - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)
    except (ValueError, OverflowError):
        raise DataError(f"--at {at}: expected a moment such as 2026-03-01 or 2026-03-01T12:00:00Z") from None


def _newest(view: View) -> int:
    """The newest moment at which something happened, in UTC microseconds."""
    times = [
        view.sql(f"SELECT epoch_us(max({clock})) AS t FROM {table}")["t"][0].as_py()
        for table, clock in (("events", "event_time"), ("reviews", "created_at"))
        if view.has(table)
    ]
    return max((int(one) for one in times if one is not None), default=0)


def _before(clock: str, at_us: int) -> str:
    """The one condition that cuts time."""
    return f"epoch_us({clock}) < {at_us}"


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(map(text_in_sql, ids))


def _acts(view: View, ids: str, at_us: int) -> list[Act]:
    """What a person did before the moment, oldest first, each with what its product is."""
    if not view.has("events"):
        return []
    facets = ", ".join(f"{sql} AS facet_{name}" for name, sql in FACETS.items())
    rows = view.sql(
        f"""SELECT event_id, epoch_us(event_time) AS at_us, event_name, item_id, e.price AS price, coalesce(quantity, 1) AS quantity,
                   search_term, title, facet_{", facet_".join(FACETS)}
            FROM (SELECT * FROM events WHERE (user_id IN ({ids}) OR (user_id IS NULL AND user_pseudo_id IN ({ids}))) AND {_before("event_time", at_us)}) AS e
            LEFT JOIN (SELECT id, title, {facets} FROM products) AS p ON e.item_id = p.id
            ORDER BY event_time, event_seq, event_id"""
    )
    return [
        Act(
            row["event_id"], int(row["at_us"]), row["event_name"], clean(row["search_term"] or row["title"] or row["item_id"]), row["item_id"],
            None if row["price"] is None else float(row["price"]), float(row["quantity"]),
            {name: clean(row[f"facet_{name}"]) for name in FACETS if row[f"facet_{name}"]},
        )
        for row in rows.to_pylist()
    ]  # fmt: skip


def _usual(view: View, at_us: int) -> dict[str, dict[str, float]]:
    """Of each facet the shares of its values among everybody's acts before the moment."""
    if not view.has("events"):
        return {name: {} for name in FACETS}
    named = ", ".join(f"({text_in_sql(name)}, {weight})" for name, weight in SIGNS.items())
    found: dict[str, dict[str, float]] = {}
    for name, sql in FACETS.items():
        rows = view.sql(
            f"""SELECT value, sum(weight) AS said FROM events JOIN (VALUES {named}) AS signs(sign, weight) ON event_name = sign
                JOIN (SELECT id, {sql} AS value FROM products) AS p ON item_id = p.id
                WHERE value IS NOT NULL AND {_before("event_time", at_us)} GROUP BY value"""
        )
        said = dict(zip(map(clean, rows["value"].to_pylist()), map(float, rows["said"].to_pylist()), strict=True))
        whole = sum(said.values())
        found[name] = {value: one / whole for value, one in said.items()}
    return found


def _paid(view: View, at_us: int) -> dict[str, list[float]]:
    """Of each kind the prices that everybody paid before the moment, ascending."""
    if not view.has("events") or not view.has("products"):
        return {}
    rows = view.sql(
        f"""SELECT kind, list(cast(e.price AS double) ORDER BY e.price) AS prices
            FROM (SELECT item_id, price FROM events WHERE event_name = 'purchase' AND price IS NOT NULL AND {_before("event_time", at_us)}) AS e
            JOIN (SELECT id, {FACETS["kind"]} AS kind FROM products) AS p ON e.item_id = p.id WHERE kind IS NOT NULL GROUP BY kind"""
    )
    return dict(zip(map(clean, rows["kind"].to_pylist()), rows["prices"].to_pylist(), strict=True))


def _currency(view: View) -> str:
    if not view.has("products"):
        return ""
    found = view.sql("SELECT coalesce(mode(currency), '') AS c FROM products")["c"].to_pylist()
    return str(found[0] or "")


def _reviews(view: View, ids: str, at_us: int, bundle: str | Path | Bundle | None, notes: list[str]) -> list[Review]:
    """What a person wrote before the moment, oldest first, and what it says of what."""
    told = None if bundle is None else bundle if isinstance(bundle, Bundle) else load(Path(bundle))
    if told is not None and SENTIMENT not in told.tasks:
        raise BundleError(f"--bundle: has no task `{SENTIMENT}`, only {', '.join(told.tasks)}; train one with `shoplm train {SENTIMENT}`")
    if not view.has("reviews"):
        return []
    columns = ", ".join(name_in_sql(name) for name in ("review_id", "rating", "title", "body", "item_id"))
    rows = view.sql(
        f"""SELECT r.*, p.title AS product FROM (SELECT {columns}, created_at, epoch_us(created_at) AS at_us FROM reviews
            WHERE user_id IN ({ids}) AND created_at IS NOT NULL AND {_before("created_at", at_us)}) AS r LEFT JOIN products AS p ON r.item_id = p.id
            ORDER BY created_at, review_id"""
    ).to_pylist()
    texts = [clean(f"{row['title'] or ''} {row['body'] or ''}") for row in rows]
    said: list[list[tuple[str, str]]] | None = _by_aspects(told, texts) if told is not None and rows else None
    if told is not None and rows and said is None:
        notes.append("the bundle knows no aspects; reviews are read by their stars and words")
    if said is None:
        said = _by_words(view, at_us, [row["rating"] for row in rows], texts)
    return [
        Review(
            Act(row["review_id"], int(row["at_us"]), "review", clean(row["product"] or row["item_id"]), row["item_id"]),
            None if row["rating"] is None else float(row["rating"]), tuple(one),
        )
        for row, one in zip(rows, said, strict=True)
    ]  # fmt: skip


def _by_aspects(told: Bundle, texts: Sequence[str]) -> list[list[tuple[str, str]]] | None:
    """(aspect, mood) of each text, by a bundle; None where it knows no aspects."""
    answers = told.predict(list(texts), SENTIMENT)
    if "aspects" not in answers[0]:
        return None
    pairs = [[one.rpartition(":") for one in answer["aspects"].split("|") if one] for answer in answers]
    return [[(aspect, mood) for aspect, _, mood in each] for each in pairs]


def _by_words(view: View, at_us: int, ratings: Sequence[float | None], texts: Sequence[str]) -> list[list[tuple[str, str]]]:
    """The words of each clear review that lean its way most, as everybody's clear reviews before the moment use them.

    A word leans by its log-odds among reviews with many and with few stars, over that number's own spread (Monroe, Colaresi & Quinn, 2008):
    one that three people write by chance does not pass for one that says something.
    """
    memo: dict[str, tuple[str, ...]] = {}
    own = [set(read(text, memo)) for text in texts]
    counts: dict[str, list[int]] = {word: [0, 0] for words in own for word in words if len(word) > 2 or not word.isascii()}
    every = view.sql(
        f"""SELECT concat_ws(' ', title, body) AS words, rating >= {LIKED} AS good FROM reviews
            WHERE (rating >= {LIKED} OR rating <= {DISLIKED}) AND {_before("created_at", at_us)}"""
    )
    whole = [0, 0]
    for text, good in zip(every["words"].to_pylist(), every["good"].to_pylist(), strict=True):
        whole[good] += 1
        for word in set(read(text or "", memo)) & counts.keys():
            counts[word][good] += 1
    found: list[list[tuple[str, str]]] = []
    for rating, words in zip(ratings, own, strict=True):
        good = None if rating is None else True if rating >= LIKED else False if rating <= DISLIKED else None
        if good is None:
            found.append([])
            continue
        leaning = {word: _leaning(counts[word], whole) * (1 if good else -1) for word in words & counts.keys()}
        best = sorted((word for word in leaning if leaning[word] > LEAST), key=lambda word: (-leaning[word], word))[:WORDS]
        found.append([(word, "positive" if good else "negative") for word in best])
    return found


def _leaning(count: Sequence[int], whole: Sequence[int]) -> float:
    """How far a word leans to reviews with many stars, in standard deviations; below 0 to those with few."""
    few, many = (count[side] + 0.5 for side in (0, 1))
    odds = math.log(many / (whole[1] - count[1] + 0.5)) - math.log(few / (whole[0] - count[0] + 0.5))
    return odds / math.sqrt(1 / few + 1 / many)
