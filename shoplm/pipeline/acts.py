"""What shoppers did on which items, out of a shop or plain files, and which acts teach: what ``recommend`` learns from."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.apps.recommend import RecommendConfig
from shoplm.data.consent import learnable
from shoplm.data.convert import text_in_sql
from shoplm.data.importers.table import read
from shoplm.data.shop import Shop
from shoplm.data.view import View
from shoplm.errors import DataError, did_you_mean
from shoplm.retrieve.histories import Histories
from shoplm.text.render import clean

SPLITS = {"train": 0, "valid": 1, "val": 1, "test": 2}
FIELDS: Mapping[str, tuple[str, ...]] = {
    "user_id": ("user_id", "user", "userid", "customer_id", "shopper_id", "session_id"),
    "item_id": ("item_id", "item", "itemid", "product_id", "parent_asin", "asin"),
    "event_time": ("event_time", "timestamp", "time"),
    "position": ("position", "order", "step"),
    "event_name": ("event_name", "event_type", "event"),
    "split": ("split",),
}
"""Our field of a plain file of acts, and what its column may be called."""
ITEM_FIELDS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "item_id", "product_id", "asin"),
    "title": ("title", "text", "name", "description", "attributes"),
}


@dataclass(frozen=True)
class Acts:
    """What S shoppers did on N items."""

    shoppers: pa.Array
    """string (S)"""
    histories: Histories
    at_us: npt.NDArray[np.int64]
    """(A)"""
    split: npt.NDArray[np.int8]
    """(A) 0 teaches, 1 validation, 2 test."""
    ids: tuple[str, ...]
    """(N)"""
    texts: tuple[str, ...]
    """(N) each item in words, empty where nothing is known."""
    data_version: str

    def upto(self, split: int) -> tuple[Histories, npt.NDArray[np.int64]]:
        """The acts before those of a split: histories of all S shoppers, and the times."""
        kept = self.split < split
        return self.histories.only(kept), self.at_us[kept]

    def asked(self, split: int) -> tuple[npt.NDArray[np.int64], Histories, Histories]:
        """The shoppers with acts in a split, what they did before, and the items that they took in it."""
        there = self.split == split
        taken = np.unique(self.histories.owner[there] * len(self.ids) + self.histories.items[there])
        rows, first = np.unique(taken // len(self.ids), return_index=True)
        wanted = Histories((taken % len(self.ids)).astype(np.int32), np.append(first, len(taken)).astype(np.int64))
        return rows, self.upto(split)[0].take(rows), wanted


def acts_of(view: View, config: RecommendConfig) -> Acts:
    """Read a shop's events and products.

    Raises:
        DataError: there are no acts on items.
    """
    named = ", ".join(map(text_in_sql, config.signs))
    split = 'cast("split" as varchar)' if "split" in view.columns("events") else "cast(null as varchar)"
    rows = view.sql(
        f"""select coalesce(user_id, user_pseudo_id) as who, item_id, event_name, epoch_us(event_time) as at_us, {split} as split
            from events where item_id is not null and coalesce(user_id, user_pseudo_id) is not null and event_name in ({named})
            order by who, event_time, event_seq, event_id"""
    )
    if not rows.num_rows:
        raise DataError(f"events: no act on an item by a shopper; expected one of {', '.join(config.signs)} with item_id and user_id")
    products = _products(view)
    known = pa.chunked_array([products["id"].combine_chunks(), rows["item_id"].combine_chunks()]).unique()
    ids = known.to_pylist()
    texts = dict(zip(products["id"].to_pylist(), products["words"].to_pylist(), strict=True))
    items = pc.index_in(rows["item_id"], known).to_numpy().astype(np.int32)
    signs = np.array([config.signs[name] for name in rows["event_name"].to_pylist()], np.float32)
    who = rows["who"].combine_chunks().dictionary_encode()
    owner = who.indices.to_numpy().astype(np.int64)
    said = rows["split"].combine_chunks()
    again = np.zeros(len(items), bool)  # one look after another at one thing is one act, of its weightiest kind
    again[1:] = (items[1:] == items[:-1]) & (owner[1:] == owner[:-1])
    if said.null_count < len(said):
        again[1:] &= pc.fill_null(pc.equal(said[1:], said[:-1]), False).to_numpy(zero_copy_only=False)
    first = np.flatnonzero(~again)
    weight = np.maximum.reduceat(signs, first)
    lengths = np.bincount(owner[first], minlength=len(who.dictionary))
    start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    histories = Histories(items[first], start, weight)
    return Acts(
        who.dictionary, histories, rows["at_us"].to_numpy().astype(np.int64)[first], _split(said.take(pa.array(first)), histories, config),
        tuple(ids), tuple(texts.get(name, "") for name in ids), view.data_version,
    )  # fmt: skip


def _products(view: View) -> pa.Table:
    """Each product's id and words: title, brand, kind, description."""
    if not view.has("products"):
        return pa.table({"id": pa.array([], pa.string()), "words": pa.array([], pa.string())})
    columns = view.columns("products")
    words = [name for name in ("title", "brand", "product_type", "description") if name in columns]
    rows = view.sql(f"select id, {', '.join(f'cast({name} as varchar) as {name}' for name in words)} from products order by id")
    told = [" ".join(filter(None, map(clean, each))) for each in zip(*(rows[name].to_pylist() for name in words), strict=True)]
    return pa.table({"id": rows["id"], "words": pa.array(told, pa.string())})


def _split(said: pa.Array, histories: Histories, config: RecommendConfig) -> npt.NDArray[np.int8]:
    """(A) what each act is for: as the data says, else the last act of three or more is test and the one before it validation."""
    if said.null_count < len(said):
        words = [SPLITS.get((word or "train").strip().lower(), 0) for word in said.to_pylist()]
        return np.array(words, np.int8)
    found = np.zeros(len(histories.items), np.int8)
    if config.held_out:
        long = np.flatnonzero(histories.lengths >= 3)
        found[histories.start[1:][long] - 1] = 2
        found[histories.start[1:][long] - 2] = 1
    return found


@contextlib.contextmanager
def opened(shop: Path | Shop | None, data: Path | None, items: Path | None = None) -> Iterator[View]:
    """A view of a shop, or of the temporary shop that plain files of acts and of items become.

    Raises:
        DataError: neither or both are given, or a file has no column for what is needed.
    """
    if (shop is None) == (data is None):
        raise DataError(
            "no data: give --shop DIR or --data FILE" if shop is None else "two sources of rows: give --shop or --data, not both"
        )
    if shop is not None:
        yield learnable(shop if isinstance(shop, Shop) else Shop(Path(shop)))
        return
    assert data is not None
    with tempfile.TemporaryDirectory(prefix="shoplm-") as place:
        made = Shop(Path(place) / "shop", create=True)
        made.upsert("events", _acts_file(data))
        if items is not None:
            made.upsert("products", _items_file(items))
        yield made.view()


def _acts_file(file: Path) -> pa.Table:
    rows, found = _columns(file, FIELDS, ("user_id", "item_id"))
    if "event_time" not in found and "position" not in found:
        raise DataError(f"{file}: no column that tells the order of acts; expected one of event_time, timestamp, position")
    columns: dict[str, Any] = {
        name: rows[found[name]].cast(pa.string()) for name in ("user_id", "item_id", "event_name", "split") if name in found
    }
    columns.setdefault("event_name", pa.chunked_array([pa.array(["purchase"] * rows.num_rows)]))
    if "event_time" in found:
        columns["event_time"] = rows[found["event_time"]]
    else:  # the order alone is known: a day apart, so that it is no session
        place = pc.cast(rows[found["position"]], pa.int64())
        columns["event_time"] = pc.multiply(pc.add(place, 1), 86_400_000_000).cast(pa.timestamp("us", "UTC"))
    return pa.table(columns)


def _items_file(file: Path) -> pa.Table:
    rows, found = _columns(file, ITEM_FIELDS, ("id",))
    words = [name for name in ITEM_FIELDS["title"] if name in {column.strip().lower() for column in rows.column_names}]
    told = [[_words(value) for value in rows[name].to_pylist()] for name in words]
    titles = [clean(" ".join(filter(None, each))) for each in zip(*told, strict=True)] if told else [""] * rows.num_rows
    ids = rows[found["id"]].cast(pa.string())
    return pa.table(
        {"id": ids, "title": pa.array([title or name for title, name in zip(titles, ids.to_pylist(), strict=True)], pa.string())}
    )


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def _columns(file: Path, fields: Mapping[str, Sequence[str]], needed: Sequence[str]) -> tuple[pa.Table, dict[str, str]]:
    """A file's rows, and which of its columns is which field."""
    chunks = [chunk.rows for chunk in read([file], "events") if chunk.rows.num_rows]
    if not chunks:
        raise DataError(f"{file}: holds no rows")
    rows = pa.concat_tables(chunks, promote_options="permissive")
    low = {name.strip().lower(): name for name in rows.column_names}
    found = {field: next(low[word] for word in words if word in low) for field, words in fields.items() if set(words) & set(low)}
    for field in needed:
        if field not in found:
            raise DataError(f"{file}: no column `{field}`; {did_you_mean(field, rows.column_names)}")
    return rows, found
