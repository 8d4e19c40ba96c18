"""Import of events: validated rows a second and peak memory over three sizes, beside pandas + pandera and polars.

Every side reads the file, checks what the contract checks (ids present and at most so long, a time that is one,
a word for the act, a shopper or a device, prices not negative, propensity in [0, 1], index not negative), sets the
faulty rows aside with the name of the check, drops repeated keys and writes Parquet. Ours also keeps what the
contract does not name, writes Delta tables under a manifest, and can take the same file twice without harm.
One row in a hundred is faulty. A peer that would need more memory than is free is left out, and said so.

100 M rows only when asked for: ``--rows 1000000,10000000,100000000 --formats parquet --runs 1``. They need 25 GB of disk
in ``$TMPDIR`` and about a quarter of an hour on two cores, half of it for making the file.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side_by_side import Json, Parts, child, growth, must, peak_mb, ratio, result, say, source_digest, spread, table

REQUIRED_COLUMNS = ("event_id", "event_time", "event_name")
LONGEST = 256
"""Characters of an id, at most, for the peers; ours reads its own contract."""
HELD_BYTES = {"pandas": 380, "polars": 530}
"""Memory that a peer held for each row of 10 M; both read the whole file."""
DISK_BYTES = {"parquet": 250, "csv": 320, "jsonl": 450}
"""Disk that a row needs at most: in its file, waiting in the shop, in piles of keys, and in the shop's table."""
NAMES = ("view_item", "add_to_cart", "purchase", "view_item_list", "search")


def write(rows: int, path: Path, seed: int = 0) -> int:
    """A file of events, csv, jsonl or parquet by its name, in pieces; returns how many of them are faulty."""
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    random = np.random.default_rng(seed)
    writer: Any = None
    faulty = 0
    for begin in range(0, rows, 100_000):
        count = min(100_000, rows - begin)
        number = np.arange(begin, begin + count)
        bad = random.random(count) < 0.01
        kind = random.integers(0, 3, count)
        faulty += int(bad.sum())
        at = np.datetime64("2026-01-01T00:00:00") + number.astype("timedelta64[s]")
        names = np.asarray(NAMES)[random.integers(0, len(NAMES), count)]
        price = np.round(random.gamma(2, 20, count), 2)
        price = np.where(bad & (kind == 0), -1.0, price)
        piece = pa.table(
            {
                "event_id": pa.array([f"e{n}" for n in number]),
                "event_time": pa.array(at.astype("datetime64[us]").astype(str)),
                "event_name": pa.array(["" if b and k == 1 else str(name) for name, b, k in zip(names, bad, kind, strict=True)]),
                "user_id": pa.array([f"u{n}" for n in random.integers(0, 50_000, count)]),
                "item_id": pa.array([f"i{n}" for n in random.integers(0, 20_000, count)]),
                "price": pa.array(price),
                "quantity": pa.array(random.integers(1, 4, count).astype(float)),
                "currency": pa.array(["EUR"] * count),
                "index": pa.array(random.integers(0, 50, count)),
                "propensity": pa.array(np.where(bad & (kind == 2), 1.5, np.round(random.random(count), 6))),
            }
        )
        if path.suffix == ".jsonl":
            with path.open("a", encoding="utf-8") as lines:
                lines.writelines(json.dumps(row) + "\n" for row in piece.to_pylist())
            continue
        if writer is None:
            writer = pq.ParquetWriter(path, piece.schema) if path.suffix == ".parquet" else pc.CSVWriter(path, piece.schema)
        writer.write_table(piece)
    if writer is not None:
        writer.close()
    return faulty


def ours(file: Path, folder: Path) -> tuple[int, int]:
    """(rows taken, rows set aside) of the public import."""
    from shoplm.data.shop import Shop

    report = Shop(folder / "shop", create=True).import_files(file, table="events")
    return report.inserted, report.quarantined


def with_pandas(file: Path, folder: Path) -> tuple[int, int]:
    """The same with pandas, its checks vectorised; with pandera where that is installed."""
    import pandas as pd

    words = {"event_id": str, "user_id": str, "item_id": str}
    if file.suffix == ".jsonl":
        frame = pd.read_json(file, lines=True, dtype=words, convert_dates=False)
    else:
        frame = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file, dtype=words)
    times = pd.to_datetime(frame["event_time"], errors="coerce", utc=True, format="ISO8601")
    frame = frame.assign(event_time=times, event_name=frame["event_name"].replace("", pd.NA))
    if importlib.util.find_spec("pandera"):
        import pandera.errors
        import pandera.pandas as pa

        short = pa.Check.str_length(1, LONGEST)
        schema = pa.DataFrameSchema(
            {
                "event_id": pa.Column(checks=short, nullable=False), "event_time": pa.Column(nullable=False), "event_name": pa.Column(nullable=False),
                "user_id": pa.Column(checks=short, nullable=False), "item_id": pa.Column(checks=short, nullable=True),
                "price": pa.Column(float, pa.Check.ge(0), nullable=True), "quantity": pa.Column(float, nullable=True),
                "currency": pa.Column(checks=pa.Check.str_length(0, 3), nullable=True), "index": pa.Column(checks=pa.Check.ge(0), nullable=True),
                "propensity": pa.Column(float, pa.Check.in_range(0, 1), nullable=True),
            }
        )  # fmt: skip
        bad = pd.Series(False, index=frame.index)
        try:
            schema.validate(frame, lazy=True)
        except pandera.errors.SchemaErrors as error:
            bad.loc[error.failure_cases["index"].dropna().astype(int).unique()] = True
            error.failure_cases.astype(str).to_parquet(folder / "aside.parquet")
    else:
        reason = pd.Series(pd.NA, index=frame.index, dtype="object")
        checks = {
            "event_id": frame["event_id"].isna() | (frame["event_id"].str.len() > LONGEST), "event_time": frame["event_time"].isna(),
            "event_name": frame["event_name"].isna(), "user_id": frame["user_id"].isna() | (frame["user_id"].str.len() > LONGEST),
            "item_id": frame["item_id"].str.len() > LONGEST, "price": frame["price"] < 0, "currency": frame["currency"].str.len() > 3,
            "index": frame["index"] < 0, "propensity": (frame["propensity"] < 0) | (frame["propensity"] > 1),
        }  # fmt: skip
        for name, wrong in checks.items():
            reason = reason.where(~wrong.fillna(False) | reason.notna(), name)
        bad = reason.notna()
        frame[bad].assign(reason=reason[bad].astype(str)).to_parquet(folder / "aside.parquet")
    good = frame[~bad].drop_duplicates("event_id", keep="last")
    good.to_parquet(folder / "good.parquet", index=False)
    return len(good), int(bad.sum())


def with_polars(file: Path, folder: Path) -> tuple[int, int]:
    """The same with polars, lazily."""
    import polars as pl

    rows = {".parquet": pl.scan_parquet, ".csv": pl.scan_csv, ".jsonl": pl.scan_ndjson}[file.suffix](file)
    c = pl.col
    rows = rows.with_columns(
        c("event_time").str.to_datetime(strict=False, time_zone="UTC"),
        pl.when(c("event_name") != "").then(c("event_name")).alias("event_name"),
    )
    checks = {
        "event_id": c("event_id").is_null() | (c("event_id").str.len_chars() > LONGEST), "event_time": c("event_time").is_null(),
        "event_name": c("event_name").is_null(), "user_id": c("user_id").is_null() | (c("user_id").str.len_chars() > LONGEST),
        "item_id": c("item_id").str.len_chars() > LONGEST, "price": c("price") < 0, "currency": c("currency").str.len_chars() > 3,
        "index": c("index") < 0, "propensity": (c("propensity") < 0) | (c("propensity") > 1),
    }  # fmt: skip
    reason = pl.coalesce([pl.when(wrong).then(pl.lit(name)) for name, wrong in checks.items()])
    found = rows.with_columns(reason.alias("reason")).collect()
    aside = found.filter(c("reason").is_not_null())
    good = found.filter(c("reason").is_null()).drop("reason").unique("event_id", keep="last")
    aside.write_parquet(folder / "aside.parquet")
    good.write_parquet(folder / "good.parquet")
    return len(good), len(aside)


SIDES = {"ours": ours, "pandas": with_pandas, "polars": with_polars}


def bring_in(job: Mapping[str, Any]) -> Json:
    """One side on one file, as a job; imports of libraries and the making of the file are not timed."""
    import pyarrow.parquet  # noqa: F401  (loaded before the clock starts, for all alike)

    if job["side"] == "ours":
        import shoplm.data.shop  # noqa: F401
    elif job["side"] == "polars":
        import polars  # noqa: F401
    else:
        import pandas  # noqa: F401

        if importlib.util.find_spec("pandera"):
            import pandera.pandas  # noqa: F401
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        before = peak_mb()
        begin = time.perf_counter()
        taken, aside = SIDES[job["side"]](Path(job["file"]), Path(folder))
        seconds = time.perf_counter() - begin
    return {
        "seconds": round(seconds, 4),
        "rows_per_second": round(job["rows"] / seconds, 1),
        "taken": taken,
        "aside": aside,
        "base_mb": round(before, 1),
    }


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Measure all sides, sizes and formats, in turn."""
    reader = argparse.ArgumentParser(prog="benchmarks ingest", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--rows", default="1000,10000" if quick else "100000,1000000,10000000")
    reader.add_argument("--formats", default="parquet" if quick else "parquet,csv,jsonl")
    reader.add_argument("--runs", type=int, default=1 if quick else 3)
    reader.add_argument("--sides", default=",".join(SIDES), help="ours always; without peers where they would not fit")
    reader.add_argument("--limit", type=float, default=1800.0)
    reader.add_argument("--fresh", action="store_true")
    options = reader.parse_args(list(arguments))
    sizes = [int(size) for size in options.rows.split(",")]
    begin = time.perf_counter()
    parts = Parts("ingest", fresh=options.fresh, keep=not quick)
    sources = {
        "sources": source_digest("shoplm"),
        "benchmark": source_digest("benchmarks/ingest.py"),
        "pandera": bool(importlib.util.find_spec("pandera")),
    }
    runs: dict[tuple[str, str, int], list[Json]] = {}
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        for form in options.formats.split(","):
            for rows in sizes:
                free = shutil.disk_usage(folder).free
                if rows * DISK_BYTES[form] > free:
                    raise RuntimeError(
                        f"{folder}: {free / 1e9:.0f} GB are free, {rows:,} rows of {form} need {rows * DISK_BYTES[form] / 1e9:.0f}; set TMPDIR"
                    )
                file = Path(folder) / f"events-{rows}.{form}"
                faulty = write(rows, file)
                for number in range(options.runs):  # A B C A B C …
                    for side in options.sides.split(","):
                        job = {"side": side, "rows": rows, "format": form, "run": number}
                        if why := _too_large(side, rows):
                            found: Json = {"failed": why}
                        else:
                            found = parts.take(f"{side} {form} {rows} {number}", {**job, **sources},
                                               lambda job=job, file=file: child("benchmarks.ingest:bring_in", {**job, "file": file}, timeout=options.limit))  # fmt: skip
                        if side == "ours":
                            must(found)
                        if "failed" in found:
                            say(f"{side} {form} {rows}: {found['failed']}")
                        elif (found["taken"], found["aside"]) != (rows - faulty, faulty):
                            raise RuntimeError(
                                f"{side} {form}: of {rows} rows with {faulty} faulty, {found['taken']} taken and {found['aside']} set aside"
                            )
                        runs.setdefault((form, side, rows), []).append(found)
                file.unlink()
    return _result(begin, quick, options, sizes, runs)


def _too_large(side: str, rows: int) -> str:
    """Why a peer cannot take so many rows on this machine; "" if it can."""
    with open("/proc/meminfo", encoding="utf-8") as lines:
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    needed = rows * HELD_BYTES.get(side, 0)
    return f"needs about {needed / 1e9:.0f} GB of memory, {free / 1e9:.0f} are free" if needed > 0.8 * free else ""


def _result(begin: float, quick: bool, options: argparse.Namespace, sizes: list[int], runs: dict[tuple[str, str, int], list[Json]]) -> Json:
    forms = options.formats.split(",")
    sides: Json = {}
    rows_shown = []
    for side in options.sides.split(","):
        for form in forms:
            said: Json = {}
            for size in sizes:
                those = [run for run in runs[form, side, size] if "failed" not in run]
                if not those:
                    said[str(size)] = {"failed": runs[form, side, size][0]["failed"]}
                    rows_shown.append([form, side, f"{size:,}", "-", said[str(size)]["failed"]])
                    continue
                of = said[str(size)] = {"rows_per_second": spread([r["rows_per_second"] for r in those]), "peak_mb": spread([r["peak_mb"] for r in those]),
                                        "above_start_mb": spread([round(r["peak_mb"] - r["base_mb"], 1) for r in those]), "seconds": spread([r["seconds"] for r in those])}  # fmt: skip
                rows_shown.append([form, side, f"{size:,}", f"{of['rows_per_second']['median']:,.0f}", f"{of['peak_mb']['median']:.0f}"])
            done = [size for size in sizes if "failed" not in said[str(size)]]
            exponents = None if len(done) < 2 else {
                "seconds": growth(done, [said[str(size)]["seconds"]["median"] for size in done]),
                "memory_above_start": growth(done, [max(1.0, said[str(size)]["above_start_mb"]["median"]) for size in done]),
            }  # fmt: skip
            sides.setdefault(side, {})[form] = {"sizes": said, "growth_exponent": exponents}
    table("import of events", ["format", "side", "rows", "rows/s", "peak MB"], rows_shown)
    largest, form = str(sizes[-1]), forms[0]

    def rate(side: str, form: str) -> float | None:
        """At the largest size; None where the peer did not get there."""
        of = sides[side][form]["sizes"][largest]
        return None if "failed" in of else float(of["rows_per_second"]["median"])

    mine = sides.pop("ours")
    best = mine[form]["sizes"][largest]
    ratios = {
        f"{side}_{form}": ratio(mine[form]["sizes"][largest]["rows_per_second"]["median"], rate(side, form))
        for side in sides
        for form in forms
    }
    label = "pandas_pandera" if importlib.util.find_spec("pandera") else "pandas_plain"
    if label == "pandas_plain":
        say("pandera is not installed: pandas ran with the same checks written out")
    peers = {label if side == "pandas" else side: said for side, said in sides.items()}
    return result("ingest", begin, quick=quick, peers=peers, ratio={key.replace("pandas", label): value for key, value in ratios.items()},
                  ours={"rows_per_second": best["rows_per_second"]["median"], "peak_mb": best["peak_mb"]["median"], "largest_rows": sizes[-1], **mine})  # fmt: skip
