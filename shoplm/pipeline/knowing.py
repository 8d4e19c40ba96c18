"""What was known about the rows of one part: a task's histories and facts out of a shop, handed to ``as_of``.

The one way by which training, judging and answering come to a context. A task says what it needs; one that needs nothing
beside its own rows gets exactly those. Of a part only its own shoppers and items are looked up, and of a shopper's acts
only the last before the part and those within it, so memory grows with the part and not with the shop (but for the
changes of prices, which are few).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data import contract
from shoplm.data.context import LINKS, Contexts, as_of, met
from shoplm.data.convert import name_in_sql, text_in_sql
from shoplm.data.shop import View
from shoplm.task import Task

BACK_DAYS = 365
"""A history reaches back so far before its moment: what is older says little, and a part need not read it."""
_DAY_US = 86_400_000_000
WHO = "coalesce(user_id, user_pseudo_id)"
"""Who acted: the shopper, else the device."""
KIND = "coalesce(category_l5, category_l4, category_l3, category_l2, category_l1, product_type)"
"""What kind of thing a product is: the deepest category that it has."""

Int64 = npt.NDArray[np.int64]


class Knowing:
    """Contexts for one task out of one shop.

    Args:
        view: the whole shop; None where there is none beside the rows themselves.
        task: says what it needs.
    """

    def __init__(self, view: View | None, task: Task) -> None:
        self._view, self._task = None if view is None else view.whole, task
        self._facts = [name for name in task.needs if name in LINKS and name != task.subject and view is not None and view.has(name)]

    def contexts(self, asked: pa.Table, row: Int64, at_us: Int64) -> Contexts:
        """What was known at each moment.

        Args:
            asked: rows of the subject table.
            row: (moments,) the row of each.
            at_us: (moments,) UTC microseconds.

        Returns:
            One context a moment. The acts of a history carry the words of their product: ``_title``, ``_brand``, ``_kind``,
            and the price shown as ``_price``.
        """
        table = contract.TABLES[self._task.subject]
        if self._view is None or not len(row) or not (self._facts or self._task.acts):
            return as_of(asked, row, at_us, table)
        facts = {name: self._of(name, asked, table) for name in self._facts}
        events = self._acts(asked, at_us) if self._task.acts and self._view.has("events") else None
        return _recent(as_of(asked, row, at_us, table, events, self._task.last, facts), self._task.last)

    def _of(self, name: str, asked: pa.Table, table: contract.Table) -> pa.Table:
        """The rows of a table of facts that some subject leads to."""
        assert self._view is not None
        wanted, key = met(name, asked, table)
        keys = pa.table({"key": pc.unique(wanted.cast(pa.string()).drop_null())})
        return self._view.sql(f"select * from {name} where {name_in_sql(key)} in (select key from _keys)", {"_keys": keys})

    def _acts(self, asked: pa.Table, at_us: Int64) -> pa.Table:
        """The acts of the part's shoppers, with the words of their products, and the changes of its items' prices."""
        assert self._view is not None
        names, low, high = ", ".join(map(text_in_sql, self._task.acts)), int(at_us.min()), int(at_us.max())
        whose = pa.table({"user_id": pc.unique(asked["user_id"].cast(pa.string()).drop_null())})
        later = f"event_time >= make_timestamp({low})"
        found = self._view.sql(
            f"""with mine as (
                  select event_id, event_time, coalesce(event_seq, 0) as event_seq, event_name, {WHO} as who, item_id, price,
                         epoch_us(event_time) as _at_us,
                         quantity, event_value, search_term
                  from events
                  where event_name in ({names}) and event_time >= make_timestamp({low - BACK_DAYS * _DAY_US})
                    and event_time < make_timestamp({high}) and {WHO} in (select user_id from _whose)
                  qualify {later} or row_number() over (
                    partition by who, {later} order by event_time desc, coalesce(event_seq, 0) desc, event_id desc) <= {self._task.last})
                select mine.* exclude (who, price), who as user_id, cast(mine.price as double) as _price,
                       title as _title, brand as _brand, {KIND} as _kind
                from mine left join products on products.id = mine.item_id""",
            {"_whose": whose},
        )
        if "products" not in self._facts:
            return found
        items = asked["item_id"] if "item_id" in asked.schema.names else pa.nulls(0, pa.string())
        prices = self._prices.filter(pc.is_in(self._prices["item_id"], value_set=pc.unique(items.cast(pa.string()).drop_null())))
        return pa.concat_tables([found, prices], promote_options="default")

    @cached_property
    def _prices(self) -> Any:
        """The acts in which an item's price was another than before, as acts of nobody."""
        assert self._view is not None
        return self._view.sql(
            """select event_id, event_time, event_seq, item_id, price, currency from (
                 select event_id, event_time, coalesce(event_seq, 0) as event_seq, item_id, price, currency,
                        lag(price) over (partition by item_id order by event_time, coalesce(event_seq, 0), event_id) as before
                 from events where price is not null and item_id is not null)
               where before is null or price <> before"""
        )


def _recent(contexts: Contexts, last: int) -> Contexts:
    """The same without acts that are too long ago: by each moment's own time, so that it does not matter which part it stands in."""
    if not contexts.acts.num_rows:
        return contexts
    times, start = np.asarray(contexts.acts["_at_us"], np.int64), contexts.start.copy()
    for _ in range(last):
        old = (start < contexts.stop) & (times[np.minimum(start, len(times) - 1)] < contexts.at_us - BACK_DAYS * _DAY_US)
        if not old.any():
            break
        start += old
    return replace(contexts, start=start)
