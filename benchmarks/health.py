"""Health: ``shoplm check`` on a simulated shop of a million events with everything about them, texts included, to the page.

Two sizes, so that it shows how seconds and memory grow. Filling the shop is not counted; CPU seconds are those of the whole
process of its own, so they are comparable on a busy machine, and its peak is beside that of a process that only opens the shop.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.side_by_side import Json, child, growth, must, result, say, table

EVENTS_PER_SHOPPER = 165
"""About what the default settings give over two years."""
TARGET_SECONDS = 60.0
TARGET_MORE_MB = 250
"""What is kept of each review is a sketch and ids; everything else is counted by DuckDB within its own limit."""
PARTS = 4
"""The smaller shop has so many times fewer shoppers."""


def fill(job: Json) -> Json:
    """A shop of so many shoppers, as a job; its rows by table."""
    from shoplm.data.shop import Shop
    from shoplm.world.settings import WorldConfig
    from shoplm.world.stream import fill as bring

    shop = Shop(Path(job["shop"]), create=True)
    bring(shop, WorldConfig(shoppers=job["shoppers"], weeks=job["weeks"]))
    return {"rows": dict(shop.counts())}


def opened(job: Json) -> Json:
    """What a process holds that opens the shop and asks it nothing, as a job."""
    from shoplm.data.shop import Shop
    from shoplm.pipeline import health

    return {"rows": sum(Shop(Path(job["shop"])).counts().values()), "checks": callable(health.look)}


def look(job: Json) -> Json:
    """One check with its page, as a job."""
    from shoplm.data.shop import Shop
    from shoplm.pipeline import health

    begin, cpu = time.perf_counter(), os.times()
    found = health.look(Shop(Path(job["shop"])), out=Path(job["shop"]).parent / "check.html")
    now = os.times()
    return {
        "cpu_seconds": round(now.user + now.system - cpu.user - cpu.system, 2), "seconds": round(time.perf_counter() - begin, 2),
        "findings": len(found.findings), "likely_fakes": len(found.marks),
    }  # fmt: skip


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Fill, check, and say how it grows."""
    reader = argparse.ArgumentParser(prog="benchmarks health", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--events", type=int, default=20_000 if quick else 1_000_000, help="about so many, with the default weeks")
    reader.add_argument("--weeks", type=int, default=104)
    options = reader.parse_args(list(arguments))
    begin = time.perf_counter()
    shoppers = max(PARTS, options.events // EVENTS_PER_SHOPPER)
    ours: Json = {}
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as scratch:
        for name, count in (("part", shoppers // PARTS), ("whole", shoppers)):
            settings = {"shop": Path(scratch) / name / "shop", "shoppers": count, "weeks": options.weeks}
            settings["shop"].parent.mkdir()
            rows = must(child("benchmarks.health:fill", settings))["rows"]
            say(f"{name}: {sum(rows.values()):,} rows, {rows['events']:,} of them events")
            idle, found = must(child("benchmarks.health:opened", settings)), must(child("benchmarks.health:look", settings))
            ours[name] = {"shoppers": count, "rows": rows, **found, "opened_mb": idle["peak_mb"]}
    both = [ours["part"], ours["whole"]]
    events = [each["rows"]["events"] for each in both]
    ours["cpu_growth"] = growth(events, [each["cpu_seconds"] for each in both])
    ours["memory_growth_mb"] = round(both[1]["peak_mb"] - both[0]["peak_mb"], 1)
    shown = [[f"{each['rows']['events']:,}", f"{sum(each['rows'].values()):,}", each["cpu_seconds"], each["seconds"], each["peak_mb"], each["opened_mb"]] for each in both]  # fmt: skip
    table("check, page included", ["events", "all rows", "CPU s", "s", "peak MiB", "opened MiB"], shown)
    holds = {f"1 M events in at most {TARGET_SECONDS:.0f} CPU s": both[1]["cpu_seconds"] * 1e6 <= TARGET_SECONDS * max(events[1], 1),
             f"{PARTS} times the shoppers cost at most {TARGET_MORE_MB} MiB more": ours["memory_growth_mb"] <= TARGET_MORE_MB}  # fmt: skip
    return result("health", begin, quick=quick, ours=ours, quality={"holds": holds})
