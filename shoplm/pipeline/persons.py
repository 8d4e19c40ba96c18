"""export and erase: what a shop holds about one person, and how it stops holding it, run folders and bundles included."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from shoplm.data import erase as erasing
from shoplm.data import persons, privacy
from shoplm.data.erase import Live, Proof
from shoplm.data.shop import Shop
from shoplm.data.view import View
from shoplm.errors import DataError, ShopLMError
from shoplm.files import write_text

if TYPE_CHECKING:
    from shoplm.data.store import Store


def export(shop: Shop, user: str, out: Path | None = None, environment: Mapping[str, str] | None = None) -> list[str]:
    """Everything that the shop's newest version holds about a person, one JSON document a table.

    Args:
        shop: the shop.
        user: any id of theirs; ``same_as`` relations are followed.
        out: a file that takes the documents, one a line.
        environment: where the pseudonym key is named; None is the process's own.

    Returns:
        The documents: ``{"table", "rows"}``, the first one ``{"person"}`` with the ids.

    Raises:
        DataError: nothing is known about ``user``.
        ResourceError: ``out`` cannot be written.
    """
    view = shop.view()
    who = persons.person(view, privacy.stored_name(shop, user, os.environ if environment is None else environment))
    found = persons.rows(view, who)
    quarantined = _quarantined(shop, who.ids)
    if not found and not quarantined:
        raise DataError(f"{shop.path}: knows nothing of {user!r}; give a user_id, a user_pseudo_id, or an id that a same_as relation names")
    documents: list[dict[str, Any]] = [
        {"person": {"asked": user, "ids": who.ids, "same_as": who.followed, "seen_beside": who.beside, "data_version": view.data_version}}
    ]
    documents += [{"table": name, "rows": _plain(rows)} for name, rows in found.items()]
    if quarantined:
        documents.append({"quarantine": quarantined})
    lines = [json.dumps(document, ensure_ascii=False) for document in documents]
    if out is not None:
        write_text(out, "".join(line + "\n" for line in lines))
    return lines


def erase(
    shop: Shop, user: str, *, also: Sequence[Path] = (), live: Live | None = None, environment: Mapping[str, str] | None = None
) -> Proof:
    """Erase a person from a shop and from the folders ``also``; erasures that a crash interrupted are ended first.

    Args:
        shop: the shop.
        user: any id of theirs; ``same_as`` relations are followed.
        also: run folders, reports, bundles outside the shop.
        live: the store of what is written one by one, if the shop has one.
        environment: where the pseudonym key is named; None is the process's own.

    Raises:
        DataError: nothing is known about ``user``, or a folder of ``also`` is not there.
        ResourceError: disk or memory ran out or a place cannot be written; the same call goes on where it stopped.
    """
    name = privacy.stored_name(shop, user, os.environ if environment is None else environment)
    for folder in also:
        if not folder.is_dir():
            raise DataError(f"--also {folder}: is no folder; give a run folder, a bundle, or a folder of them")
    opened = _live(shop) if live is None else None
    live = live or opened
    try:
        ended = [(plan, erasing.carry_out(shop, plan, live)) for plan in erasing.unfinished(shop)]
        for plan, proof in ended:
            if name in plan.ids and {str(folder) for folder in also} <= set(plan.also):
                return proof
        plan = erasing.plan(shop, name, also, live)
        plan = replace(plan, bundles=tuple(bundles(shop, [shop.path, *also], plan.old_claims)))
        erasing.begin(shop, plan)
        return erasing.carry_out(shop, plan, live)
    finally:
        if opened is not None:
            opened.close()


def _live(shop: Shop) -> Store | None:
    """The shop's own live store, where it has one."""
    from shoplm.data import database
    from shoplm.data.store import Store  # late: it brings SQLAlchemy along

    there = os.environ.get(database.URL_NAME) or (shop.path / database.URL_FILE).exists() or (shop.path / database.FILE).exists()
    return Store(shop.path) if there else None


def bundles(shop: Shop, places: Sequence[Path], claims: Mapping[str, Mapping[str, tuple[str, ...]]]) -> list[dict[str, Any]]:
    """Every bundle under ``places`` with, for each task, whether it was made from rows that ``claims`` holds for.

    ``trained_on_person`` is None where it cannot be told: the bundle's data version is not, or no longer, one of this shop.
    """
    found = []
    for folder in sorted({sums.parent for place in places for sums in place.rglob("checksums.json")}):
        facts: Any = {}
        with contextlib.suppress(OSError, ValueError):
            facts = json.loads((folder / "config.json").read_text("utf-8")).get("facts", {})
        for task, said in facts.items() if isinstance(facts, dict) else ():
            version = str(said.get("data_version", "")) if isinstance(said, dict) else ""
            found.append(
                {"bundle": str(folder), "task": task, "data_version": version, "trained_on_person": _held(shop, task, said, claims)}
            )
    return found


def _held(shop: Shop, task: str, facts: Any, claims: Mapping[str, Mapping[str, tuple[str, ...]]]) -> bool | None:
    """Whether rows of theirs were among the rows that a bundle's task was made from."""
    from shoplm import task as tasks  # late: it brings torch along

    try:
        number = int(str(facts["data_version"]).partition("-")[0].removeprefix("v"))
        view: View = shop.view(version=number)
        if view.data_version != facts["data_version"]:
            return None
        recipe = facts.get("recipe") or {}
        subject = facts.get("subject")
        if subject is None:
            form = tasks.get(task)
            subject = tasks.walked(
                form, form.Settings.of({key: value for key, value in recipe.get("task", {}).items() if key in form.Settings.model_fields})
            )
        where = persons.condition(claims.get(subject, {}))
        chosen = recipe.get("where")
        if where is None or not view.has(subject):
            return False
        return any(True for _ in view.parts(subject, where=f"({where}) AND ({chosen})" if chosen else where))
    except (ShopLMError, KeyError, TypeError, ValueError):
        return None


def _quarantined(shop: Shop, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The lines of quarantine in which one of the ids stands."""
    from shoplm.data.traces import Traces, files_under, search

    sought, found = Traces(tuple(ids), ()), []
    for name in search(files_under(shop.path / "quarantine"), sought):
        with Path(name).open(encoding="utf-8") as lines:
            found += [json.loads(line) for line in lines if sought.in_text(line)]
    return found


def _plain(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows as JSON can hold them, without what is null: times in RFC 3339, money as text, attributes as objects."""
    found = []
    for row in rows.to_pylist():
        values: dict[str, Any] = {}
        for name, value in row.items():
            if value is None:
                continue
            if name == "attributes":
                with contextlib.suppress(ValueError):
                    value = json.loads(value)
            if isinstance(value, datetime):
                value = value.isoformat()
            values[name] = value if isinstance(value, str | int | float | bool | list | dict) else str(value)
        found.append(values)
    return found
