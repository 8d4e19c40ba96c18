"""Erasing a person: from every table, every old version and every file under a shop, with a proof.

What is to be done is written down first, durably (``_shop/erasing/``), and struck out last. A crash before the new
manifest leaves the shop as it was, a crash after it leaves work that the next ``erase`` finishes: a proof is written
only when everything has been searched. Older versions of the shop can no longer be read afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from shoplm.data import contract, persons, traces
from shoplm.data.convert import name_in_sql, text_in_sql
from shoplm.data.everything import Everything
from shoplm.data.maintenance import TABLES
from shoplm.data.manifest import FOLDER
from shoplm.data.redact import find
from shoplm.data.shop import QUARANTINE, Shop
from shoplm.data.traces import Traces, pieces_of
from shoplm.errors import DataError, ResourceError
from shoplm.files import sync_folder, write_text

ERASING, PROOFS = "erasing", "erased"
MADE_AGAIN = ("derived", "cache")
"""Folders of a shop that hold only what can be computed again from its tables; they go as a whole."""
LINES = (".jsonl", ".csv", ".txt", ".log", ".tsv")
"""Files whose lines stand for themselves: the person's go, the others stay."""
TEXTS: Mapping[str, tuple[str, ...]] = {"reviews": ("title", "body"), "chats": ("content",)}
"""What people wrote, by table."""
PIECES = 240
"""The most pieces of texts that are searched for."""


class Live(Protocol):
    """A store of what is written one by one, such as ``data.store``."""

    def texts(self, ids: Sequence[str]) -> tuple[int, list[str]]:
        """How many rows speak of these shoppers, devices and conversations, and what they wrote."""
        ...

    def others(self, ids: Sequence[str]) -> Iterable[list[str]]:
        """What everybody else's rows say, some at a time."""
        ...

    def erase(self, ids: Sequence[str], subjects: Sequence[str]) -> int:
        """Remove everything about these shoppers, devices and conversations and what speaks of ``subjects``; how many rows that were."""
        ...


@dataclass(frozen=True)
class Plan:
    """What one erasure has to do; everything that it needs to go on after a crash.

    Attributes:
        user: the id that was asked for.
        ids: all ids of the person.
        claims: what makes a row of the newest version theirs.
        old_claims: the same for older versions, where more may have been theirs.
        pieces: what of their texts, e-mails and numbers must not be found afterwards.
        shared: pieces that other people's rows hold, too, and that therefore are not searched for.
        rows: how many rows of each table they had in the newest version.
        salt, begun: of the proof.
        versions: the data versions that could be read.
        also: folders outside the shop to be cleaned and searched.
        bundles: what was found out about bundles before anything went.
    """

    user: str
    ids: tuple[str, ...]
    claims: Mapping[str, Mapping[str, tuple[str, ...]]]
    old_claims: Mapping[str, Mapping[str, tuple[str, ...]]]
    pieces: tuple[str, ...]
    shared: int
    rows: Mapping[str, int]
    salt: str
    begun: str
    versions: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    bundles: tuple[Mapping[str, Any], ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of salt and id."""
        return hashlib.sha256(f"{self.salt}:{self.user}".encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def traces(self) -> Traces:
        """What must not be found afterwards."""
        return Traces(self.ids, self.pieces)


@dataclass(frozen=True)
class Proof:
    """What an erasure did; ``plain()`` is the JSON of ``<shop>/erased/``."""

    erased_at: str
    id_sha256: str
    salt: str
    ids: int
    rows: Mapping[str, int]
    live_rows: int
    quarantine_lines: int
    lines: int
    removed_files: tuple[str, ...]
    data_version: str
    unreadable_versions: tuple[str, ...]
    bundles: tuple[Mapping[str, Any], ...]
    searched_files: int
    searched_bytes: int
    searched_for: int
    shared_pieces: int
    found: tuple[str, ...]
    path: str = ""

    @property
    def clean(self) -> bool:
        """Was nothing found?"""
        return not self.found

    def plain(self) -> dict[str, Any]:
        """As plain values that JSON can hold."""
        values = asdict(self)
        values.pop("path")
        return {"nothing_found": self.clean, **values}

    def __str__(self) -> str:
        rows = ", ".join(f"{name} {count:,}" for name, count in self.rows.items()) or "none"
        lines = [f"rows erased: {rows}" + (f"; live store {self.live_rows:,}" if self.live_rows else "")]
        if self.quarantine_lines or self.lines or self.removed_files:
            lines.append(
                f"lines erased: {self.quarantine_lines:,} in quarantine, {self.lines:,} elsewhere; files removed: {len(self.removed_files)}"
            )
        lines.append(f"data version: {self.data_version}; no longer readable: {', '.join(self.unreadable_versions) or 'none'}")
        for bundle in self.bundles:
            said = {
                True: "was trained on rows of theirs: train it again",
                False: "holds nothing of theirs",
                None: "cannot be told: its data version is gone",
            }
            lines.append(f"bundle {bundle['bundle']} ({bundle['task']}): {said[bundle['trained_on_person']]}")
        found = "nothing found" if self.clean else "STILL FOUND in " + ", ".join(self.found)
        lines.append(
            f"searched: {self.searched_files:,} files, {self.searched_bytes / 1e6:,.1f} MB, for {self.searched_for:,} traces: {found}"
        )
        return "\n".join([*lines, f"proof: {self.path}"])


def plan(shop: Shop, user: str, also: Sequence[Path] = (), live: Live | None = None) -> Plan:
    """Find out what an erasure has to do; changes nothing.

    Raises:
        DataError: the shop, in all its versions, its quarantine and its live store, knows nothing of ``user``.
    """
    view = shop.view()
    who = persons.person(view, user)
    everything = Everything(shop.path / TABLES)
    try:
        old_claims = persons.claims(everything, who.ids)
        counts = {
            name: int(view.sql(f"SELECT count(*) AS n FROM {name} WHERE {where}")["n"][0].as_py())
            for name in contract.TABLES
            if view.has(name) and (where := who.condition(name))
        }
        live_rows, said = (0, []) if live is None else live.texts((*who.ids, *_talks(old_claims)))
        pieces, shared = _pieces(everything, old_claims, said)
        if live is not None and pieces:
            spoken = _spoken(live.others((*who.ids, *_talks(old_claims))), pieces)
            pieces, shared = tuple(piece for piece in pieces if piece not in spoken), shared + len(spoken)
        kept = Plan(
            user, who.ids, who.claims, old_claims, pieces, shared, {name: n for name, n in counts.items() if n}, os.urandom(16).hex(),
            datetime.now(UTC).isoformat(timespec="seconds"), tuple(shop.manifest(number).data_version for number in shop.versions()), tuple(str(folder) for folder in also),
        )  # fmt: skip
        nowhere = (
            not kept.rows
            and not live_rows
            and not any(everything.holding(name, where) for name, claims in old_claims.items() if (where := persons.condition(claims)))
        )
    finally:
        everything.close()
    if nowhere and not traces.search(traces.files_under(shop.path, *map(Path, also)), kept.traces):
        raise DataError(f"{shop.path}: knows nothing of {user!r}; give a user_id, a user_pseudo_id, or an id that a same_as relation names")
    return kept


def begin(shop: Shop, what: Plan) -> None:
    """Write the plan down, durably; from here on the erasure ends, if not now then at the next call.

    Raises:
        ResourceError: it cannot be written.
    """
    write_text(_intent(shop, what), json.dumps(asdict(what)))
    sync_folder(_intent(shop, what).parent)


def unfinished(shop: Shop) -> list[Plan]:
    """Erasures that began and have not ended."""
    found = []
    for file in sorted((shop.path / FOLDER / ERASING).glob("*.json")):
        values = json.loads(file.read_text("utf-8"))
        for name in ("ids", "pieces", "versions", "also", "bundles"):
            values[name] = tuple(values[name])
        for name in ("claims", "old_claims"):
            values[name] = {table: {column: tuple(ids) for column, ids in columns.items()} for table, columns in values[name].items()}
        found.append(Plan(**values))
    return found


def carry_out(shop: Shop, what: Plan, live: Live | None = None) -> Proof:
    """Do what was begun, all of it or what is left of it, and prove it.

    Raises:
        ResourceError: disk or memory ran out, a place cannot be written, or another writer held the shop too long; call it again.
    """
    # the live store first: what moves into the shop after that holds nothing of theirs
    live_rows = _erase_live(live, what.ids, [what.claims, what.old_claims])
    now = persons.person(shop.view(), what.user)  # rows that came in since the plan was made are theirs, too
    ids = tuple(dict.fromkeys((*what.ids, *now.ids)))
    if set(ids) != set(what.ids) or not set(_talks(now.claims)) <= {*_talks(what.claims), *_talks(what.old_claims)}:
        live_rows += _erase_live(live, ids, [now.claims])
    there = {name for name, state in shop.manifest().tables.items() if state.rows}
    shop.delete_rows({name: where for name, where in _where([what.claims, now.claims]).items() if name in there}, physically=True)
    readable = set(shop.versions())
    unreadable = tuple(name for name in what.versions if int(name.partition("-")[0].removeprefix("v")) not in readable)
    kept = replace(what, ids=ids)
    try:
        removed = [str(shop.path / name) for name in MADE_AGAIN if (shop.path / name).exists()]
        for name in MADE_AGAIN:
            shutil.rmtree(shop.path / name, ignore_errors=True)
        quarantined, faulty = clean([shop.path / QUARANTINE], kept.traces)
        own = [path for path in shop.path.iterdir() if path.name not in (TABLES, FOLDER, QUARANTINE, PROOFS)]
        lines, gone = clean(own, kept.traces)
        outside, more = clean([Path(folder) for folder in kept.also], kept.traces)
        left = () if live is None else _left(live, kept.traces)
        return _prove(shop, kept, live_rows, (quarantined, lines + outside), [*removed, *faulty, *gone, *more], unreadable, left)
    except OSError as error:
        raise ResourceError(
            f"{shop.path}: cannot be cleaned ({error.strerror or error}); mend it and give the same command again"
        ) from None


def _talks(claims: Mapping[str, Mapping[str, tuple[str, ...]]]) -> tuple[str, ...]:
    return claims.get("chats", {}).get("conversation_id", ())


def _erase_live(live: Live | None, ids: Sequence[str], all_claims: Sequence[Mapping[str, Mapping[str, tuple[str, ...]]]]) -> int:
    talks = sorted({talk for claims in all_claims for talk in _talks(claims)})
    subjects = sorted({subject for claims in all_claims for subject in claims.get("labels", {}).get("subject", ())})
    return live.erase((*ids, *talks), subjects) if live is not None else 0


def _spoken(others: Iterable[list[str]], pieces: Sequence[str]) -> set[str]:
    """The pieces that other people's live rows hold, too."""
    found: set[str] = set()
    whole = Traces((), tuple(pieces))
    for bodies in others:
        holding = [body for body, holds in zip(bodies, whole.in_texts(bodies), strict=True) if holds]
        if holding:
            found |= {piece for piece in pieces if piece not in found and any(Traces((), (piece,)).in_texts(holding))}
    return found


def _left(live: Live, sought: Traces) -> tuple[str, ...]:
    """Where in the live store, which may be no file of ours, a trace still stands."""
    held = live.texts(sought.ids)[0] > 0 or any(any(sought.in_texts(bodies)) for bodies in live.others(()))
    return ("live store (table rows)",) if held else ()


def clean(places: Sequence[Path], sought: Traces) -> tuple[int, list[str]]:
    """Take traces out of text files: lines where lines stand for themselves, else the file as a whole.

    The files of a bundle's model and data files are left: what is found there is reported, not mended.

    Returns:
        How many lines went, and which files.
    """
    lines, removed = 0, []
    for file in sorted({Path(found.split(" (")[0]) for found in traces.search(traces.files_under(*places), sought)}):
        if not file.is_file() or file.suffix in (".parquet", ".safetensors", ".db", ".sqlite", ".sqlite3") or _of_a_bundle(file):
            continue
        if file.suffix in LINES:
            kept, gone = [], 0
            for line in file.read_text("utf-8", "surrogateescape").splitlines(keepends=True):
                if sought.in_text(line):
                    gone += 1
                else:
                    kept.append(line)
            if gone:
                lines += gone
                partial = file.with_name(file.name + ".partial")
                partial.write_text("".join(kept), "utf-8", "surrogateescape")
                os.replace(partial, file)
                continue
        file.unlink()
        removed.append(str(file))
    return lines, removed


def _of_a_bundle(file: Path) -> bool:
    """Is it one of the files that a bundle is checked by?"""
    for folder in file.parents:
        sums = folder / "checksums.json"
        if sums.is_file():
            with contextlib.suppress(ValueError, OSError):
                return file.relative_to(folder).as_posix() in json.loads(sums.read_text("utf-8"))
    return False


def _pieces(
    everything: Everything, claims: Mapping[str, Mapping[str, tuple[str, ...]]], said: Sequence[str]
) -> tuple[tuple[str, ...], int]:
    """What their e-mails, numbers and texts are known by, ``said`` included; how many of these stand in other people's rows as well."""
    sought: dict[str, None] = {}
    for text in said:
        sought |= dict.fromkeys(text[one.start : one.stop] for one in find(text) if one.kind in ("EMAIL", "PHONE", "CARD", "IBAN", "ID"))
        sought |= dict.fromkeys(piece for piece in pieces_of(text) if piece)
    for name, columns in TEXTS.items():
        where = persons.condition(claims.get(name, {}))
        if where and everything.has(name):
            theirs = (
                where + " AND role = 'user'"
                if name == "chats" and " OR " not in where
                else f"({where})" + (" AND role = 'user'" if name == "chats" else "")
            )
            for row in everything.sql(f"SELECT DISTINCT {', '.join(columns)}, attributes FROM {name} WHERE {theirs}").to_pylist():
                for column, text in row.items():
                    if not text:
                        continue
                    sought |= dict.fromkeys(
                        text[one.start : one.stop] for one in find(text) if one.kind in ("EMAIL", "PHONE", "CARD", "IBAN", "ID")
                    )
                    if column != "attributes":
                        sought |= dict.fromkeys(piece for piece in pieces_of(text) if piece)
    where = persons.condition(claims.get("users", {}))
    if where and everything.has("users"):
        for row in everything.sql(f"SELECT DISTINCT email_hash, phone_hash, attributes FROM users WHERE {where}").to_pylist():
            sought |= dict.fromkeys(value for value in (row["email_hash"], row["phone_hash"]) if value)
            sought |= dict.fromkeys(
                row["attributes"][one.start : one.stop] for one in find(row["attributes"] or "") if one.kind in ("EMAIL", "PHONE")
            )
    pieces = list(sought)[:PIECES]
    elsewhere = _elsewhere(everything, claims, pieces)
    return tuple(piece for piece in pieces if piece not in elsewhere), len(elsewhere)


def _elsewhere(everything: Everything, claims: Mapping[str, Mapping[str, tuple[str, ...]]], pieces: Sequence[str]) -> set[str]:
    """The pieces that other rows hold, too: people write `Thank you`, and reviews are copied."""
    found: set[str] = set()
    for name, columns in {**TEXTS, "products": ("title", "description"), "articles": ("title", "body"), "events": ("search_term",)}.items():
        if not everything.has(name) or not pieces:
            continue
        theirs = persons.condition(claims.get(name, {}))
        others = f"NOT coalesce(({theirs}), false)" if theirs else "true"
        for column in columns:
            asked = ", ".join(f"coalesce(bool_or(contains({name_in_sql(column)}, {text_in_sql(piece)})), false)" for piece in pieces)
            answer = everything.sql(
                f"SELECT [{asked}] AS a FROM (SELECT DISTINCT {column} FROM {name} WHERE {column} IS NOT NULL AND {others})"
            )["a"][0].as_py()
            found |= {piece for piece, there in zip(pieces, answer, strict=True) if there}
    return found


def _where(all_claims: Sequence[Mapping[str, Mapping[str, tuple[str, ...]]]]) -> dict[str, str]:
    """By table, the condition that makes a row theirs."""
    found: dict[str, list[str]] = {}
    for each in all_claims:
        for name, claims in each.items():
            if condition := persons.condition(claims):
                found.setdefault(name, []).append(condition)
    return {name: " OR ".join(dict.fromkeys(conditions)) for name, conditions in found.items()}


def _prove(
    shop: Shop, what: Plan, live_rows: int, lines: tuple[int, int], removed: Sequence[str], unreadable: tuple[str, ...], left: Sequence[str]
) -> Proof:
    intent = _intent(shop, what)
    files = [file for file in traces.files_under(shop.path, *map(Path, what.also)) if file != intent]
    found = [*left, *traces.search(files, what.traces)]
    found += [str(file) for file in files if what.traces.in_text(file.name) and str(file) not in found]
    place = shop.path / PROOFS / f"{what.begun[:19].replace(':', '').replace('-', '')}-{what.digest[:8]}.json"
    proof = Proof(
        what.begun, what.digest, what.salt, len(what.ids), what.rows, live_rows, *lines, _hidden(removed, what.traces), shop.data_version, unreadable,
        what.bundles, len(files), sum(file.stat().st_size for file in files if file.exists()), len(what.ids) + len(what.pieces), what.shared,
        _hidden(found, what.traces), str(place),
    )  # fmt: skip
    write_text(place, json.dumps(proof.plain(), indent=1, ensure_ascii=False) + "\n")
    intent.unlink()
    sync_folder(intent.parent)
    return proof


def _hidden(paths: Sequence[str], sought: Traces) -> tuple[str, ...]:
    """Paths, without what in them is a trace itself."""
    return tuple("/".join("…" if sought.in_text(part) else part for part in path.split("/")) for path in paths)


def _intent(shop: Shop, what: Plan) -> Path:
    return shop.path / FOLDER / ERASING / f"{what.digest[:32]}.json"
