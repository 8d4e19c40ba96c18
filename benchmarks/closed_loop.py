"""Recommending in a shop that answers: what is shown changes what is bought, and who comes back.

Each world is played for ``--before`` weeks under the shop's own policy. What a shop would have of these weeks teaches the
recommender, through its public verbs. Then ``--after`` weeks are played from that very state under each policy, and every
``--renew`` weeks the recommender counts the new acts (nothing is chosen or weighed anew). Revenue is what was paid less
what was refunded, of all shoppers, whether they came or not; shoppers of one world are paired across its policies.
``oracle`` reads the truth and is the limit of what lists can do for the next click.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side_by_side import Json, Parts, child, must, paired_bootstrap, result, source_digest, table

WORLDS = ("standard", "popularity", "shift")
POLICIES = ("recommend", "counting", "together", "next", "popularity", "random", "oracle")
"""``counting`` is ``recommend`` without its networks."""
BASELINES = ("together", "next", "popularity", "random")
FOUR_WEEKS = 4


def play(job: Any) -> Json:
    """One world under one policy, as a job: ``variant``, ``seed``, ``policy``, ``shoppers``, ``products``, ``visits``, ``before``, ``after``, ``renew``."""
    from shoplm.world.aftermath import NEVER
    from shoplm.world.loop import World
    from shoplm.world.policy import PopularityPolicy, RandomPolicy
    from shoplm.world.settings import WorldConfig
    from shoplm.world.truth import OraclePolicy

    begin = time.perf_counter()
    weeks = job["before"] + job["after"]
    config = WorldConfig(
        shoppers=job["shoppers"], products=job["products"], weeks=weeks, visits=job["visits"], variant=job["variant"], seed=job["seed"], impressions=job["visits"]
    )  # fmt: skip
    world = World(config)
    before = [world.step() for _ in range(job["before"])]
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        plain = {"popularity": PopularityPolicy(), "random": RandomPolicy(), "oracle": OraclePolicy(world), "house": None}
        policy: Any = plain[job["policy"]] if job["policy"] in plain else Lists(job["policy"], world, before, Path(folder))
        learnt = time.perf_counter()
        revenue, visits, came = np.zeros(config.shoppers), np.zeros(config.shoppers), np.zeros((job["after"], config.shoppers), bool)
        orders, satisfaction, clicks = 0, [], 0
        for number in range(job["after"]):
            week = world.step(policy)
            cents = world.prices.paid(week.orders.item, week.orders.ordered_us) * week.orders.quantity * (week.orders.refunded_us == NEVER)
            revenue += np.bincount(week.orders.shopper, cents / 100, config.shoppers)
            for acts in week.acts:
                _, first = np.unique(acts.visit, return_index=True)
                visits += np.bincount(acts.shopper[first], minlength=config.shoppers)
                came[number, acts.shopper] = True
            orders += len(np.unique(week.orders.order))
            clicks += week.clicks
            satisfaction.append(week.satisfaction)
            if isinstance(policy, Lists):
                policy.saw(week)
                if (number + 1) % job["renew"] == 0:
                    policy.renew()
    back = [came[at + 1 : at + 1 + FOUR_WEEKS][:, came[at]].any(0) for at in range(job["after"] - FOUR_WEEKS)]
    return {
        "revenue": revenue.round(2).tolist(), "visits": visits.tolist(), "conversion": orders / max(visits.sum(), 1),
        "clicks_a_visit": clicks / max(visits.sum(), 1), "satisfaction": satisfaction[-1], "back_within_four_weeks": float(np.concatenate(back).mean()),
        "learning_seconds": round(learnt - begin, 1), "seconds": round(time.perf_counter() - begin, 1),
    }  # fmt: skip


class Lists:
    """A policy of the recommender's lists, or of one of its sources alone; places that it leaves empty go to the popular."""

    def __init__(self, name: str, world: Any, before: Sequence[Any], folder: Path) -> None:
        from shoplm.apps.recommend import RecommendConfig
        from shoplm.data.shop import Shop
        from shoplm.pipeline import recommending
        from shoplm.world import columns
        from shoplm.world.catalogue import START_US, WEEK_US

        self.name, self._alone = name, None if name in ("recommend", "counting") else name
        self._names = columns.Names(world.goods, world.prices, world.people, "en", [(product.title,) * 3 for product in world.products])
        self._shop, self._first = Shop(folder / "shop", create=True), 0
        self._shop.upsert("products", columns.products(world.products, "en", world.prices, START_US + len(before) * WEEK_US))
        for week in before:
            self.saw(week)
        self._found, _ = recommending.train(RecommendConfig(sequence=name == "recommend"), shop=self._shop, out=folder / "bundle")
        place = {name: at for at, name in enumerate(self._found.ids)}
        self._theirs = np.array([place[str(name)] for name in world.goods.ids])
        self._ours = np.full(len(self._found.ids), -1)
        self._ours[self._theirs] = np.arange(len(self._theirs))
        self.renew()

    def saw(self, week: Any) -> None:
        """Brings a week's events into the shop."""
        from shoplm.world import columns
        from shoplm.world.loop import DEVICES, VISIT_CHANNELS

        for acts in week.acts:
            if len(acts):
                rows = columns.events(acts, np.full(len(acts), -1), self._first, self._names, (DEVICES, VISIT_CHANNELS))
                self._shop.upsert("events", rows)
                self._first += len(acts)

    def renew(self) -> None:
        """Counts all acts so far."""
        from shoplm.apps.fitting import renewed
        from shoplm.pipeline.acts import acts_of, opened

        with opened(self._shop, None) as origin:
            acts = acts_of(origin.view, self._found.config, cleaned=True)
        place = {name: at for at, name in enumerate(self._found.ids)}
        codes = np.array([place[name] for name in acts.ids], np.int32)
        shown = None if acts.shown is None else replace(acts.shown, items=codes[acts.shown.items])
        histories = replace(acts.histories, items=codes[acts.histories.items])
        self._found = renewed(self._found, histories, acts.at_us, shown=shown)

    def rank(self, arrivals: Any) -> Any:
        """A list for every visit, chance 1 each."""
        from shoplm.retrieve.histories import Histories
        from shoplm.world.policy import PLACES, Shown, first_distinct

        back = arrivals.recent[:, ::-1]
        start = np.concatenate([[0], np.cumsum((back >= 0).sum(1))]).astype(np.int64)
        asked = Histories(self._theirs[back[back >= 0]].astype(np.int32), start)
        parts = [np.zeros((0, PLACES), np.int64)]
        for begin in range(0, len(asked), 1000):
            lists, _ = self._found.lists(asked.take(np.arange(begin, min(begin + 1000, len(asked)))), PLACES, alone=self._alone)
            parts.append(np.where(lists >= 0, self._ours[lists], -1))
        liked = np.argsort(-(arrivals.shelf.bought + 0.01 * arrivals.shelf.viewed), kind="stable")[: 2 * PLACES]
        filled = np.concatenate([np.concatenate(parts), np.broadcast_to(liked, (len(asked), len(liked)))], 1)
        items, _ = first_distinct(filled, PLACES)
        return Shown(items, np.ones(items.shape, np.float32))


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Play all worlds under all policies."""
    reader = argparse.ArgumentParser(
        prog="benchmarks closed_loop", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    reader.add_argument("--worlds", default="standard" if quick else ",".join(WORLDS))
    reader.add_argument("--policies", default=",".join(POLICIES))
    reader.add_argument("--seeds", type=int, default=1 if quick else 2, help="worlds of each kind")
    reader.add_argument("--shoppers", type=int, default=300 if quick else 2000)
    reader.add_argument("--products", type=int, default=150 if quick else 600)
    reader.add_argument("--visits", type=float, default=12.0 if quick else 26.0, help="expected visits of a shopper over all weeks")
    reader.add_argument("--before", type=int, default=12 if quick else 26)
    reader.add_argument("--after", type=int, default=8 if quick else 26)
    reader.add_argument("--renew", type=int, default=4)
    reader.add_argument("--fresh", action="store_true")
    options = reader.parse_args(list(arguments))
    begin = time.perf_counter()
    parts = Parts("closed_loop", fresh=options.fresh, keep=not quick)
    sources = source_digest("shoplm", "benchmarks/closed_loop.py")
    worlds, policies = options.worlds.split(","), options.policies.split(",")
    runs: dict[str, dict[str, list[Json]]] = {}
    for variant in worlds:
        for seed in range(options.seeds):
            for policy in policies:
                job = {"variant": variant, "seed": seed, "policy": policy}
                job |= {key: getattr(options, key) for key in ("shoppers", "products", "visits", "before", "after", "renew")}
                found = parts.take(
                    f"{variant} {seed} {policy}",
                    {**job, "sources": sources},
                    lambda job=job: must(child("benchmarks.closed_loop:play", job)),
                )
                runs.setdefault(variant, {}).setdefault(policy, []).append(found)
    quality: Json = {}
    for variant, found in runs.items():
        said = {policy: _told(each) for policy, each in found.items()}
        best = max((name for name in BASELINES if name in found), key=lambda name: said[name]["revenue_a_shopper"])
        minus = {name: _minus(found["recommend"], found[name]) for name in found if name != "recommend"}
        quality[variant] = {**said, "best_baseline": best, "revenue_minus": minus}
        table(
            f"closed loop, {variant} world: {options.after} weeks after {options.before}",
            ["policy", "revenue a shopper", "ours minus it", "conversion", "clicks a visit", "visits a shopper", "back in 4 weeks", "satisfaction"],
            [[name, f"{one['revenue_a_shopper']:.2f}", "" if name == "recommend" else f"{minus[name]['value']:.2f} [{minus[name]['low']:.2f}, {minus[name]['high']:.2f}]",
              f"{one['conversion']:.4f}", f"{one['clicks_a_visit']:.3f}", f"{one['visits_a_shopper']:.2f}", f"{one['back_within_four_weeks']:.3f}", f"{one['satisfaction']:.3f}"]
             for name, one in sorted(said.items(), key=lambda pair: -pair[1]["revenue_a_shopper"])],
        )  # fmt: skip
    ratios = {
        variant: round(said["recommend"]["revenue_a_shopper"] / said[said["best_baseline"]]["revenue_a_shopper"], 4)
        for variant, said in quality.items()
    }
    holds = {
        f"{variant}: above the best baseline's interval": said["revenue_minus"][said["best_baseline"]]["low"] > 0
        for variant, said in quality.items()
    }
    return result("closed_loop", begin, quick=quick, ratio=ratios, quality={**quality, "holds": holds}, settings=vars(options))


def _told(runs: Sequence[Json]) -> Json:
    """Means over the worlds of one kind."""
    plain = {
        key: float(np.mean([run[key] for run in runs]))
        for key in ("conversion", "clicks_a_visit", "satisfaction", "back_within_four_weeks", "seconds")
    }
    return {
        "revenue_a_shopper": float(np.mean([run["revenue"] for run in runs])), "visits_a_shopper": float(np.mean([run["visits"] for run in runs])), **plain,
    }  # fmt: skip


def _minus(ours: Sequence[Json], theirs: Sequence[Json]) -> Json:
    """Ours minus theirs in revenue a shopper, the same shoppers of the same worlds drawn anew."""
    a, b = (np.concatenate([run["revenue"] for run in side]) for side in (ours, theirs))
    return paired_bootstrap(a, b)
