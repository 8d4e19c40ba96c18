"""A kill in the middle of the swap leaves the old bundle or the new one for the next command, and never loses ``run/``."""

import os
import signal
import subprocess
import sys

import pytest

from shoplm.model import bundle, folder
from shoplm.model.adapters import AdapterConfig, attach
from shoplm.model.bundle import Contents, TaskPart
from shoplm.model.network import Network
from shoplm.model.specs import Choice

CALLS = 8
"""Renames, syncs and removals of one move into a place that is taken."""


@pytest.fixture(scope="module")
def contents(fresh):
    backbone = fresh("bert")
    network = Network(backbone, {"label": Choice(("a", "b"))}, attach(backbone, AdapterConfig(method="head"), "toy"))

    def of(card):
        return Contents(backbone, False, {"toy": TaskPart(network, "head", "{}", "toy")}, {}, {}, card)

    return of


def stand(place, contents):
    """An old bundle with a journal and a report."""
    bundle.write(contents("old"), place)
    (place / "run").mkdir()
    (place / "run" / "steps.jsonl").write_text("hours of work")
    (place / "report.html").write_text("page")


def in_a_child_killed_at(call, work):
    """Run ``work`` in a forked process that gets ``kill -9`` in place of its ``call``-th system call of those that a swap is made of."""
    child = os.fork()
    if child == 0:
        seen = [0]
        for module, name in ((folder.os, "rename"), (folder.os, "fsync"), (folder.shutil, "rmtree")):
            original = getattr(module, name)

            def counted(*given, original=original, **named):
                seen[0] += 1
                if seen[0] == call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*given, **named)

            setattr(module, name, counted)
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def settled(place, cards=("old", "new")):
    """What every later command sees."""
    bundle.verify(place)
    assert (place / "README.md").read_text() in cards
    assert (place / "run" / "steps.jsonl").read_text() == "hours of work"
    assert (place / "report.html").read_text() == "page"


@pytest.mark.parametrize("call", range(1, CALLS + 2))
def test_a_kill_at_any_call_of_the_move_loses_neither_bundle_nor_run(contents, tmp_path, call):
    place = tmp_path / "out"
    stand(place, contents)
    bundle.write(contents("new"), tmp_path / "new")
    os.rename(tmp_path / "new", tmp_path / ".out.ready")
    killed = in_a_child_killed_at(call, lambda: folder.recover(place))
    assert killed == (call <= CALLS)
    settled(place, ["new"])
    assert os.listdir(tmp_path) == ["out"] or (tmp_path / ".out.old").is_dir()
    bundle.write(contents("newer"), place)
    settled(place, ["newer"])
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("call", range(1, 30, 2))
def test_a_kill_at_any_call_of_a_write_leaves_the_old_or_the_new(contents, tmp_path, call):
    place = tmp_path / "out"
    stand(place, contents)
    in_a_child_killed_at(call, lambda: bundle.write(contents("new"), place))
    settled(place)
    bundle.write(contents("newer"), place)
    settled(place, ["newer"])
    assert os.listdir(tmp_path) == ["out"]


def test_the_first_bundle_killed_before_it_has_its_place_is_found_by_the_next_command(contents, tmp_path):
    bundle.write(contents("first"), tmp_path / "first")
    os.rename(tmp_path / "first", tmp_path / ".out.ready")
    assert bundle.read(tmp_path / "out").card == "first"


def test_two_processes_that_end_one_move_do_not_undo_each_other(contents, tmp_path):
    place = tmp_path / "out"
    stand(place, contents)
    bundle.write(contents("new"), tmp_path / "new")
    os.rename(tmp_path / "new", tmp_path / ".out.ready")
    code = f"from pathlib import Path; from shoplm.model.folder import recover; recover(Path({str(place)!r}))"
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    settled(place, ["new"])
