"""Arranging: places follow the scores, caps and pins hold on every page, propensities are exact, pages never overlap."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.apps.arranging import Limits, ListConfig, arrange

ITEMS = np.array([4, 7, 1, 9, 3], np.int32)
SCORES = np.array([0.5, 1.0, 0.2, 0.9, 0.2], np.float32)
KIND = np.array([0, 0, 0, 1, 1, 1, 1, 0, -1, -1])
"""(10) the group of each code."""


def made(seed=0, limits=None, alike=None, items=ITEMS, scores=SCORES, **config):
    return arrange(items, scores, ListConfig(seed=seed, **config), limits or Limits(), np.random.default_rng(seed), alike)


def test_without_options_the_scores_alone_order_and_equal_ones_go_by_their_codes():
    found = made(k=4)
    assert found.items.tolist() == [7, 9, 4, 1]
    np.testing.assert_array_equal(found.propensities, 1)
    assert made(k=3, offset=3).items.tolist() == [1, 3]
    assert not len(made(k=3, offset=50).items)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 6), st.integers(0, 12), st.floats(0, 1), st.floats(0, 1), st.integers(0, 9), st.integers(1, 3), st.dictionaries(st.integers(0, 7), st.integers(0, 9), max_size=3))  # fmt: skip
def test_a_list_has_no_item_twice_and_keeps_caps_and_pins_on_every_page(k, offset, diversity, explore, seed, cap, pins):
    pins = {place: item for place, item in pins.items() if list(pins.values()).count(item) == 1}
    limits = Limits({"kind": KIND}, {"kind": cap}, pins)
    options = {"k": k, "diversity": diversity, "explore": explore, "seed": seed, "limits": limits}
    near = lambda items: lambda one: (KIND[items] == KIND[items[one]]).astype(np.float32)  # noqa: E731
    whole = [item for begin in range(0, 20, k) for item in made(offset=begin, alike=near, **options).items.tolist()]
    assert len(set(whole)) == len(whole)
    assert set(whole) <= {*ITEMS.tolist(), *pins.values()}
    assert set(pins.values()) <= set(whole)
    page = made(offset=offset, alike=near, **options)
    assert whole[offset : offset + k] == page.items.tolist() or offset % k  # a page begins at a multiple of k; else caps fall otherwise
    assert (page.propensities > 0).all()
    assert (page.propensities <= 1).all()
    for begin in range(0, 20, k):
        found = made(offset=begin, alike=near, **options)
        free = Counter(int(KIND[item]) for item, how in zip(found.items.tolist(), found.how, strict=True) if how != "pinned")
        assert all(count <= cap for group, count in free.items() if group >= 0)


def test_diversity_puts_the_unlike_before_the_like():
    near = lambda items: lambda one: np.isin(items, [7, 9]).astype(np.float32) if items[one] in (7, 9) else np.zeros(len(items), np.float32)  # noqa: E731
    assert made(k=5, diversity=0.0, alike=near).items.tolist() == [7, 9, 4, 1, 3]
    # shares 1, .9, .5, .2, .2: after 7 the like 9 has .5 * .9 - .5 * 1 = -.05, below .5 * .2
    assert made(k=5, diversity=0.5, alike=near).items.tolist() == [7, 4, 1, 3, 9]


@pytest.mark.parametrize("limits", [Limits(), Limits({"kind": KIND}, {"kind": 1}), Limits(pins={1: 1})])
def test_the_logged_propensities_are_the_shares_of_many_draws(limits):
    """Of each first item: of each second item the share among many lists is the propensity that the lists themselves log."""
    draws, logged = Counter(), {}
    lists = 4_000
    for seed in range(lists):
        found = made(seed=seed, k=2, explore=0.4, limits=limits)
        pair = tuple(found.items.tolist())
        draws[pair] += 1
        logged[pair] = float(np.prod(found.propensities.astype(np.float64)))
    assert sum(logged.values()) == pytest.approx(1)  # every list that can come has come, and there are no others
    for pair, chance in logged.items():
        # five standard deviations of a share of 4,000 draws
        assert abs(draws[pair] / lists - chance) < 5 * np.sqrt(chance * (1 - chance) / lists)


def test_without_exploration_every_propensity_is_one_and_with_it_all_is_by_the_stated_formula():
    np.testing.assert_array_equal(
        made(k=5, diversity=0.3, alike=lambda items: lambda one: np.zeros(len(items), np.float32)).propensities, 1
    )
    for seed in range(20):
        found = made(seed=seed, k=1, explore=0.4)
        expected = 0.4 / 5 + 0.6 if found.items[0] == 7 else 0.4 / 5
        np.testing.assert_allclose(found.propensities, expected, rtol=1e-6)  # float32
