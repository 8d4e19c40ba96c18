"""What was known: the last 20 acts before each of many moments, beside the same asked of DuckDB and polars.

Every act is also a moment (what came before it?), so the peers can use their own window functions: DuckDB a list
over the 20 rows before, polars 20 shifts within the shopper. Acts lie sorted in a Parquet file; reading it is
timed. Each side makes the (moments, 20) table of item codes and adds it up, and all must find the same sum.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.side_by_side import Json, Parts, child, growth, must, peak_mb, ratio, result, say, source_digest, spread, table

LAST = 20
GROUP = 65_536
"""Rows of a row group of the file, and of a piece of ours: what is held at once."""


def write(rows: int, path: Path, seed: int = 0) -> None:
    """Acts sorted by shopper and time, about 100 a shopper, times all different within one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(seed)
    shoppers = max(1, rows // 100)
    counts = random.multinomial(rows, random.dirichlet(np.full(shoppers, 1.5)))
    writer: Any = None
    schema = pa.schema(
        [("user_id", pa.string()), ("event_time", pa.timestamp("us", tz="UTC")), ("event_id", pa.string()), ("item_id", pa.string())]
    )
    names = np.sort([f"u{number:08d}" for number in range(shoppers)])
    step = max(1, GROUP // 100)
    done = 0
    for begin in range(0, shoppers, step):
        some = counts[begin : begin + step]
        count = int(some.sum())
        owner = np.repeat(np.arange(begin, begin + len(some)), some)
        within = np.arange(count) - np.repeat(np.cumsum(some) - some, some)
        at = 1_700_000_000_000_000 + within * 3_600_000_000 + random.integers(0, 3_000_000_000, count)
        piece = pa.table([pa.array(names[owner]), pa.array(at, schema.field(1).type), pa.array([f"e{n:09d}" for n in range(done, done + count)]),
                          pa.array(np.char.add("i", random.integers(0, 50_000, count).astype(str)))], schema=schema)  # fmt: skip
        done += count
        writer = writer or pq.ParquetWriter(path, schema)
        writer.write_table(piece)
    writer.close()


def ours(path: Path) -> int:
    """The streaming form, two pieces at a time."""
    from concurrent.futures import ThreadPoolExecutor

    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from shoplm.data.history import TOGETHER, Histories, histories

    def acts() -> Iterator[pa.Table]:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=["user_id", "event_time", "item_id"])

    def moments() -> Iterator[pa.Table]:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group, columns=["user_id", "event_time"])
                yield pa.table({"user_id": rows["user_id"], "at_us": rows["event_time"].cast(pa.int64())})

    def added(piece: Histories) -> int:
        codes, words = piece.codes("item_id", LAST)
        value: Any = np.append(np.from_dlpack(pc.cast(pc.utf8_slice_codeunits(words, 1), pa.int64())) + 1, 0)
        return sum(int(value[codes[begin : begin + TOGETHER]].sum()) for begin in range(0, len(codes), TOGETHER))

    total = 0
    with ThreadPoolExecutor(2) as pool:
        waiting: list[Any] = []
        for piece in histories(acts(), moments(), LAST, GROUP):
            waiting.append(pool.submit(added, piece))
            if len(waiting) == 3:
                total += waiting.pop(0).result()
        total += sum(each.result() for each in waiting)
    return total


def with_duckdb(path: Path) -> int:
    """A list over the 20 rows before, per shopper."""
    import duckdb

    con = duckdb.connect()
    con.execute("SET threads=2")
    return int(
        con.sql(
            f"""select sum(list_sum(before)) from (select list(cast(item_id[2:] as bigint) + 1) over
                (partition by user_id order by event_time rows between {LAST} preceding and 1 preceding) as before from '{path}')"""
        ).fetchall()[0][0]
    )


def with_polars(path: Path) -> int:
    """Twenty shifts within the shopper."""
    import polars as pl

    value = pl.col("item_id").str.slice(1).cast(pl.Int64) + 1
    rows = pl.scan_parquet(path).select("user_id", value.alias("v"))
    shifts = [pl.col("v").shift(back).over("user_id").fill_null(0).alias(f"v{back}") for back in range(1, LAST + 1)]
    return int(rows.with_columns(shifts).select(pl.sum_horizontal([f"v{back}" for back in range(1, LAST + 1)]).sum()).collect().item())


SIDES = {"ours": ours, "duckdb": with_duckdb, "polars": with_polars}


def ask(job: Mapping[str, Any]) -> Json:
    """One side on one file, as a job; imports are not timed."""
    import pyarrow.parquet  # noqa: F401

    if job["side"] == "ours":
        import shoplm.data.history  # noqa: F401
    else:
        __import__(job["side"])
    before = peak_mb()
    begin, begin_cpu = time.perf_counter(), time.process_time()
    total = SIDES[job["side"]](Path(job["file"]))
    took, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    return {"seconds": round(took, 4), "cpu_seconds": round(cpu, 4), "total": total, "base_mb": round(before, 1)}


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Measure all sides and sizes, in turn."""
    reader = argparse.ArgumentParser(prog="benchmarks as_of", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--rows", default="2000,20000" if quick else "100000,1000000,10000000")
    reader.add_argument("--runs", type=int, default=1 if quick else 3)
    reader.add_argument("--limit", type=float, default=600.0)
    reader.add_argument("--fresh", action="store_true")
    options = reader.parse_args(list(arguments))
    sizes = [int(size) for size in options.rows.split(",")]
    begin = time.perf_counter()
    parts = Parts("as_of", fresh=options.fresh, keep=not quick)
    sources = {"sources": source_digest("shoplm/data"), "benchmark": source_digest("benchmarks/as_of.py")}
    runs: dict[tuple[str, int], list[Json]] = {}
    with TemporaryDirectory(prefix="shoplm-bench-") as folder:
        for rows in sizes:
            file = Path(folder) / f"acts-{rows}.parquet"
            write(rows, file)
            totals = set()
            for number in range(options.runs):
                for side in SIDES:
                    job = {"side": side, "rows": rows, "run": number}
                    found = parts.take(f"{side} {rows} {number}", {**job, **sources},
                                       lambda job=job, file=file: must(child("benchmarks.as_of:ask", {**job, "file": file}, timeout=options.limit)))  # fmt: skip
                    runs.setdefault((side, rows), []).append(found)
                    totals.add(found["total"])
            if len(totals) != 1:
                raise RuntimeError(f"{rows} rows: the sides disagree: {totals}")
            file.unlink()
    measures = ("seconds", "cpu_seconds", "peak_mb")
    sides: Json = {}
    shown = []
    for side in SIDES:
        said = {str(size): {name: spread([r[name] for r in runs[side, size]]) for name in measures} for size in sizes}
        shown += [[side, f"{size:,}", *(f"{said[str(size)][name]['median']:.2f}" for name in measures)] for size in sizes]
        exponents = {name: growth(sizes, [said[str(size)][name]["median"] for size in sizes]) for name in measures}
        sides[side] = {"sizes": said, "growth_exponent": exponents}
    table(f"the last {LAST} acts before each moment", ["side", "moments", "seconds", "CPU seconds", "peak MB"], shown)
    say(
        "; ".join(
            f"{side}: peak grows with moments to the power of {said['growth_exponent']['peak_mb']:.3f}" for side, said in sides.items()
        )
    )
    say("all sides found the same histories")
    mine, largest = sides.pop("ours"), str(sizes[-1])
    best = mine["sizes"][largest]
    ratios = {side: ratio(said["sizes"][largest]["seconds"]["median"], best["seconds"]["median"]) for side, said in sides.items()}
    holds = (
        {
            f"{sizes[-1]:,} moments in 10 s": best["seconds"]["median"] <= 10,
            f"peak within 10 % of that at {sizes[-2:][0]:,}": best["peak_mb"]["median"]
            <= 1.1 * mine["sizes"][str(sizes[-2:][0])]["peak_mb"]["median"],
        }
        if sizes[-1] >= 10_000_000
        else {}
    )
    return result("as_of", begin, quick=quick, peers=sides, ratio=ratios, quality={"holds": holds},
                  ours={"seconds": best["seconds"]["median"], "peak_mb": best["peak_mb"]["median"], "moments": sizes[-1], **mine})  # fmt: skip
