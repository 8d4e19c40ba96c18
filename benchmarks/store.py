"""The live store: acknowledged writes a second, drained rows a second, the time to read a shopper's last acts.

Every write counts only when it is durable. The peers insert the same JSON into one plain table of the same database
with the same durability (SQLite: WAL, full sync; PostgreSQL: fsync and synchronous commit on), without an id check,
an index by shopper or a contract. PostgreSQL runs in a cluster of our own behind a Unix socket; it is left out where
none is installed.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side_by_side import ROOT, Json, child, must, ratio, result, say, spread, table

NOW_US = 1_750_000_000_000_000
SHOPPERS = 50
CASES = {"one": (1, 1), "batch_100": (100, 1), "threads_8": (1, 8)}
"""Records a call, threads."""


def _act(n: int) -> Any:
    from shoplm.data.records import Act

    return Act(f"e{n}", NOW_US + n, "view_item", user_id=f"u{n % SHOPPERS}", item_id=f"i{n % 997}", session_id=f"s{n % 77}", price="19.99",
               currency="EUR", device="mobile")  # fmt: skip


def _plain_sqlite(folder: Path, _: str) -> Callable[[Sequence[Any]], None]:
    from shoplm.data.records import entry

    con = sqlite3.connect(folder / "plain.sqlite3", isolation_level=None, check_same_thread=False)
    con.execute("pragma journal_mode=wal")
    con.execute("pragma synchronous=full")
    con.execute("create table rows (seq integer primary key, body text)")
    lock = threading.Lock()

    def write(acts: Sequence[Any]) -> None:
        bodies = [(entry(act).body,) for act in acts]
        with lock:
            con.execute("begin immediate")
            con.executemany("insert into rows (body) values (?)", bodies)
            con.execute("commit")

    return write


def _plain_postgres(_: Path, url: str) -> Callable[[Sequence[Any]], None]:
    import psycopg

    from shoplm.data.records import entry

    address = url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(address, autocommit=True) as con:
        con.execute("create table plain (seq bigserial primary key, body text)")
    connections: dict[int, Any] = {}

    def write(acts: Sequence[Any]) -> None:
        me = threading.get_ident()
        con = connections.setdefault(me, connections.get(me) or psycopg.connect(address))
        bodies = [(entry(act).body,) for act in acts]
        with con.cursor() as cursor:
            cursor.executemany("insert into plain (body) values (%s)", bodies)
        con.commit()

    return write


def _ours(folder: Path, url: str) -> Callable[[Sequence[Any]], None]:
    from shoplm.data.store import Store

    store = Store(folder, url or None)
    return lambda acts: (store.put(*acts), None)[1]


SIDES = {"ours": _ours, "plain_sqlite": _plain_sqlite, "plain_postgres": _plain_postgres}


def write(job: Mapping[str, Any]) -> Json:
    """Acknowledged writes of one side, as a job."""
    size, threads = job["size"], job["threads"]
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        put = SIDES[job["side"]](Path(folder), job["url"])
        for n in range(threads * 3):
            put([_act(10**7 + n)])
        calls = job["records"] // size // threads
        took = np.zeros((threads, calls))

        def work(mine: int) -> None:
            for call in range(calls):
                acts = [_act((mine * calls + call) * size + n) for n in range(size)]
                begin = time.perf_counter()
                put(acts)
                took[mine, call] = time.perf_counter() - begin

        workers = [threading.Thread(target=work, args=(mine,)) for mine in range(threads)]
        begin = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        seconds = time.perf_counter() - begin
    p50, p99 = np.quantile(took, [0.5, 0.99]) * 1000
    return {"rows_per_second": round(calls * threads * size / seconds, 1), "p50_ms": round(p50, 3), "p99_ms": round(p99, 3)}


def move(job: Mapping[str, Any]) -> Json:
    """Drained rows a second and the time of ``recent``, as a job."""
    from shoplm.data.drain import drain
    from shoplm.data.shop import Shop
    from shoplm.data.store import Store

    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        shop = Shop(Path(folder) / "shop", create=True)
        store = Store(shop.path, job["url"] or None)
        for start in range(0, job["records"], 1000):
            store.put(*(_act(n) for n in range(start, start + 1000)))
        begin = time.perf_counter()
        report = drain(store, shop)
        seconds = time.perf_counter() - begin
        if report.new != job["records"]:
            raise RuntimeError(f"{report} of {job['records']}")
        took = []
        for n in range(200):
            begin = time.perf_counter()
            rows = store.recent(f"u{n % SHOPPERS}")
            took.append(time.perf_counter() - begin)
            if rows.num_rows != 200:
                raise RuntimeError(f"{rows.num_rows} acts instead of 200")
        store.close()
    p50, p99 = np.quantile(took, [0.5, 0.99]) * 1000
    return {"rows_per_second": round(report.rows / seconds, 1), "recent_p50_ms": round(p50, 3), "recent_p99_ms": round(p99, 3)}


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Measure all sides, in turn."""
    reader = argparse.ArgumentParser(prog="benchmarks store", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--records", type=int, default=200 if quick else 2000, help="single writes; ten times as many in batches")
    reader.add_argument("--drained", type=int, default=11_000 if quick else 40_000)
    reader.add_argument("--runs", type=int, default=1 if quick else 3)
    options = reader.parse_args(list(arguments))
    begin = time.perf_counter()
    sys.path.insert(0, str(ROOT / "tests"))
    from postgres_server import Server, programs

    server = Server(fsync=True) if programs() else None
    try:
        found = _measured(options, server)
    finally:
        if server is not None:
            server.close()
    kinds = [kind for kind in ("sqlite", "postgres") if f"ours {kind} one" in found]
    ours: Json = {}
    peers: Json = {}
    ratios: Json = {}
    shown = []
    for kind in kinds:
        for case in CASES:
            mine, plain = found[f"ours {kind} {case}"], found[f"plain_{kind} {kind} {case}"]
            ours.setdefault(kind, {})[case] = mine
            peers.setdefault(f"plain_{kind}", {})[case] = plain
            ratios[f"{kind}_{case}"] = ratio(mine["rows_per_second"]["median"], plain["rows_per_second"]["median"])
            for side, one in (("ours", mine), ("plain", plain)):
                shown.append([kind, case, side, *(f"{one[name]['median']:,.2f}" for name in ("rows_per_second", "p50_ms", "p99_ms"))])
        ours[kind]["drain"] = found[f"move {kind}"]
    table("acknowledged writes", ["database", "case", "side", "rows/s", "p50 ms", "p99 ms"], shown)
    for kind in kinds:
        say(f"{kind}: {json.dumps({name: one['median'] for name, one in ours[kind]['drain'].items()})}")
    return result("store", begin, quick=quick, ours=ours, peers=peers, ratio=ratios)


def _measured(options: argparse.Namespace, server: Any) -> Json:
    runs: dict[str, list[Json]] = {}
    for number in range(options.runs):
        for kind in ("sqlite", "postgres") if server else ("sqlite",):
            for case, (size, threads) in CASES.items():
                for side in ("ours", f"plain_{kind}"):
                    url = server.create(f"b{len(runs)}x{number}{case}{side}".lower()) if kind == "postgres" else ""
                    job = {"side": side, "size": size, "threads": threads, "url": url, "records": options.records * (10 if size > 1 else 1)}
                    runs.setdefault(f"{side} {kind} {case}", []).append(must(child("benchmarks.store:write", job)))
            url = server.create(f"move{number}") if kind == "postgres" else ""
            runs.setdefault(f"move {kind}", []).append(must(child("benchmarks.store:move", {"url": url, "records": options.drained})))
    return {
        name: {key: spread([one[key] for one in those]) for key in those[0] if key not in ("peak_mb", "wall_seconds")}
        for name, those in runs.items()
    }
