"""Trackers show what the journal says, line by line."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
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


def history_of(file) -> list[dict]:
    """The history in a ``.wandb`` file: a LevelDB log of protobuf records behind seven bytes, short enough for one block."""
    from wandb.proto.wandb_internal_pb2 import Record

    raw, place, found = file.read_bytes()[7:], 0, []
    while place < len(raw):
        size = int.from_bytes(raw[place + 4 : place + 6], "little")
        record = Record()
        record.ParseFromString(raw[place + 7 : place + 7 + size])
        if record.WhichOneof("record_type") == "history":
            found.append({item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item})
        place += 7 + size
    return found


def test_weights_and_biases_holds_the_journal_and_asks_nobody(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    calls: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:  # whoever wants out must come by here

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    asked, _ = server.accept()
                    calls.append(asked.recv(200))
                    asked.close()

        threading.Thread(target=listen, daemon=True).start()
        way = f"http://127.0.0.1:{server.getsockname()[1]}"
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "WANDB_BASE_URL"):
            monkeypatch.setenv(name, way)
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.delenv("WANDB_MODE", raising=False)  # offline is what it does unasked
        journal = Journal(tmp_path)
        journal.open({}, {})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own imports
            with follow(journal, ["wandb"]) as catch_up:
                for step, loss in ((1, 0.75), (2, 0.5)):
                    journal.add(step=step, epoch=1, loss=loss)
                    journal.flush()
                    catch_up()
                journal.add(step=2, epoch=1, train_loss=0.625, valid_accuracy=0.5)
                journal.flush()
    assert calls == []
    (file,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    assert [(row["_step"], row["loss"], row.get("valid_accuracy")) for row in history_of(file)] == [(1, 0.75, None), (2, 0.5, 0.5)]
