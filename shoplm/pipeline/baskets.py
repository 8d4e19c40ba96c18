"""What is counted in a shop at the moment of asking: what stands in one basket, and what is trending."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shoplm.apps.recommend import DAY_US
from shoplm.data.convert import text_in_sql
from shoplm.data.health.behaviour import CAME_BACK, REFUNDED, UNLIKE_PERSONS
from shoplm.data.view import View
from shoplm.pipeline.acts import WHO
from shoplm.retrieve.histories import Float32

HALF_LIFE_DAYS = 7.0
"""After how many days an act counts half for what is trending."""
LIVES = 4
"""Acts older than so many half-lives are not looked at."""
NAMED = 1_000
"""Items that are counted at most."""


@dataclass(frozen=True)
class Counted:
    """Items that were counted, the best first."""

    items: tuple[str, ...]
    scores: Float32
    times: tuple[int, ...]
    """How many baskets, or shoppers, each is grounded in."""
    unit: str
    """What ``times`` counts, in words; ``{n}`` is the number."""
    lacking: str = ""
    """Why there are none."""

    def said(self, item: str) -> str:
        """The reason of one item."""
        n = self.times[self.items.index(item)]
        return self.unit.format(n=f"{n:,}", s="" if n == 1 else "s")


def together(view: View, basket: Sequence[str]) -> Counted:
    """What stands in baskets with the items of one: orders, else purchases of one transaction, else of one visit.

    A basket's items count alike. An item's score is the sum over the items in hand of the cosine of their baskets:
    n(both) / sqrt(n(one) n(other)) (Salton & McGill, 1983). What came back is in no basket, nor what machines and trades put there.
    """
    mine = ", ".join(map(text_in_sql, basket))
    ways = {
        "order{s}": f"""select distinct order_id as basket, item_id as item from orders
            where item_id is not null and coalesce(status, '') not in ('cancelled', 'returned', 'refunded')
            and coalesce(user_id, '') not in ({UNLIKE_PERSONS})""",
        "purchase{s}": f"""select distinct transaction_id as basket, item_id as item from events p
            where event_name = 'purchase' and item_id is not null and transaction_id is not null and not ({REFUNDED} or {CAME_BACK})
            and {WHO} not in ({UNLIKE_PERSONS})""",
        "visit{s}": f"""select distinct session_id as basket, item_id as item from events
            where event_name in ('purchase', 'add_to_cart') and item_id is not null and session_id is not null and {WHO} not in ({UNLIKE_PERSONS})""",
    }
    for word, lines in ways.items():
        rows = view.sql(
            f"""with lines as ({lines}),
                  counts as (select item, count(*) as n from lines group by 1),
                  near as (select a.item as mine, b.item, count(*) as n from lines a join lines b on a.basket = b.basket
                           where a.item in ({mine}) and b.item not in ({mine}) group by all)
                select near.item, sum(near.n / sqrt(c.n * d.n)) as score, sum(near.n) as n from near
                join counts c on c.item = near.mine join counts d on d.item = near.item
                group by 1 order by score desc, near.item limit {NAMED}"""
        )
        if rows.num_rows:
            scores = rows["score"].to_numpy().astype(np.float32)
            named = "it" if len(basket) == 1 else "one of these"
            said = "bought or put into the cart" if word.startswith("visit") else "bought"
            times = tuple(map(int, rows["n"].to_pylist()))
            return Counted(tuple(rows["item"].to_pylist()), scores, times, f"{said} with {named} in {{n}} {word}")
    return Counted((), np.zeros(0, np.float32), (), "", "no order, purchase or visit holds another item beside these")


def trending(view: View, signs: Mapping[str, float]) -> Counted:
    """What many act on lately: an act counts by its kind, half as much every ``HALF_LIFE_DAYS``, once a shopper, item and day.

    Days are counted back from the newest act.
    """
    kinds = " ".join(f"when {text_in_sql(name)} then {weight}" for name, weight in signs.items())
    span = HALF_LIFE_DAYS * LIVES
    rows = view.sql(
        f"""with newest as (select max(event_time) as t from events),
              acts as (select {WHO} as who, item_id, floor((epoch_us((select t from newest)) - epoch_us(event_time)) / {DAY_US}.0) as days,
                              max(case event_name {kinds} else 0 end) as worth
                       from events where item_id is not null and event_time > (select t from newest) - interval {int(span)} days
                       and {WHO} not in ({UNLIKE_PERSONS}) group by all)
            select item_id as item, sum(worth * pow(0.5, days / {HALF_LIFE_DAYS})) as score, count(distinct who) as n
            from acts where worth > 0 group by 1 order by score desc, 1 limit {NAMED}"""
    )
    scores = rows["score"].to_numpy().astype(np.float32)
    return Counted(
        tuple(rows["item"].to_pylist()), scores, tuple(map(int, rows["n"].to_pylist())), f"{{n}} shopper{{s}} in the last {int(span)} days",
        "" if rows.num_rows else "nobody has acted lately",
    )  # fmt: skip
