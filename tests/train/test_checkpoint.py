"""A run stopped at any step and rebuilt from its checkpoint ends with the same bits."""

import functools
import os

import pytest
import torch
from safetensors.torch import save_file

from shoplm.errors import DataError, ResourceError
from shoplm.train import checkpoint
from shoplm.train.loop import fit, start
from train.toy import Toy, config, plan, source, weights

SETTINGS = {
    "dropout": (config(average=0.0), 0.3),
    "averaged": (config(average=0.5), 0.0),
    "both": (config(average=0.3, accumulate=2, schedule="cosine"), 0.3),
    "sgd": (config(optimizer="sgd"), 0.3),
}


@functools.cache
def whole_run(name):
    """The run that was never stopped."""
    settings, dropout = SETTINGS[name]
    model = Toy(dropout=dropout)
    state = start(model, settings)
    lines = [(step.number, step.loss, step.gradient_norm, step.learning_rate) for step in fit(model, source(), plan(), settings, state)]
    return weights(model), state, lines


@pytest.mark.parametrize("stop", [1, 5, 8, 11])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_stopped_and_rebuilt_ends_bit_for_bit_like_one_never_stopped(tmp_path, name, stop):
    settings, dropout = SETTINGS[name]
    wanted, whole, lines = whole_run(name)
    first = Toy(dropout=dropout)
    state = start(first, settings)
    seen = []
    for step in fit(first, source(), plan(), settings, state):
        seen.append((step.number, step.loss, step.gradient_norm, step.learning_rate))
        if step.number == stop:
            break
    checkpoint.save(tmp_path, first, state, {}, {"note": "鞋", "loss": step.loss})

    second = Toy(seed=99, dropout=dropout)  # nothing of the first is left
    torch.manual_seed(12345)
    again = start(second, settings)
    best, facts = checkpoint.load(tmp_path, second, again)
    assert (again.step, best, facts) == (stop, {}, {"note": "鞋", "loss": step.loss})
    seen += [(step.number, step.loss, step.gradient_norm, step.learning_rate) for step in fit(second, source(), plan(), settings, again)]
    assert seen == lines
    assert all(torch.equal(wanted[key], after) for key, after in weights(second).items())
    assert again.averaged == whole.averaged
    assert all(torch.equal(whole.mean[key], mean) for key, mean in again.mean.items())


def saved(folder, steps=3):
    model, settings = Toy(), config(average=0.9)
    state = start(model, settings)
    for step in fit(model, source(), plan(), settings, state):
        if step.number == steps:
            break
    best = {name: tensor * 2 for name, tensor in weights(model).items()}
    checkpoint.save(folder, model, state, best, {"at": steps})
    return model, state, best


def test_everything_comes_back_as_it_was_the_optimizer_too(tmp_path):
    _, state, best = saved(tmp_path)
    other = Toy(seed=5)
    fresh = start(other, config(average=0.9))
    kept, facts = checkpoint.load(tmp_path, other, fresh)
    assert facts == {"at": 3}
    assert kept.keys() == best.keys()
    assert all(torch.equal(kept[name], best[name]) for name in best)
    ours, theirs = fresh.optimizer.state_dict(), state.optimizer.state_dict()
    assert ours["state"].keys() == theirs["state"].keys()
    for number, values in theirs["state"].items():
        assert set(values) == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(ours["state"][number][key], value) for key, value in values.items())
    plain = [{key: value for key, value in group.items() if key != "lr"} for group in ours["param_groups"]]
    assert plain == [{key: value for key, value in group.items() if key != "lr"} for group in theirs["param_groups"]]


def test_only_what_learns_is_written(tmp_path):
    model = Toy()
    model.words.requires_grad_(False)
    assert "words.weight" not in checkpoint.learning(model)
    checkpoint.save(tmp_path, model, start(model, config()), {}, {})
    before = model.words.weight.clone()
    checkpoint.load(tmp_path, model, start(model, config()))
    assert torch.equal(model.words.weight, before)


def test_an_interrupted_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    saved(tmp_path, 3)
    before = (tmp_path / checkpoint.FILE).read_bytes()

    def torn(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", torn)
    with pytest.raises(ResourceError, match="No space left"):
        saved(tmp_path, 5)
    assert (tmp_path / checkpoint.FILE).read_bytes() == before
    assert os.listdir(tmp_path) == [checkpoint.FILE]


@pytest.mark.parametrize("spoil", [lambda b: b[:-7], lambda b: b"", lambda b: b"x" * 99], ids=["truncated", "empty", "noise"])
def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path, spoil):
    saved(tmp_path)
    path = tmp_path / checkpoint.FILE
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataError, match="not a checkpoint") as caught:
        checkpoint.load(tmp_path, Toy(), start(Toy(), config()))
    assert "\n" not in str(caught.value)


def test_a_file_of_something_else_is_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / checkpoint.FILE)
    with pytest.raises(DataError, match="not a checkpoint"):
        checkpoint.load(tmp_path, Toy(), start(Toy(), config()))


def test_a_checkpoint_of_another_model_is_refused_before_anything_changes(tmp_path):
    saved(tmp_path)
    fewer, wider = Toy(), Toy()
    fewer.layer.requires_grad_(False)
    wider.heads["label"] = torch.nn.Linear(8, 4)
    for other in (fewer, wider):
        before = weights(other)
        with pytest.raises(DataError, match="of a model with other settings"):
            checkpoint.load(tmp_path, other, start(other, config()))
        assert all(torch.equal(before[name], after) for name, after in weights(other).items())
