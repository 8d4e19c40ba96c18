"""The closed loop: what is shown changes what happens, and the engine obeys its own truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.errors import DataError
from shoplm.world.advertising import answers
from shoplm.world.loop import World
from shoplm.world.policy import (
    HousePolicy,
    PopularityPolicy,
    RandomPolicy,
    Shown,
    first_distinct,
)  # fmt: skip
from shoplm.world.settings import WorldConfig
from shoplm.world.truth import OraclePolicy
from shoplm.world.visits import LIST, VIEW

CONFIG = WorldConfig(shoppers=300, products=120, weeks=16, visits=16)


def played(policy_of, config=CONFIG):
    world = World(config)
    return world, list(world.run(policy_of(world)))


@pytest.fixture(scope="module")
def runs():
    made = {"random": lambda _: RandomPolicy(), "popularity": lambda _: PopularityPolicy(), "oracle": OraclePolicy}
    return {name: played(policy) for name, policy in made.items()}


def conversion(weeks):
    return sum(len(np.unique(week.orders.order)) for week in weeks) / sum(week.visits for week in weeks)


def test_the_oracle_sells_more_than_the_popular_and_that_more_than_chance(runs):
    found = {name: conversion(weeks) for name, (_, weeks) in runs.items()}
    assert found["oracle"] > 1.15 * found["popularity"]
    assert found["popularity"] > 1.05 * found["random"]


def test_shoppers_who_are_shown_better_lists_come_back_more_often(runs):
    late = {name: sum(week.visits for week in weeks[8:]) for name, (_, weeks) in runs.items()}
    assert late["oracle"] > 1.2 * late["popularity"] > late["random"]
    assert runs["oracle"][1][-1].satisfaction > runs["random"][1][-1].satisfaction


def test_a_week_is_the_same_for_the_same_seed_and_policy():
    one, two = (played(lambda world: world.house())[1] for _ in range(2))
    for a, b in zip(one, two, strict=True):
        assert (a.visits, a.clicks, a.revenue_cents) == (b.visits, b.clicks, b.revenue_cents)


def test_clicks_at_a_place_come_to_pass_as_often_as_their_chance(runs):
    _, weeks = runs["random"]
    shown = np.concatenate(
        [acts.p_click[acts.list_row[(acts.name == LIST) & (acts.list_name == 0)]] for week in weeks for acts in week.acts]
    )
    index = np.concatenate([acts.index[(acts.name == VIEW) & (acts.list_name == 0)] for week in weeks for acts in week.acts])
    expected = shown.sum(axis=0)
    assert np.bincount(index, minlength=10) == pytest.approx(expected, abs=4.5 * float(expected.max()) ** 0.5)
    assert expected[0] > 1.5 * expected[-1]  # the first place is looked at more


def test_a_policy_learns_nothing_that_a_shop_does_not_know():
    seen = []

    class Spy(RandomPolicy):
        def rank(self, arrivals):
            seen.append(arrivals)
            return super().rank(arrivals)

    World(CONFIG).step(Spy())
    names = set(vars(seen[0])) | set(vars(seen[0].shelf))
    assert names == {
        "shopper",
        "at_us",
        "recent",
        "visits",
        "channel",
        "shelf",
        "seed",
        "ids",
        "category",
        "brand",
        "cents",
        "shelves",
        "viewed",
        "bought",
    }


def test_tastes_change_at_once_in_the_variant_shift():
    world = World(CONFIG.model_copy(update={"variant": "shift"}))
    shift = world.config.shift_week
    before = world.taste()
    for week in world.run(weeks=shift + 1):
        assert week.week <= shift
    assert shift == 9
    moved = np.abs(world.taste() - before).sum(axis=1) > 0.2
    assert 0.5 < moved.mean() < 0.85


def test_the_popular_takes_more_in_the_variant_popularity():
    def top_share(variant):
        _, weeks = played(lambda world: world.house(), CONFIG.model_copy(update={"variant": variant}))
        items = np.concatenate([acts.item[acts.name == VIEW] for week in weeks[8:] for acts in week.acts])
        count = np.sort(np.bincount(items, minlength=120))[::-1]
        return count[:12].sum() / count.sum()

    assert top_share("popularity") > 1.3 * top_share("standard")


def test_ads_lift_visits_by_the_share_that_is_known():
    config = WorldConfig(shoppers=3000, products=24, weeks=4, visits=40, impressions=40)
    quiet = config.model_copy(update={"impressions": 0.0})
    loud, silent = (next(iter(World(one).run())) for one in (config, quiet))
    world = World(config)
    lift = 1 + world.crowd.answers[0].sum()
    assert loud.visits / silent.visits == pytest.approx(lift, rel=4 * (2 / silent.visits) ** 0.5)


def test_carry_over_and_saturation_are_as_written():
    config = WorldConfig(shoppers=100, weeks=10, impressions=100)
    once = np.zeros((10, 5))
    once[0] = 100 * 100 / 10 * np.array([0.22, 0.3, 0.12, 0.26, 0.1])  # one usual week of each channel, then nothing
    found = answers(once, config)
    search = 0.9 * 0.1 ** np.arange(10)  # carry 0.1
    assert found[:, 0] == pytest.approx(0.30 * search / (search + 0.8))
    more = answers(once * 1000, config)
    assert (more[0] < np.array([0.30, 0.24, 0.12, 0.10, 0.20])).all()


def test_what_is_seen_often_is_clicked_less():
    seen = World(WorldConfig(shoppers=50, products=24, weeks=2, impressions=200)).step().impressions
    order = np.lexsort((seen.frequency, seen.position, seen.ad, seen.shopper))
    shopper, ad, position, chance = (getattr(seen, name)[order] for name in ("shopper", "ad", "position", "p_click"))
    again = (shopper[1:] == shopper[:-1]) & (ad[1:] == ad[:-1]) & (position[1:] == position[:-1])
    assert again.sum() > 50
    assert (chance[1:] < chance[:-1])[again].mean() > 0.97  # the season moves a little within the week


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda n: Shown(np.zeros((n, 2), np.int64), np.ones((n, 2), np.float32)), "twice"),
        (lambda n: Shown(np.full((n, 1), 999), np.ones((n, 1), np.float32)), "places 0 to 119"),
        (lambda n: Shown(np.zeros((n, 1), np.int64), np.zeros((n, 1), np.float32)), "propensities"),
        (lambda n: Shown(np.zeros((n + 1, 1), np.int64), np.ones((n + 1, 1), np.float32)), "expected whole numbers"),
        (lambda n: Shown(np.zeros((n, 1)), np.ones((n, 1), np.float32)), "expected whole numbers"),
    ],
)
def test_an_unlawful_answer_of_a_policy_is_refused_in_one_line(answer, said):
    class Wrong:
        name = "wrong"

        def rank(self, arrivals):
            return answer(len(arrivals))

    with pytest.raises(DataError, match=said):
        World(CONFIG).step(Wrong())


@settings(max_examples=60, deadline=None)
@given(
    items=st.lists(st.lists(st.integers(-3, 8), min_size=2, max_size=2), min_size=1, max_size=4),
    chance=st.lists(st.floats(allow_nan=True, width=32), min_size=8, max_size=8),
)
def test_any_answer_is_taken_or_cleanly_refused(items, chance):
    shown = Shown(np.array(items), np.array(chance[: 2 * len(items)], dtype=np.float32).reshape(len(items), 2))
    try:
        taken = shown.checked(len(items), 6)
    except DataError as error:
        taken, said = None, str(error)
        assert_one_line(said)
    if taken is not None:
        assert taken.items.min() >= 0
        assert ((taken.propensity > 0) & (taken.propensity <= 1)).all()


def assert_one_line(said):
    assert said
    assert "\n" not in said


def test_products_may_be_named_by_id_and_a_strange_id_is_refused():
    shelf = World(CONFIG).shelf()
    shown = Shown.of_ids(shelf.ids[[[3, 1]]], np.ones((1, 2), np.float32), shelf)
    assert shown.items.tolist() == [[3, 1]]
    with pytest.raises(DataError, match="'XX-1'"):
        Shown.of_ids(np.array([["XX-1"]]), np.ones((1, 1), np.float32), shelf)


def test_an_order_has_a_status_at_any_moment():
    placed = World(CONFIG).step().orders
    status, since = placed.status(int(placed.ordered_us.min()) - 1)
    assert (status == 0).all()
    assert (since == placed.ordered_us).all()


def test_a_world_ends_with_its_last_week():
    world = World(CONFIG.model_copy(update={"weeks": 2}))
    list(world.run())
    with pytest.raises(DataError, match="2 weeks are over"):
        world.step()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), min_size=8, max_size=8), min_size=1, max_size=5))
def test_distinct_values_come_in_the_order_in_which_they_were_drawn(rows):
    found, full = first_distinct(np.array(rows), 3)
    for row, kept, enough in zip(rows, found.tolist(), full.tolist(), strict=True):
        different = list(dict.fromkeys(row))
        assert enough == (len(different) >= 3)
        assert kept[: len(different[:3])] == different[:3]


def test_the_logged_chance_is_how_often_the_house_shows_it():
    world = World(CONFIG)
    world.step()
    seen = {}

    class Keep(HousePolicy):
        def rank(self, arrivals):
            seen["arrivals"] = arrivals
            return super().rank(arrivals)

    world.step(Keep())
    arrivals = seen["arrivals"]
    drawn = 4000
    from dataclasses import replace

    one = replace(
        arrivals, shopper=np.repeat(arrivals.shopper[:1], drawn), at_us=np.repeat(arrivals.at_us[:1], drawn),
        recent=np.repeat(arrivals.recent[:1], drawn, axis=0), visits=np.repeat(arrivals.visits[:1], drawn), channel=np.repeat(arrivals.channel[:1], drawn),
    )  # fmt: skip
    shown = HousePolicy().rank(one)
    first = np.bincount(shown.items[:, 0], minlength=120)
    chance = np.zeros(120)
    chance[shown.items[:, 0]] = shown.propensity[:, 0]
    assert first == pytest.approx(drawn * chance, abs=5 * (drawn * chance.max()) ** 0.5 + 1)
