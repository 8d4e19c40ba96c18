"""Several tasks in one stream of batches, and the angle between their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from shoplm.config import Config
from shoplm.errors import ConfigError
from shoplm.tally import Tally
from shoplm.text.batch import Batch
from shoplm.train.mixture import Mixture, MixtureConfig, conflicts
from shoplm.train.plan import Plan

sizes = st.lists(st.integers(1, 60), min_size=1, max_size=4)


def mixture(counts, temperature=1.0, epochs=3, batch_size=4, seed=0, budget=None):
    random = np.random.default_rng(sum(counts))
    plans = tuple(Plan(random.integers(1, 20, count), epochs, batch_size, budget, seed) for count in counts)
    return Mixture.of(plans, temperature, seed)


@given(sizes, st.floats(1, 50), st.integers(0, 5), st.sampled_from([None, 40]))
def test_every_batch_is_of_one_task_and_each_task_goes_through_its_own_rows_in_its_own_order(counts, temperature, seed, budget):
    mixed = mixture(counts, temperature, seed=seed, budget=budget)
    seen = {at: [] for at in range(len(counts))}
    for step in range(mixed.steps):
        rows = mixed.rows(step)
        at, own = mixed.task(rows)
        assert ((own >= 0) & (own < counts[at])).all()
        assert (rows - own == mixed.offsets[at]).all()
        seen[at].append(own)
    for at, batches in seen.items():
        plan, alone = mixed.plans[at], []
        for epoch in range(len(batches) // len(plan.epoch(0)) + 2):
            alone += plan.epoch(epoch)
        assert [list(rows) for rows in batches] == [list(rows) for rows in alone[: len(batches)]]


@given(sizes, st.floats(1, 50), st.permutations(range(12)))
def test_the_rows_of_a_step_depend_on_nothing_but_the_plan(counts, temperature, order):
    one, other = mixture(counts, temperature), mixture(counts, temperature)
    expected = [list(one.rows(step)) for step in range(one.steps)]
    for at in order:
        if at < other.steps:
            assert list(other.rows(at)) == expected[at]


def test_a_temperature_of_one_takes_every_row_once_an_epoch():
    mixed = mixture([40, 8, 120], 1.0)
    assert mixed.turns.tolist() == [10, 2, 30]
    assert sorted(np.concatenate(mixed.epoch(1)).tolist()) == list(range(168))


def test_a_high_temperature_gives_all_tasks_the_same_number_of_rows_and_no_more_steps():
    mixed = mixture([40, 8, 120], 1e6)
    assert mixed.turns.tolist() == [14, 14, 14]
    # 2 is between the two: shares of the square roots 6.3, 2.8 and 11.0
    assert mixture([40, 8, 120], 2.0).turns.tolist() == [13, 6, 23]


@given(sizes, st.integers(0, 3), st.sampled_from([None, 40]))
def test_no_batch_has_more_padded_tokens_than_the_largest_or_the_budget(counts, seed, budget):
    mixed = mixture(counts, 3.0, seed=seed, budget=budget)
    most = max(budget or 0, len(mixed.largest) * int(mixed.lengths[mixed.largest].max()))
    for step in range(mixed.steps):
        rows = mixed.rows(step)
        assert len(rows) * int(mixed.lengths[rows].max()) <= most


def test_a_temperature_below_one_and_an_unknown_way_are_refused():
    assert issubclass(MixtureConfig, Config)
    for values, words in (({"mixing_temperature": 0.5}, "mixing_temperature"), ({"sharing": "some"}, "sharing")):
        with pytest.raises(ConfigError, match=words):
            MixtureConfig.of(values, "settings")


class Pulls(nn.Module):
    """Two tasks that pull one shared vector to places of their own, each through a weight of its own."""

    weights = {"a/x": 1.0, "b/x": 2.0}  # noqa: RUF012  (read only)

    def __init__(self, places):
        super().__init__()
        self.point, self.apart = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.ones(2))
        self.unused = nn.Parameter(torch.ones(2))
        self.places = places
        self.drop = nn.Dropout(0.5)

    @property
    def shared(self):
        return [self.point, self.unused]

    def counts(self, batch):
        return {next(iter(batch.targets)): 4.0}

    def losses(self, batch, trunk=None):
        name = next(iter(batch.targets))
        far = self.drop(self.point - self.places[name[0]]) ** 2
        return {name: Tally(far.sum() + self.apart.sum(), 4.0)}


@pytest.mark.parametrize("angle", [0.0, 60.0, 90.0, 180.0])
def test_the_conflict_of_two_tasks_is_the_cosine_between_their_gradients_on_what_they_share(angle):
    turn = np.deg2rad(angle)
    places = {"a": torch.tensor([1.0, 0.0, 0.0]), "b": 5 * torch.tensor([np.cos(turn), np.sin(turn), 0.0], dtype=torch.float32)}
    model = Pulls(places).train()
    empty = np.zeros((1, 1), np.int64)
    parts = {task: (Batch(empty, empty, empty, np.zeros(1, np.int64), {f"{task}/x": empty[0]}), None) for task in "ab"}
    found = conflicts(model, parts, "fp32")
    # the gradient of |p - place|² at p = 0 is -2 · place, so the angle between the gradients is that between the places
    np.testing.assert_allclose(found, [[1, np.cos(turn)], [np.cos(turn), 1]], atol=1e-6)  # float32 places
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
