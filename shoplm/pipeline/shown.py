"""Lists that a shop has shown, out of its events: who saw which items in which places, and which of them were clicked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data.view import View
from shoplm.retrieve.exposures import Exposures

MOST = 200_000
"""Lists that are read, the last ones."""
LEAST = 500
"""Clicks in lists from which something can be learnt."""


def exposures_of(view: View, shoppers: pa.Array, ids: Sequence[str]) -> Exposures | None:
    """The lists that the shoppers of some histories saw.

    A click counts in the lists of its session and name that hold its item and were shown before it.

    Args:
        view: a shop.
        shoppers: (S) ids, in the order of the histories.
        ids: (N) the items.

    Returns:
        None where the shop logs no lists, or too few clicks to learn from.
    """
    if not view.has("events"):
        return None
    rows = view.sql(
        f"""with lists as (
              select row_number() over (order by event_time, event_id) as number, coalesce(user_id, user_pseudo_id) as who, session_id,
                     coalesce(item_list_name, '') as called, event_time as since, impression
              from events where len(impression) > 1 and session_id is not null and coalesce(user_id, user_pseudo_id) is not null
              qualify row_number() over (order by event_time desc, event_id desc) <= {MOST}),
            places as (
              select number, who, session_id, called, since, unnest(impression) as item_id,
                     unnest(range(len(impression))) as place from lists),
            clicks as (
              select session_id, coalesce(item_list_name, '') as called, item_id, max(event_time) as latest from events
              where event_name in ('select_item', 'view_item') and "index" is not null and session_id is not null group by all)
            select number, who, epoch_us(since) as at_us, places.item_id as item_id, coalesce(latest >= since, false) as clicked,
                   epoch_us(greatest(since, max(coalesce(latest, since)) over (partition by number))) as until_us
            from places left join clicks using (session_id, called, item_id) order by number, place"""
    )
    known, owner = pa.array(ids, pa.string()), pc.index_in(rows["who"], shoppers)
    item = pc.index_in(rows["item_id"], known)
    kept = pc.and_(pc.is_valid(owner), pc.is_valid(item)).to_numpy(zero_copy_only=False) if rows.num_rows else np.zeros(0, bool)
    clicked = rows["clicked"].to_numpy(zero_copy_only=False).astype(bool)[kept]
    if clicked.sum() < LEAST:
        return None
    _, first = np.unique(rows["number"].to_numpy()[kept], return_index=True)
    start = np.append(first, len(clicked)).astype(np.int64)
    whose = pc.fill_null(owner, -1).to_numpy().astype(np.int64)[kept][first]
    at_us, until_us = (rows[name].to_numpy().astype(np.int64)[kept][first] for name in ("at_us", "until_us"))
    return Exposures(whose, at_us, pc.fill_null(item, -1).to_numpy().astype(np.int32)[kept], start, clicked, until_us)
