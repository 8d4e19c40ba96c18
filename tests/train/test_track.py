"""Trackers show what the journal says, line by line."""

from __future__ import annotations

import sys
import warnings

import pytest

from shoplm.errors import ConfigError
from shoplm.train.journal import Journal
from shoplm.train.track import follow


def test_tensorboard_shows_the_numbers_of_the_journal(tmp_path):
    journal = Journal(tmp_path)
    journal.open({}, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorBoard's own imports
        with follow(journal, ["tensorboard"]) as catch_up:
            for step, loss in ((1, 0.75), (2, 0.5)):
                journal.add(step=step, epoch=1, loss=loss)
                journal.flush()
                catch_up()
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        shown = EventAccumulator(str(tmp_path / "tensorboard"))
        shown.Reload()
        assert [(point.step, point.value) for point in shown.Scalars("loss")] == [(1, 0.75), (2, 0.5)]


def test_without_a_tracker_nothing_is_read(tmp_path):
    with follow(Journal(tmp_path / "nowhere"), []) as catch_up:
        catch_up()


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_tracker_that_is_not_installed_says_how_to_install_it(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb"}[name], None)
    with pytest.raises(ConfigError, match=r"pip install 'shoplm\[track\]'"):
        follow(Journal(tmp_path), [name]).__enter__()
