"""What there is to list: the recommender's items and those that came after its training, beside the shop's products as they are now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.apps.conditions import SHOPPER, Kind
from shoplm.apps.recommend import DAY_US, SIMILAR, Recommender
from shoplm.data.convert import name_in_sql, text_in_sql
from shoplm.data.view import View
from shoplm.pipeline.acts import worded
from shoplm.retrieve.blend import Popularity
from shoplm.retrieve.histories import Float32, Int32, Int64
from shoplm.retrieve.neighbours import Neighbours

AGE = "age_days"
"""What conditions call the days since an item entered the shop."""
_OWN: Mapping[str, Kind] = {SHOPPER + "acts": "number", SHOPPER + "new": "flag"}
"""What is known of every shopper: how many acts that count, and whether there are none."""


@dataclass(frozen=True)
class Shelf:
    """N items."""

    found: Recommender
    """That knows all of them."""
    place: Mapping[str, int]
    """Each item's code."""
    products: pa.Table
    """(N) what the shop says of each, null where it has no such product: title, brand, product_type, and what was asked for."""
    gone: npt.NDArray[np.bool_]
    """(N) out of stock."""
    new: frozenset[int]
    """The codes of those that came after the training."""
    texts: Mapping[int, str]
    """Of those, and of what is near to them, the words; empty where nothing is new."""
    notes: tuple[str, ...] = ()

    def naming_all(self) -> Recommender:
        """The recommender whose popular items are all that were ever acted on, however rarely."""
        found = self.found
        sources = {name: replace(one, most=len(found.ids)) if isinstance(one, Popularity) else one for name, one in found.sources.items()}
        return replace(found, sources=sources)

    def title(self, item: int) -> str:
        """An item's title, empty where there is none."""
        return self.products["title"][item].as_py() or ""

    def groups(self, column: str) -> Int64:
        """(N) a number for each value of a column, -1 where it has none."""
        values = self.products[column].combine_chunks()
        values = values.chunk(0) if isinstance(values, pa.ChunkedArray) else values
        found: Int64 = np.asarray(pc.fill_null(values.cast(pa.string()).dictionary_encode().indices, -1), np.int64)
        return found

    def alike(self, items: Int32) -> Callable[[int], Float32]:
        """How alike candidates are to one of them: the larger of what their texts and what brand and kind (a half each) say."""
        source = self.found.sources.get(SIMILAR)
        near = source.matrix[items][:, items] if isinstance(source, Neighbours) else None
        brand, kind = self.groups("brand")[items], self.groups("product_type")[items]

        def to(one: int) -> Float32:
            same = 0.5 * ((brand == brand[one]) & (brand >= 0)) + 0.5 * ((kind == kind[one]) & (kind >= 0))
            worded: Any = 0.0 if near is None else near[[one]].toarray()[0]
            found: Float32 = np.maximum(same, worded).astype(np.float32)
            return found

        return to


def kinds(view: View) -> dict[str, Kind]:
    """The names that a shop's rules may speak of, of items and of shoppers.

    Times are no names of their own: of an item there is ``age_days``.
    """
    found: dict[str, Kind] = {AGE: "number", **_OWN}
    for table, before in (("products", ""), ("users", SHOPPER)):
        hidden = {
            "consent_analytics",
            "consent_ads",
            "consent_personalization",
            "email_hash",
            "phone_hash",
        }  # who refuses is not told apart
        typed = view.sql(f"select * from {table} limit 0").schema
        for name in view.columns(table):
            kind = _kind(typed.field(name).type)
            if kind is not None and name not in hidden and name != "attributes":
                found[before + name] = kind
    return found


def _kind(type_: pa.DataType) -> Kind | None:
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return "text"
    if pa.types.is_boolean(type_):
        return "flag"
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return "number"
    return "words" if pa.types.is_list(type_) else None


def of(view: View, found: Recommender, columns: set[str], now_us: int | None = None) -> Shelf:
    """The items of a recommender and of a shop.

    Args:
        view: the shop.
        found: what was learnt.
        columns: of products, that rules speak of.
        now_us: the moment from which ages are counted; None = that of the newest act.
    """
    named = ["title", "brand", "product_type", *sorted(columns - {"id", "title", "brand", "product_type", AGE})]
    newest = f"{now_us}" if now_us is not None else "(select coalesce(max(epoch_us(event_time)), 0) from events)"
    age = f", ({newest} - epoch_us(created_at)) / {DAY_US}.0 as {AGE}" if AGE in columns else ""
    rows = view.sql(
        f"""select id, coalesce(availability = 'out_of_stock', false) as _gone, {", ".join(map(name_in_sql, named))}{age}
            from products order by id"""
    )
    known = pa.array(found.ids, pa.string())
    later = rows["id"].filter(pc.invert(pc.is_in(rows["id"], value_set=known))).to_pylist()
    notes: list[str] = []
    texts: Mapping[int, str] = {}
    new: frozenset[int] = frozenset()
    if later and SIMILAR not in found.sources:
        notes.append(
            f"{len(later):,} products, such as `{later[0]}`, came after the training, which knew no texts; train again to list them"
        )
        later = []
    if later:
        told = worded(view)
        words = dict(zip(told["id"].to_pylist(), told["words"].to_pylist(), strict=True))
        every = [words.get(name, "") for name in (*found.ids, *later)]
        new = frozenset(range(len(found.ids), len(every)))
        found, texts = found.with_items(later, every), dict(enumerate(every))
        known = pa.array(found.ids, pa.string())
    at = pc.index_in(known, value_set=rows["id"].combine_chunks())
    products = rows.take(at)
    gone = np.asarray(pc.fill_null(products["_gone"], False), bool)
    place = {name: code for code, name in enumerate(found.ids)}
    return Shelf(found, place, products, gone, new, texts, tuple(notes))


def shoppers(view: View, users: Sequence[str | None] | None, wanted: bool) -> dict[str, dict[str, Any]]:
    """What the shop knows of shoppers, for rules that look at who asks; of all where ``users`` is None."""
    if not wanted or not view.has("users"):
        return {}
    named = [name.removeprefix(SHOPPER) for name in kinds(view) if name.startswith(SHOPPER) and name not in _OWN]
    who = "" if users is None else f"where user_id in ({', '.join(text_in_sql(user or '') for user in users)})"
    rows = view.sql(f"select {', '.join(map(name_in_sql, named))} from users {who}").to_pylist()
    return {row["user_id"]: {name: value for name, value in row.items() if value is not None} for row in rows}
