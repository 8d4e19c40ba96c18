"""What a run has freed is given back only when the machine would run short."""

from __future__ import annotations

import sys

import pytest

from shoplm.train import memory

BLOCK = 100_000
"""Bytes: below glibc's 128 KiB, from which on every block is a mapping of its own and leaves no hole."""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
class TestHoles:
    def test_freed_blocks_below_one_still_held_stay_with_the_process_until_given_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        memory.give_back()()
        blocks = [bytearray(BLOCK) for _ in range(2000)]
        last = bytearray(BLOCK)
        full = memory.resident()
        del blocks
        held = memory.resident()
        if held < full - 1000 * BLOCK:
            pytest.skip("this C library gives holes back by itself")
        monkeypatch.setattr(memory, "SHARE", 0.0)
        memory.trim(memory.EVERY)
        assert memory.resident() < full - 1500 * BLOCK
        assert len(last) == BLOCK

    def test_the_machine_holds_at_least_what_the_process_does(self) -> None:
        assert 0 < memory.resident() < memory.installed()


@pytest.mark.parametrize(("step", "held", "given"), [(16, 30, 1), (16, 20, 0), (15, 30, 0)], ids=["short", "enough", "between two looks"])
def test_memory_is_given_back_at_every_sixteenth_step_above_a_quarter(
    monkeypatch: pytest.MonkeyPatch, step: int, held: int, given: int
) -> None:
    times: list[int] = []
    monkeypatch.setattr(memory, "resident", lambda: held)
    monkeypatch.setattr(memory, "installed", lambda: 100)
    monkeypatch.setattr(memory, "give_back", lambda: lambda: times.append(1))
    memory.trim(step)
    assert len(times) == given
