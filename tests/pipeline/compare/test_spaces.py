"""Where the searches look: the defaults lie inside, what is set is not searched, what follows from a draw is valid."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shoplm.model.adapters import METHODS, refuse_ignored
from shoplm.pipeline.compare.spaces import SPACES, Frame, OneOf, default, laid, space
from shoplm.pipeline.config import FEW, RunConfig, resolve

FRAMES = [Frame(FEW, 6, 300), Frame(FEW + 1, 6, 300), Frame(10**6, 24, 300), Frame(100, 1, 300)]


def base(method, **values):
    return RunConfig.read(["sentiment"], method=method, **values)


@pytest.mark.parametrize("frame", FRAMES, ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_the_recipe_as_it_is_lies_in_every_range_and_is_not_changed_by_its_own_values(method, frame):
    config = base(method)
    first = default(config, frame)
    assert set(first) == set(SPACES[method])
    for name, at in space(config, frame).items():
        assert first[name] in at.values if isinstance(at, OneOf) else at.low <= first[name] <= at.high
    assert resolve(laid(config, first, frame), frame.rows, frame.depth) == resolve(config, frame.rows, frame.depth)


@pytest.mark.parametrize("method", METHODS)
def test_every_corner_of_a_space_is_a_recipe_that_train_takes(method):
    frame = Frame(5000, 6, 300)
    config = base(method)
    searched = space(config, frame)
    random = np.random.default_rng(0)
    for _ in range(64):
        params = {}
        for name, at in searched.items():
            if isinstance(at, OneOf):
                params[name] = at.values[int(random.integers(len(at.values)))]
            else:
                end = (at.low, at.high, math.sqrt(at.low * at.high))[int(random.integers(3))]
                params[name] = round(end) if at.whole else end
        resolved = resolve(laid(config, params, frame), frame.rows, frame.depth)
        refuse_ignored(resolved.adapter)
        assert resolved.adapter.layers is None or 0 <= resolved.adapter.layers <= frame.depth


def test_what_is_set_is_the_same_in_every_trial():
    frame = Frame(5000, 6, 300)
    config = base("lora", learning_rate=1e-3, epochs=2, lora_alpha=8.0)
    assert set(space(config, frame)) == {"layers", "r"}
    tried = laid(config, {"layers": 2, "r": 32}, frame)
    assert (tried.fit.learning_rate, tried.fit.epochs, tried.adapter.lora_alpha) == (1e-3, 2, 8.0)
    assert laid(base("lora"), {"r": 32}, frame).adapter.lora_alpha == 64.0
    assert "target_r" not in space(base("adalora", init_r=6, target_r=4), frame)


def test_a_range_ends_where_the_backbone_does():
    searched = space(base("prefix"), Frame(5000, 6, 20))
    assert searched["num_virtual_tokens"].high == 20
    assert space(base("full"), Frame(5000, 6, 20))["layers"].high == 6
