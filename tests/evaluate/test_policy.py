"""The worth of a policy that was never live is what it earns when it is, and a log that cannot tell says so."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.errors import DataError
from shoplm.evaluate.policy import Log, worth

LIKED = np.array([0.5, 0.3, 0.2, 0.1, 0.05])
LOOKED = np.array([1.0, 0.6])
OLD = np.array([0.1, 0.1, 0.2, 0.3, 0.3])
NEW = np.array([0.4, 0.3, 0.2, 0.05, 0.05])


def shown(count, chance, seed):
    """Two places drawn one after the other without putting back, with the chance of each after those above it, and clicks."""
    rng = np.random.default_rng(seed)
    items = np.stack([rng.choice(5, 2, replace=False, p=chance) for _ in range(count)])
    clicks = rng.random(items.shape) < LIKED[items] * LOOKED
    return items, clicks.astype(float)


def chances(items, chance):
    return np.stack([chance[items[:, 0]], chance[items[:, 1]] / (1 - chance[items[:, 0]])], 1)


def log_of(count, seed=0, new=NEW):
    items, clicks = shown(count, OLD, seed)
    return Log(clicks, chances(items, OLD), chances(items, new), np.arange(count) // 4)


def test_the_estimate_is_what_the_policy_earns_when_it_is_live():
    found = worth(log_of(40_000))
    _, live = shown(40_000, NEW, seed=9)
    assert found.judged.value == pytest.approx(live.sum(1).mean(), abs=0.03)
    assert found.judged.low < live.sum(1).mean() < found.judged.high
    assert found.difference.low > 0
    assert found.difference.value == pytest.approx(found.judged.value - found.logged.value)


def test_a_policy_judged_by_its_own_log_is_the_log():
    found = worth(log_of(3_000, new=OLD))
    assert found.judged.value == pytest.approx(found.logged.value, abs=1e-12)
    assert found.effective == pytest.approx((3_000, 3_000))


def test_the_estimate_equals_a_plain_loop():
    log = log_of(2_000)
    totals, weight = np.zeros(2), np.zeros(2)
    for rewards, logged, judged in zip(log.rewards, log.logged, log.judged, strict=True):
        ratio = 1.0
        for place in range(2):
            ratio *= judged[place] / logged[place]
            totals[place] += ratio * rewards[place]
            weight[place] += ratio
    assert worth(log).judged.value == pytest.approx((totals / weight).sum(), rel=1e-12)


def test_nine_intervals_of_ten_hold_the_truth():
    _, live = shown(200_000, NEW, seed=99)
    truth = live.sum(1).mean()
    found = [worth(log_of(2_000, seed)).judged for seed in range(40)]
    assert sum(one.low <= truth <= one.high for one in found) >= 35  # of 40 at 95 %: fewer than 35 by chance in 5 of 1,000


def test_what_was_hardly_ever_shown_is_refused_in_words_that_help():
    items, clicks = shown(2_000, np.array([0.001, 0.299, 0.3, 0.2, 0.2]), 0)
    old = chances(items, np.array([0.001, 0.299, 0.3, 0.2, 0.2]))
    first = (items[:, 0] == 0).astype(float)
    with pytest.raises(DataError, match=r"cannot answer: for place 0 its 2,000 lists amount to .*; log a policy that explores"):
        worth(Log(clicks, old, np.stack([first, first], 1), np.arange(2_000)))
    usual = np.stack([old[:, 0], first * 0.001], 1)
    with pytest.raises(DataError, match=r"place 1 .*judge its first 1 alone \(places=1\)"):
        worth(Log(clicks, old, usual, np.arange(2_000)))
    assert worth(Log(clicks, old, usual, np.arange(2_000)), places=1).lists == 2_000
    with pytest.raises(DataError, match="no lists"):
        worth(Log(clicks[:0], old[:0], usual[:0], np.arange(0)))


@settings(max_examples=80, deadline=None)
@given(
    logged=st.lists(st.floats(-0.5, 1.5) | st.just(float("nan")), min_size=4, max_size=4),
    judged=st.lists(st.floats(-0.5, 1.5) | st.just(float("nan")), min_size=4, max_size=4),
    places=st.integers(-1, 4) | st.none(),
)
def test_any_chances_give_an_answer_or_one_line(logged, judged, places):
    log = Log(np.ones((2, 2)), np.reshape(logged, (2, 2)), np.reshape(judged, (2, 2)), np.arange(2))
    found = None
    with contextlib.suppress(DataError):
        found = worth(log, places, enough=0.5)
    assert found is None or np.isfinite(found.judged.value)
