"""Memory that a run has freed goes back to the machine before it runs short.

Batches of many widths leave the C library's heap full of holes that the next step's tensors do not fit, so the process
grows over a run to several times what a step needs. Giving the holes back costs a few hundredths of the speed (fresh
pages must be cleared again), so it is done only while the process holds more than a share of the machine's memory.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable

EVERY = 16
"""Steps between two looks."""
SHARE = 0.25
"""Of the machine's memory, that a run may hold before it gives back what it has freed."""


def trim(step: int) -> None:
    """After some steps, look how much the process holds; above ``SHARE`` of the machine, give back the holes."""
    if step % EVERY == 0 and resident() > SHARE * installed():
        give_back()()


def resident() -> int:
    """Bytes of the machine's memory that this process holds; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as line:
            return int(line.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


@functools.cache
def installed() -> int:
    """Bytes of memory of the machine; 0 where the system does not say."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0


@functools.cache
def give_back() -> Callable[[], None]:
    """What hands freed pages back: ``malloc_trim`` of glibc, or nothing where the C library has none."""
    try:
        trimmed = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return lambda: None
    trimmed.argtypes = [ctypes.c_size_t]
    return lambda: trimmed(0)
