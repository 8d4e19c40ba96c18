"""The loop against a plain one: accumulation, schedules, averaging, failure, and the same run from the same seed."""

import numpy as np
import pytest
import torch
from torch import nn

from shoplm.errors import ConfigError, DivergedError, ResourceError
from shoplm.train.loop import _rate, fit, rehearse, start
from train.toy import Toy, config, plan, source, weights


def learnt(model, settings, batches=None, made=None, steps=None):
    """The model after all steps (or the first ``steps``), and the steps."""
    state = start(model, settings)
    found = []
    for step in fit(model, batches or source(), made or plan(seed=settings.seed), settings, state):
        found.append(step)
        if step.number == steps:
            break
    return found, state


def plain_loop(model, settings, steps):
    """Five lines that anyone would write, over the very same batches."""
    made, batches = plan(seed=settings.seed), source()
    decayed = {"words.weight", "layer.weight"}
    optimizer = torch.optim.AdamW(
        [
            {
                "params": [parameter],
                "lr": settings.head_rate if name.startswith("heads.") else settings.learning_rate,
                "weight_decay": settings.weight_decay if name in decayed else 0.0,
            }
            for name, parameter in model.named_parameters()
        ]
    )
    for step in range(steps):
        optimizer.zero_grad()
        losses = model.losses(batches(made.rows(step))[0])
        (losses["label"].mean + 0.5 * losses["stars"].mean).backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimizer.step()
    return weights(model)


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_accumulating_equals_a_plain_loop_over_whole_batches(accumulate):
    settings = config(accumulate=accumulate, schedule="constant", warmup=0.0, weight_decay=0.1)
    ours = Toy()
    steps, _ = learnt(ours, settings, steps=5)
    assert len({tally.count for step in steps for tally in step.losses.values()}) > 1  # the parts do weigh differently
    # float32 sums, reordered; AdamW divides by small roots, so five steps of .05 carry rounding to some 1e-6
    torch.testing.assert_close(weights(ours), plain_loop(Toy(), settings, 5), rtol=0, atol=1e-5)


def test_a_head_without_targets_in_a_step_changes_nothing_but_does_not_break_it():
    model, settings = Toy(), config(schedule="constant")
    batches = source()

    def unlabelled(rows):
        batch, trunk = batches(rows)
        batch.targets["label"][:] = -1
        return batch, trunk

    before = weights(model)
    steps, _ = learnt(model, settings, unlabelled, steps=2)
    assert torch.equal(before["heads.label.weight"], weights(model)["heads.label.weight"])
    assert steps[0].losses["label"].count == 0
    assert steps[0].loss == pytest.approx(0.5 * steps[0].losses["stars"].mean)


def test_clipping_bounds_the_gradient_and_says_what_it_was():
    settings = config(clip=0.01, optimizer="sgd", schedule="constant", warmup=0.0, learning_rate=1.0, head_rate=1.0, weight_decay=0.0)
    model = Toy()
    before = weights(model)
    steps, _ = learnt(model, settings, steps=1)
    moved = sum(((after - before[name]) ** 2).sum() for name, after in weights(model).items()) ** 0.5
    assert steps[0].gradient_norm > 0.01
    assert float(moved) == pytest.approx(0.01, rel=1e-3)  # one SGD step of rate 1 moves by the clipped gradient; clip adds 1e-6 to the norm


def test_sgd_keeps_its_momentum_between_steps():
    settings = config(optimizer="sgd", schedule="constant", warmup=0.0, weight_decay=0.0, head_rate=0.05)
    ours, plain = Toy(), Toy()
    learnt(ours, settings, steps=4)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9)
    made, batches = plan(), source()
    for step in range(4):
        optimizer.zero_grad()
        losses = plain.losses(batches(made.rows(step))[0])
        (losses["label"].mean + 0.5 * losses["stars"].mean).backward()
        optimizer.step()
    torch.testing.assert_close(weights(ours), weights(plain), rtol=0, atol=1e-6)  # float32


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_the_rate_rises_to_its_peak_and_falls_towards_zero_but_never_reaches_it(schedule):
    settings = config(schedule=schedule, warmup=0.1)
    rates = [_rate(step, 100, settings) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[0] == 1 / 11
    assert rates[10] == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx({"linear": 1 / 90, "cosine": 0.5 * (1 - np.cos(np.pi / 90)), "constant": 1}[schedule])
    assert all(0 < rate <= 1 for rate in rates)


def test_without_warm_up_the_first_step_has_the_whole_rate_even_of_one_step_runs():
    assert _rate(0, 1, config(warmup=0.0)) == 1
    assert 0 < _rate(0, 1, config(warmup=0.5)) <= 1


def test_each_step_reports_the_rate_that_it_took():
    settings = config(schedule="linear", warmup=0.1)
    steps, _ = learnt(Toy(), settings)
    assert [step.learning_rate for step in steps] == [0.05 * _rate(at, len(steps), settings) for at in range(len(steps))]


def test_the_averaged_weights_are_the_mean_over_the_last_steps():
    model, settings = Toy(), config(average=0.3)
    state = start(model, settings)
    made = plan()
    seen = [weights(model) for _ in fit(model, source(), made, settings, state)]
    last = seen[-state.averaged :]
    assert state.averaged == sum(step > made.steps * 0.7 for step in range(1, made.steps + 1)) > 1
    for name, mean in state.mean.items():
        torch.testing.assert_close(mean, torch.stack([one[name] for one in last]).mean(0), rtol=0, atol=1e-6)  # float32, a running mean


def test_nothing_is_averaged_when_nothing_is_asked():
    _, state = learnt(Toy(), config(average=0.0))
    assert (state.mean, state.averaged) == ({}, 0)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched(accumulate):
    model, settings = Toy(), config(accumulate=accumulate)
    state = start(model, settings)
    before = None
    with pytest.raises(DivergedError, match=r"the loss became (inf|nan) at step 4 .*try learning_rate=") as caught:
        for _ in fit(model, source(spoilt_at=4), plan(), settings, state):
            before = weights(model)
    assert "\n" not in str(caught.value)
    assert state.step == 3
    assert all(torch.equal(before[name], after) for name, after in weights(model).items())


def test_an_exploding_loss_stops_in_words():
    settings = config(optimizer="sgd", learning_rate=500.0, head_rate=500.0, schedule="constant", warmup=0.0, epochs=20)
    with pytest.raises(DivergedError, match="it began at"):
        learnt(Toy(), settings, made=plan(epochs=20))


def test_the_same_seed_is_the_same_run_and_another_seed_another():
    found = []
    for seed in (7, 7, 8):
        model = Toy(dropout=0.3)
        torch.manual_seed(len(found))  # what was drawn before does not matter
        learnt(model, config(seed=seed))
        found.append(weights(model))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert not torch.equal(found[0]["layer.weight"], found[2]["layer.weight"])


def test_every_epoch_ends_once_and_steps_are_counted_from_one():
    steps, _ = learnt(Toy(), config())
    assert [step.number for step in steps] == list(range(1, plan().steps + 1))
    assert [step.epoch for step in steps if step.ends_epoch] == [1, 2, 3]
    assert sum(step.tokens for step in steps) == 3 * source().lengths.sum()


def test_the_rehearsal_takes_the_largest_batch_and_leaves_no_trace():
    model, settings, seen = Toy(), config(), []
    batches = source()
    before = weights(model)

    def noted(rows):
        seen.append(rows)
        return batches(rows)

    rehearse(model, noted, plan(), settings)
    assert seen[0].tolist() == plan().largest.tolist()
    assert all(torch.equal(before[name], after) for name, after in weights(model).items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_memory_that_runs_out_in_the_rehearsal_is_said_in_words():
    def too_much(rows):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(ResourceError, match="does not fit; set accumulate=4"):
        rehearse(Toy(), too_much, plan(), config())


def test_any_other_fault_in_the_rehearsal_keeps_its_traceback():
    def broken(rows):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        rehearse(Toy(), broken, plan(), config())


def test_a_model_in_which_nothing_learns_is_refused():
    with pytest.raises(ConfigError, match="nothing learns"):
        start(Toy().requires_grad_(False), config())


def test_heads_and_one_dimensional_weights_never_decay():
    state = start(Toy(), config(weight_decay=0.5))
    decayed = [parameter.shape for group in state.optimizer.param_groups if group["weight_decay"] for parameter in group["params"]]
    assert sorted(decayed) == [(8, 8), (50, 8)]
