"""Erase: one shopper out of a shop of many events and its live store in use, from the command to the proof, every file searched.

Each shopper has about twenty events spread over two years, so that the shopper stands in every file of the shop. The live
store holds acts that stay after draining and acts that wait, served lists, chats, labels, questions and an audit; a server
keeps it open and goes on writing acts of other shoppers while the erasure runs. Afterwards no byte of any file of the
shop, the store's log included, holds the id.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from benchmarks.side_by_side import Json, result, say

if TYPE_CHECKING:
    from shoplm.data.shop import Shop

CHUNK = 250_000
YEARS_S = 2 * 365 * 86_400


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Fill, erase, time."""
    reader = argparse.ArgumentParser(prog="benchmarks erase", description=__doc__)
    reader.add_argument("--events", type=int, default=100_000 if quick else 10_000_000)
    reader.add_argument("--shop", type=Path, help="a shop to use again, or to make; without it a temporary one")
    reader.add_argument("--live", type=int, default=5_000 if quick else 100_000, help="acts in the live store, half of them drained")
    options = reader.parse_args(list(arguments))
    from shoplm.data.shop import Shop
    from shoplm.pipeline.persons import erase

    begin = time.perf_counter()
    user = f"user-{options.events // 40:08d}"
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as scratch:
        shop = Shop(options.shop or Path(scratch) / "shop", create=True)
        if not shop.counts():
            with shop.transaction() as put:
                put.upsert("events", _events(options.events))
        say(f"{shop.counts()['events']:,} events")
        _fill_live(shop, options.live, options.events // 20, user)
        say(f"live store: {options.live:,} acts, {(shop.path / 'store.sqlite3').stat().st_size / 1e6:,.0f} MB")
        with _server(shop, options.events // 20) as written:
            clock, cpu = time.perf_counter(), time.process_time()
            proof = erase(shop, user)
            seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - cpu
        left = [file.name for file in shop.path.rglob("*") if file.is_file() and user.encode() in file.read_bytes()]
    say(f"{seconds:.1f} s ({cpu_seconds:.1f} s CPU); {written[0]:,} acts written meanwhile; {proof}")
    ours = {"events": options.events, "live_acts": options.live, "seconds": round(seconds, 2), "cpu_seconds": round(cpu_seconds, 2),
            "searched_mb": proof.searched_bytes / 1e6, "rows": dict(proof.rows), "live_rows": proof.live_rows, "written_meanwhile": written[0]}  # fmt: skip
    quality = {"nothing_found": proof.clean and not left, "holds": {"at most 60 s": seconds <= 60, "no byte of any file": not left}}
    return result("erase", begin, quick=quick, ours=ours, quality=quality)


def _fill_live(shop: Shop, count: int, shoppers: int, user: str) -> None:
    from shoplm.data.drain import drain
    from shoplm.data.records import Act, Label, Served, Turn
    from shoplm.data.store import Audit, Question, Store

    at, rng = 1_760_000_000_000_000, np.random.default_rng(1)
    store = Store(shop.path)
    for half in range(2):
        for start in range(half * count // 2, (half + 1) * count // 2, 1000):
            names = [user, *(f"user-{n:08d}" for n in rng.integers(0, max(shoppers, 1), 999))]
            store.put(
                *(Act(f"live-{start + n}", at + start + n, "view_item", user_id=name, item_id=f"i{n}") for n, name in enumerate(names))
            )
            store.put(Served(f"rec-{start}", at + start, ["i1", "i2"], user_id=names[start // 1000 % 2]),
                      Turn(f"talk-{start}", 0, "user", f"parcel number {start} of mine is late", at + start, user_id=names[start // 1000 % 2]),
                      Turn(f"talk-{start}", 1, "assistant", "Thank you for asking.", at + start + 1),
                      Label("traits", names[start // 1000 % 2], "age", str(start), "model", at + start))  # fmt: skip
            store.ask(Question(f"q-{start}", at, "traits", names[start // 1000 % 2], "age", "30", "unsure"))
            store.note(*(Audit(f"a-{start}-{n}", at, "staff", "looked at", name) for n, name in enumerate(names[:50])))
        if half == 0:
            drain(store, shop)
    store.close()


@contextlib.contextmanager
def _server(shop: Shop, shoppers: int) -> Iterator[list[int]]:
    """Acts of others go on coming in, as a server would write them; how many."""
    from shoplm.data.records import Act
    from shoplm.data.store import Store

    store, over, written = Store(shop.path), threading.Event(), [0]

    def work() -> None:
        while not over.wait(0.02):
            store.put(Act(f"after-{written[0]}", 1_770_000_000_000_000 + written[0], "view_item", user_id=f"user-{(written[0] * 7) % max(shoppers, 1):08d}x"))  # fmt: skip
            written[0] += 1

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield written
    finally:
        over.set()
        worker.join()
        store.close()


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
