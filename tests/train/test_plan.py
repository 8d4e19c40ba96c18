"""Which rows at which step: each row once an epoch, both caps kept, nothing drawn from a running generator."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shoplm.train.plan import WINDOW, Plan, cut

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=80).map(lambda sizes: np.array(sizes, np.int64))
BUDGET = st.none() | st.integers(1, 200)


@given(lengths=LENGTHS, size=st.integers(1, 9), budget=BUDGET, seed=st.integers(0, 9))
def test_every_epoch_holds_every_row_once_within_both_caps(lengths, size, budget, seed):
    plan = Plan(lengths, 2, size, budget, seed)
    for epoch in range(2):
        batches = plan.epoch(epoch)
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
        for batch in batches:
            assert 1 <= len(batch) <= size
            if budget is not None and len(batch) > 1:
                assert len(batch) * lengths[batch].max() <= budget


@given(lengths=LENGTHS, size=st.integers(1, 9), budget=BUDGET, seed=st.integers(0, 9), order=st.randoms())
def test_the_rows_of_a_step_depend_on_nothing_but_the_plan(lengths, size, budget, seed, order):
    plan = Plan(lengths, 3, size, budget, seed)
    forwards = [plan.rows(step).tolist() for step in range(plan.steps)]
    steps = list(range(plan.steps))
    order.shuffle(steps)
    again = Plan(lengths, 3, size, budget, seed)
    assert all(again.rows(step).tolist() == forwards[step] for step in steps)


@given(lengths=LENGTHS, size=st.integers(1, 9), budget=BUDGET)
def test_places_count_through_the_epochs(lengths, size, budget):
    plan = Plan(lengths, 3, size, budget, 0)
    places = [plan.place(step) for step in range(plan.steps)]
    assert places == [(epoch, at) for epoch in range(3) for at in range(len(plan.epoch(epoch)))]


@given(lengths=LENGTHS, size=st.integers(1, 9), budget=BUDGET, seed=st.integers(0, 9))
def test_no_batch_has_more_padded_tokens_than_the_largest(lengths, size, budget, seed):
    plan = Plan(lengths, 1, size, budget, seed)
    held = max(len(batch) * int(lengths[batch].max()) for batch in plan.epoch(0))
    most = len(plan.largest) * int(lengths[plan.largest].max())
    assert int(lengths[plan.largest].max()) == lengths.max()
    if budget is None:
        assert held <= most
    else:
        assert held <= max(budget, most)  # many short rows may fill the budget a little better than few long ones


def test_batches_differ_between_epochs_and_seeds_but_hold_rows_of_like_length():
    lengths = np.random.default_rng(0).integers(1, 100, 64 * WINDOW)
    plan = Plan(lengths, 2, 16, None, 0)
    assert plan.rows(0).tolist() != plan.rows(int(plan.starts[1])).tolist()
    assert plan.rows(0).tolist() != Plan(lengths, 2, 16, None, 1).rows(0).tolist()
    padded = sum(len(batch) * lengths[batch].max() for batch in plan.epoch(0))
    assert padded < 1.1 * lengths.sum()  # batches of random rows would pad by some 90 %


def test_a_row_longer_than_the_budget_is_a_batch_of_its_own():
    lengths = np.array([50, 3, 3])
    assert [batch.tolist() for batch in cut(np.arange(3), lengths, 8, 10)] == [[0], [1, 2]]


def test_nothing_to_cut_is_no_batch():
    nothing = np.zeros(0, np.int64)
    assert cut(nothing, nothing, 4, None) == cut(nothing, nothing, 4, 8) == []
