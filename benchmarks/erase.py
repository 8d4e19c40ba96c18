"""Erase: one shopper out of a shop of many events, from the command to the proof, every file searched.

Each shopper has about twenty events spread over two years, so that the shopper stands in every file of the shop.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.side_by_side import Json, result, say

CHUNK = 250_000
YEARS_S = 2 * 365 * 86_400


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Fill, erase, time."""
    reader = argparse.ArgumentParser(prog="benchmarks erase", description=__doc__)
    reader.add_argument("--events", type=int, default=100_000 if quick else 10_000_000)
    reader.add_argument("--shop", type=Path, help="a shop to use again, or to make; without it a temporary one")
    options = reader.parse_args(list(arguments))
    from shoplm.data.shop import Shop
    from shoplm.pipeline.persons import erase

    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as scratch:
        shop = Shop(options.shop or Path(scratch) / "shop", create=True)
        if not shop.counts():
            with shop.transaction() as put:
                put.upsert("events", _events(options.events))
        say(f"{shop.counts()['events']:,} events")
        clock = time.perf_counter()
        proof = erase(shop, f"user-{options.events // 40:08d}")
        seconds = time.perf_counter() - clock
    say(f"{seconds:.1f} s; {proof}")
    ours = {"events": options.events, "seconds": round(seconds, 2), "searched_mb": proof.searched_bytes / 1e6, "rows": dict(proof.rows)}
    return result("erase", begin, quick=quick, ours=ours, quality={"nothing_found": proof.clean, "holds": {"at most 60 s": seconds <= 60}})


def _events(count: int) -> Iterator[pa.Table]:
    rng = np.random.default_rng(0)
    for start in range(0, count, CHUNK):
        n = min(CHUNK, count - start)
        who = rng.integers(0, max(count // 20, 1), n)
        yield pa.table(
            {
                "event_id": [f"e{start + i:010d}" for i in range(n)],
                "event_time": pa.array((1_700_000_000 + rng.integers(0, YEARS_S, n)) * 1_000_000, pa.timestamp("us", tz="UTC")),
                "event_name": ["view_item"] * n,
                "user_id": [f"user-{u:08d}" for u in who],
                "session_id": [f"s{u}-{i % 7}" for i, u in enumerate(who)],
                "item_id": [f"i{i}" for i in rng.integers(0, 2000, n)],
            }
        )
