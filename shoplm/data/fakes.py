"""Reviews that are likely fake or copied: marked with their reason, never dropped.

Three rules: nearly the words of a review of another item or by another writer (so also one writer's same words at many
items); many alike ratings of one item within a day where it usually gets few; a writer whose whole life is one day of
the same extreme rating. A mark is a row of ``labels`` (task ``fake_review``, by ``rule``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data import contract, near
from shoplm.data.shop import View

TASK = "fake_review"
BURST = 5
"""As many alike ratings of one item within a day are a burst, if they are also far more than usual."""
UNUSUAL = 1e-4
"""Chance of such a day at the item's own pace (Poisson)."""
SPREE = 3
"""A writer with as many reviews, all extreme, alike, unverified and of one day."""


@dataclass(frozen=True)
class Marks:
    """Likely fakes: review id -> why, the first rule that held."""

    reasons: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.reasons)

    def by_rule(self) -> dict[str, int]:
        """How many each rule marked."""
        found: dict[str, int] = {}
        for reason in self.reasons.values():
            rule = reason.split(":")[0]
            found[rule] = found.get(rule, 0) + 1
        return found

    def rows(self, now_us: int) -> pa.Table:
        """As rows of ``labels``, judged now."""
        ids = list(self.reasons)
        count = len(ids)
        return pa.table(
            {
                "task": pa.array([TASK] * count, pa.string()), "subject": pa.array(ids, pa.string()), "name": pa.array([TASK] * count, pa.string()),
                "value": pa.array(["likely"] * count, pa.string()), "by": pa.array(["rule"] * count, pa.string()),
                "at": pa.array([now_us] * count, contract.TIME),
                "attributes": pa.array([json.dumps({"reason": reason}, ensure_ascii=False) for reason in self.reasons.values()], pa.string()),
            }
        )  # fmt: skip


def marked(view: View) -> int:
    """How many reviews carry the mark already."""
    return int(view.sql(f"select count(distinct subject) from labels where task = '{TASK}' and \"by\" = 'rule'").column(0)[0].as_py() or 0)


def find(view: View) -> Marks:
    """Look at every review; memory grows by a sketch and an id a review (some 200 bytes), not by their words."""
    reasons = _copied(view)
    for review, why in (*_bursts(view), *_sprees(view)):
        reasons.setdefault(review, why)
    return Marks(reasons)


def _copied(view: View) -> dict[str, str]:
    sketches, ids, items, writers = [], [], [], []
    for part in view.parts("reviews"):
        rows = part.table
        # not null_handling="skip": it leaves rows out in which both are null
        words = pc.binary_join_element_wise(pc.fill_null(rows["title"], ""), pc.fill_null(rows["body"], ""), " ")
        sketches.append(near.sketch(words.to_pylist()))
        ids.append(rows["review_id"])
        items.append(rows["item_id"])
        writers.append(rows["user_id"])
    if not ids:
        return {}
    group = near.groups(sketches)
    whole = pa.table({"group": group, "id": pa.chunked_array(ids), "item": pa.chunked_array(items), "writer": pa.chunked_array(writers)})
    counted = whole.group_by("group").aggregate([("id", "count"), ("item", "count_distinct"), ("writer", "count_distinct")])
    several = pc.and_(
        pc.greater(counted["id_count"], 1),
        pc.or_(pc.greater(counted["item_count_distinct"], 1), pc.greater(counted["writer_count_distinct"], 1)),
    )
    at = np.isin(group, np.asarray(counted.filter(several)["group"]))
    size = dict(zip(counted["group"].to_pylist(), counted["id_count"].to_pylist(), strict=True))
    return {
        review: f"copied text: nearly the same words stand in {size[number] - 1} other review(s)"
        for review, number in zip(whole["id"].filter(pa.array(at)).to_pylist(), group[at].tolist(), strict=True)
    }


def _bursts(view: View) -> list[tuple[str, str]]:
    found = view.sql(
        f"""with rated as (
              select review_id, item_id, rating, created_at, count(*) over (partition by item_id) as whole,
                     greatest(1, date_diff('day', min(created_at) over (partition by item_id), max(created_at) over (partition by item_id)) + 1) as days,
                     count(*) over (partition by item_id, rating order by created_at
                                    range between interval 1 day preceding and interval 1 day following) as alike
              from reviews where rating in (1, 5) and created_at is not null)
            select review_id, item_id, alike, whole, days from rated where alike >= {BURST} order by review_id"""
    )
    marked = []
    for review, item, alike, whole, days in zip(*(found[name].to_pylist() for name in found.schema.names), strict=True):
        usual = 2 * max(whole - alike, 0.5) / days  # the pace of its other days, over the two that the window spans
        if _tail(alike, usual) < UNUSUAL:
            marked.append((review, f"burst: {alike} alike ratings of {item} within a day, {usual / 2:.2f} a day otherwise"))
    return marked


def _tail(count: int, mean: float) -> float:
    """P(Poisson(mean) >= count)."""
    from scipy.special import gammainc

    return float(gammainc(count, mean))


def _sprees(view: View) -> list[tuple[str, str]]:
    found = view.sql(
        f"""select review_id, user_id, whole from (
              select review_id, user_id, count(*) over w as whole, min(rating) over w as low, max(rating) over w as high,
                     date_diff('hour', min(created_at) over w, max(created_at) over w) as hours,
                     count(*) filter (verified_purchase) over w as bought
              from reviews where user_id is not null and rating is not null and created_at is not null
              window w as (partition by user_id))
            where whole >= {SPREE} and low = high and low in (1, 5) and hours < 24 and bought = 0 order by review_id"""
    )
    return [
        (review, f"one-day writer: all {whole} reviews of {writer} are of one day, alike, extreme and unverified")
        for review, writer, whole in zip(*(found[name].to_pylist() for name in found.schema.names), strict=True)
    ]
