"""bf16 where the hardware has it: measured on this machine, not assumed."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Literal

import torch

Precision = Literal["fp32", "bf16"]


def faster(rows: int = 1024, width: int = 384, wide: int = 1536, repeats: int = 16) -> Precision:
    """The faster precision for a linear layer of this shape, casts included; fp32 unless bf16 wins by a fifth.

    Takes about a tenth of a second. The two are timed in turn and the best of each counts, so that a
    busy neighbour does not decide. Where bf16 is emulated (no AVX-512) it is a hundred times slower than
    fp32: two tries at an eighth of the rows settle that without waiting for it.
    """
    left, weight = torch.randn(rows, width), torch.randn(wide, width)
    hopeless = _best(left[: max(1, rows // 8)], weight, 2)
    if hopeless["bf16"] > 4 * hopeless["fp32"]:
        return "fp32"
    best = _best(left, weight, repeats)
    return "bf16" if best["bf16"] * 1.2 < best["fp32"] else "fp32"


def _best(left: torch.Tensor, weight: torch.Tensor, repeats: int) -> dict[Precision, float]:
    """The shortest time of either precision, in seconds, timed in turn."""
    best: dict[Precision, float] = {"fp32": float("inf"), "bf16": float("inf")}
    with torch.no_grad():
        for _ in range(repeats):
            for precision in best:
                with autocast(precision):
                    begin = time.perf_counter()
                    torch.nn.functional.linear(left, weight)
                    best[precision] = min(best[precision], time.perf_counter() - begin)
    return best


def autocast(precision: Precision) -> contextlib.AbstractContextManager[Any]:
    """The context in which forward passes of this precision run."""
    if precision == "bf16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return contextlib.nullcontext()
