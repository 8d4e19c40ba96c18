"""What shoppers did on which items, out of a shop or plain files: what ``recommend`` learns from, and what it is asked with.

There is one reading of acts, whether one shopper is asked about or all are: an act of a kind that counts, of a shopper who lets
it be used, on an item. One look after another at one thing is one act. What was given back says nothing for its item any more.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.apps.recommend import RecommendConfig
from shoplm.data import contract, split
from shoplm.data.consent import learnable
from shoplm.data.convert import text_in_sql
from shoplm.data.health.behaviour import CAME_BACK, REFUNDED, UNLIKE_PERSONS
from shoplm.data.importers.table import read
from shoplm.data.ingest import Chunk
from shoplm.data.shop import Shop
from shoplm.data.view import View
from shoplm.errors import DataError, did_you_mean
from shoplm.pipeline.prepare import Origin, brought, field_mapping
from shoplm.pipeline.shown import LEAST as LEAST_CLICKS
from shoplm.pipeline.shown import exposures_of
from shoplm.retrieve.exposures import Exposures
from shoplm.retrieve.histories import Float32, Histories, Int32, Int64
from shoplm.retrieve.tastes import banded, coded
from shoplm.text.render import clean

SPLITS: Mapping[str, int] = {word: place for place, word in enumerate(split.SPLITS)}
WHO = "coalesce(user_id, user_pseudo_id)"
"""SQL: whose act it is."""


@dataclass(frozen=True)
class PlainForm:
    """What a plain file holds, in the words of ``prepare.Form``."""

    subject: str
    fields: Mapping[str, str]
    plain: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    numbered: str | None = None


ACTS_FILE = PlainForm(
    "events",
    {
        "user": "user_id", "userid": "user_id", "customer_id": "user_id", "shopper_id": "user_id", "session_id": "user_id",
        "item": "item_id", "itemid": "item_id", "product_id": "item_id", "parent_asin": "item_id", "asin": "item_id",
        "timestamp": "event_time", "time": "event_time", "order": "position", "step": "position",
        "event_type": "event_name", "event": "event_name",
    },
    ("position", "split"), {"event_name": "purchase"},
)  # fmt: skip
ITEMS_FILE = PlainForm(
    "products", {"item_id": "id", "product_id": "id", "parent_asin": "id", "asin": "id", "name": "title", "text": "title"}
)


@dataclass(frozen=True)
class Did:
    """What S shoppers did, by the names of items: shopper ``s`` did the acts ``start[s]:start[s + 1]``, oldest first."""

    shoppers: pa.Array
    """string (S)"""
    start: Int64
    """(S + 1)"""
    items: pa.Array
    """string (A)"""
    names: pa.Array
    """string (A) the kind of each act, of looks at one thing in a row the weightiest"""
    weight: Float32
    """(A) how much each says of what its shopper wants; 0 = nothing, the item was given back"""
    at_us: Int64
    """(A)"""
    said: pa.Array
    """string (A) the split that the data names, null where it names none"""

    def coded(self, place: Mapping[str, int]) -> tuple[Histories, npt.NDArray[np.bool_]]:
        """The acts on items that have a code, and (A) which those are."""
        known = self.items.dictionary_encode()
        codes = np.array([place.get(name, -1) for name in known.dictionary.to_pylist()], np.int32)
        items = codes[known.indices.to_numpy()] if len(self.items) else np.zeros(0, np.int32)
        return Histories(items, self.start, self.weight).only(items >= 0), items >= 0


@dataclass(frozen=True)
class Acts:
    """What S shoppers did on N items, as far as it teaches and judges."""

    shoppers: pa.Array
    """string (S)"""
    histories: Histories
    at_us: Int64
    """(A)"""
    split: npt.NDArray[np.int8]
    """(A) 0 teaches, 1 validation, 2 test."""
    ids: tuple[str, ...]
    """(N)"""
    texts: tuple[str, ...]
    """(N) each item in words, empty where nothing is known."""
    data_version: str
    facets: Mapping[str, Int32] = field(default_factory=dict)
    """(N) of each facet of the products the code of an item's value, -1 = none."""
    shown: Exposures | None = None
    """Lists that the shoppers saw; None = none are logged."""

    def upto(self, split: int) -> tuple[Histories, Int64]:
        """The acts before those of a split: histories of all S shoppers, and the times."""
        kept = self.split < split
        return self.histories.only(kept), self.at_us[kept]

    def shown_upto(self, split: int) -> Exposures | None:
        """The lists that were done with by each shopper's last act before those of a split: later ones would tell of those."""
        if self.shown is None:
            return None
        kept, latest = self.split < split, np.full(len(self.shoppers), np.iinfo(np.int64).min)
        np.maximum.at(latest, self.histories.owner[kept], self.at_us[kept])
        rows = np.flatnonzero(self.shown.until_us <= latest[self.shown.owner])
        found = self.shown.take(rows)
        return found if found.clicked.sum() >= LEAST_CLICKS else None

    def asked(self, split: int) -> tuple[Int64, Histories, Histories]:
        """The shoppers with acts in a split, what they did before, and the items that they took in it."""
        there = self.split == split
        taken = np.unique(self.histories.owner[there] * len(self.ids) + self.histories.items[there])
        rows, first = np.unique(taken // len(self.ids), return_index=True)
        wanted = Histories((taken % len(self.ids)).astype(np.int32), np.append(first, len(taken)).astype(np.int64))
        return rows, self.upto(split)[0].take(rows), wanted


def did(view: View, config: RecommendConfig, *, user: str | None = None, persons_only: bool = False, kept_only: bool = False) -> Did:
    """The acts that count.

    Args:
        view: a shop without the rows of those who withhold them.
        config: which acts count, and how much.
        user: one shopper; only its events are looked at. None = all.
        persons_only: without those who act like machines or buy like a trade.
        kept_only: without acts on what was given back; otherwise they stay, with weight 0.
    """
    columns = view.columns("events")
    named = ", ".join(map(text_in_sql, config.signs))
    given = 'cast("split" as varchar)' if "split" in columns else "cast(null as varchar)"
    mine = "true"
    if user is not None:
        who = text_in_sql(user)
        mine = f"(user_id = {who} or (user_id is null and user_pseudo_id = {who}))"
    if persons_only:
        mine += f" and {WHO} not in ({UNLIKE_PERSONS})"
    rows = view.sql(
        f"""with back as (
              select {WHO} as who, item_id, max(event_time) as until from events p
              where {mine} and event_name = 'purchase' and item_id is not null and ({REFUNDED} or {CAME_BACK}) group by all),
            acts as (
              select {WHO} as who, item_id, event_name, event_time, event_seq, event_id, {given} as split from events
              where {mine} and item_id is not null and {WHO} is not null and event_name in ({named}))
            select a.who, a.item_id, a.event_name, epoch_us(a.event_time) as at_us, a.split, coalesce(a.event_time <= b.until, false) as back
            from acts a left join back b on a.who = b.who and a.item_id = b.item_id
            {"where not coalesce(a.event_time <= b.until, false)" if kept_only else ""}
            order by a.who, a.event_time, a.event_seq, a.event_id"""
    ).combine_chunks()
    signs = np.array([config.signs[name] for name in rows["event_name"].to_pylist()], np.float32)
    signs[np.asarray(rows["back"], bool)] = 0
    who_of = _one(rows["who"]).dictionary_encode()
    items, said = _one(rows["item_id"]), _one(rows["split"])
    owner, code = who_of.indices.to_numpy().astype(np.int64), items.dictionary_encode().indices.to_numpy()
    again = np.zeros(len(items), bool)
    again[1:] = (code[1:] == code[:-1]) & (owner[1:] == owner[:-1])
    if len(said) and said.null_count < len(said):
        again[1:] &= pc.fill_null(pc.equal(said[1:], said[:-1]), False).to_numpy(zero_copy_only=False)
    first = np.flatnonzero(~again)
    run = np.cumsum(~again)
    heaviest = pa.array(np.lexsort((-signs, run))[first])
    lengths = np.bincount(owner[first], minlength=len(who_of.dictionary))
    start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    at = pa.array(first)
    return Did(
        who_of.dictionary, start, items.take(at), _one(rows["event_name"]).take(heaviest), signs[np.asarray(heaviest)],
        rows["at_us"].to_numpy().astype(np.int64)[first], said.take(at),
    )  # fmt: skip


def acts_of(view: View, config: RecommendConfig, *, cleaned: bool = False) -> Acts:
    """Read what teaches and judges: events and products.

    Args:
        view: the data.
        config: settings.
        cleaned: leave out those who act like machines or buy like a trade.

    Raises:
        DataError: there are no acts on items, or a split is named that is none.
    """
    found = did(view, config, persons_only=cleaned, kept_only=True)
    if not len(found.items):
        raise DataError(f"events: no act on an item by a shopper; expected one of {', '.join(config.signs)} with item_id and user_id")
    products = worded(view)
    known = pa.concat_arrays([_one(products["id"]), found.items]).unique()
    ids = known.to_pylist()
    texts = dict(zip(products["id"].to_pylist(), products["words"].to_pylist(), strict=True))
    histories, _ = found.coded({name: place for place, name in enumerate(ids)})
    return Acts(
        found.shoppers, histories, found.at_us, _split(found.said, histories, config), tuple(ids),
        tuple(texts.get(name, "") for name in ids), view.data_version, _facets(view, known), exposures_of(view, found.shoppers, ids),
    )  # fmt: skip


def _facets(view: View, ids: pa.Array) -> dict[str, Int32]:
    """(N) kinds, brands and price bands of items, as far as the products tell them."""
    if not view.has("products"):
        return {}
    rows = view.sql("select id, product_type as kind, brand, cast(price as double) as price from products")
    at = pc.index_in(ids, value_set=_one(rows["id"]))
    kind, brand, price = (_one(rows[name].take(at)) for name in ("kind", "brand", "price"))
    words = {name: coded(np.array(values.to_pylist(), object)) for name, values in (("kind", kind), ("brand", brand))}
    prices = banded(price.to_numpy(zero_copy_only=False).astype(np.float64))
    return {name: codes for name, codes in {**words, "price": prices}.items() if (codes >= 0).any()}


def left_out(view: View) -> int:
    """How many act like machines or buy like a trade."""
    return int(view.sql(f"select count(*) as n from ({UNLIKE_PERSONS})")["n"][0].as_py())


def worded(view: View) -> pa.Table:
    """Each product's ``id`` and ``words``: title, brand, kind, description; in the order of the ids."""
    if not view.has("products"):
        return pa.table({"id": pa.array([], pa.string()), "words": pa.array([], pa.string())})
    columns = view.columns("products")
    words = [name for name in ("title", "brand", "product_type", "description") if name in columns]
    rows = view.sql(f"select id, {', '.join(f'cast({name} as varchar) as {name}' for name in words)} from products order by id")
    told = [" ".join(filter(None, map(clean, each))) for each in zip(*(rows[name].to_pylist() for name in words), strict=True)]
    return pa.table({"id": rows["id"], "words": pa.array(told, pa.string())})


def _split(said: pa.Array, histories: Histories, config: RecommendConfig) -> npt.NDArray[np.int8]:
    """(A) what each act is for: as the data says, else the last act of three or more is test and the one before it validation."""
    found = np.zeros(len(histories.items), np.int8)
    if said.null_count < len(said):
        words = split.obeyed(said, np.full(len(said), "train", "<U5"))
        for word, place in SPLITS.items():
            found[words == word] = place
    elif config.held_out:
        long = np.flatnonzero(histories.lengths >= 3)
        found[histories.start[1:][long] - 1] = 2
        found[histories.start[1:][long] - 2] = 1
    return found


@contextlib.contextmanager
def opened(
    shop: Path | Shop | None, data: Path | None, items: Path | None = None, mapping: Mapping[str, str] | None = None
) -> Iterator[Origin]:
    """A view of a shop, or of the temporary shop that plain files of acts and of items become.

    Args:
        shop: a shop.
        data: a file of acts.
        items: a file of items.
        mapping: ours -> theirs; a pair holds for each of the two files that has that column.

    Raises:
        DataError: neither or both are given, or a file has no column for what is needed.
    """
    if (shop is None) == (data is None):
        raise DataError(
            "no data: give --shop DIR or --data FILE" if shop is None else "two sources of rows: give --shop or --data, not both"
        )
    if shop is not None:
        yield Origin(learnable(shop if isinstance(shop, Shop) else Shop(Path(shop))))
        return
    assert data is not None
    pairs = dict(mapping or {})
    with tempfile.TemporaryDirectory(prefix="shoplm-") as place:
        made = Shop(Path(place) / "shop", create=True)
        acts_have, items_have = _names(data, "events"), _names(items, "products") if items is not None else {}
        of_items = {ours: source for ours, source in pairs.items() if source.strip().lower() in items_have and _takes(ITEMS_FILE, ours)}
        of_acts = {ours: source for ours, source in pairs.items() if ours not in of_items or source.strip().lower() in acts_have}
        notes = _bring_acts(
            made, data, acts_have, {ours: source for ours, source in of_acts.items() if _takes(ACTS_FILE, ours) or ours not in of_items}
        )
        if items is not None:
            notes += _bring_items(made, items, items_have, of_items)
        yield Origin(made.view(), notes)


def _takes(form: PlainForm, ours: str) -> bool:
    """Whether it is one of the form's own words."""
    return ours in form.fields or ours in form.plain or ours in contract.table(form.subject).by_name


def _names(file: Path, table: str) -> dict[str, str]:
    """A file's columns by their small letters.

    Raises:
        DataError: it cannot be read or has no rows.
    """
    first = next(iter(read([file], table)), None)
    if first is None or not (first.rows.num_rows or first.faults):
        raise DataError(f"{file}: holds no rows")
    return {name.strip().lower(): name for name in first.rows.column_names}


def _bring_acts(made: Shop, file: Path, theirs: Mapping[str, str], mapping: Mapping[str, str]) -> list[str]:
    wanted = field_mapping(ACTS_FILE, file, mapping)
    there = {*wanted, *theirs}
    for needed in ("item_id", "user_id"):
        if needed not in there and not (needed == "user_id" and "user_pseudo_id" in there):
            raise DataError(f"{file}: no column `{needed}`; {did_you_mean(needed, theirs.values())}; or name it with --map {needed}=COLUMN")
    timed = "event_time" in there
    if not timed and "position" not in there:
        raise DataError(f"{file}: no column that tells the order of acts; expected one of event_time, timestamp, position")
    place = wanted.get("position", theirs.get("position", "position"))

    def ordered(chunk: Chunk) -> Chunk:
        """With a time where only an order is known, a day apart, so that it is no session; of one time the later line is the later act."""
        rows = chunk.rows
        low = {name.strip().lower(): name for name in rows.column_names}
        if not timed:
            rows = rows.append_column("event_time", _days(rows[low.get("position", place)]))
        if "event_seq" not in low and "event_seq" not in wanted:
            rows = rows.append_column("event_seq", pa.array(np.asarray(chunk.lines, np.int64)))
        return replace(chunk, rows=rows)

    return brought(made, ACTS_FILE, file, wanted, ordered)


def _days(places: pa.ChunkedArray) -> pa.ChunkedArray:
    """Places in an order as days from the epoch on; null where one is no whole number."""
    text = pc.utf8_trim_whitespace(places.cast(pa.string()))
    whole = pc.match_substring_regex(text, r"^[+-]?[0-9]{1,6}(\.0*)?$")
    number = pc.cast(pc.if_else(whole, text, None), pa.float64()).cast(pa.int64())
    return pc.multiply(pc.add(number, 1), 86_400_000_000).cast(pa.timestamp("us", "UTC"))


def _bring_items(made: Shop, file: Path, theirs: Mapping[str, str], mapping: Mapping[str, str]) -> list[str]:
    wanted = field_mapping(ITEMS_FILE, file, mapping)
    if "id" not in wanted and "id" not in theirs:
        raise DataError(f"{file}: no column `id`; {did_you_mean('item_id', theirs.values())}; or name it with --map id=COLUMN")
    title, key = (wanted.get(name, theirs.get(name)) for name in ("title", "id"))
    told = [name for name in ("text", "attributes") if name in theirs and theirs[name] not in wanted.values()]

    def named(chunk: Chunk) -> Chunk:
        """With a title for every item: its own, else what else is told of it in words, else its id."""
        rows, low = chunk.rows, {name.strip().lower(): name for name in chunk.rows.column_names}
        words = [rows[title].to_pylist()] if title else []
        words += [rows[low[name]].to_pylist() for name in told if name in low and not _is_map(rows[low[name]])]
        ids = rows[key].cast(pa.string()).to_pylist()
        said = [clean(" ".join(filter(None, map(_words, each)))) for each in zip(*words, strict=True)] if words else [""] * len(ids)
        titles = pa.array([one or name for one, name in zip(said, ids, strict=True)], pa.string())
        dropped = [low[name] for name in told if name in low and not _is_map(rows[low[name]])] + ([title] if title else [])
        return replace(chunk, rows=rows.drop_columns(dropped).append_column("title", titles))

    return brought(made, ITEMS_FILE, file, {ours: source for ours, source in wanted.items() if ours != "title"}, named)


def _is_map(column: pa.ChunkedArray) -> bool:
    """Whether it holds names with values, as the contract's ``attributes`` do, and not words."""
    return pa.types.is_struct(column.type) or pa.types.is_map(column.type) or str(column[0].as_py() or "").startswith("{")


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def _one(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The same in one piece."""
    if isinstance(column, pa.Array):
        return column
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
