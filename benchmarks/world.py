"""How fast the simulated shop is made: a million events with everything about them that is no text, as Arrow chunks.

Included: catalogue, shoppers, relations, articles, events, orders, ads, spend, and the truth of each. Left out: reviews and
chats, whose texts are written one by one (their own rate is measured beside it).
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Sequence

from benchmarks.side_by_side import Json, result, say, table
from shoplm.world.settings import WorldConfig
from shoplm.world.stream import Stream

TARGET_SECONDS = 60.0
EVENTS_PER_SHOPPER = 165
"""About what the default settings give over two years."""


def made(config: WorldConfig) -> Json:
    """Rows by table, seconds and the peak memory of this process after it."""
    begin = time.perf_counter()
    rows: dict[str, int] = {}
    for chunk in Stream(config).chunks():
        name = f"truth of {chunk.table}" if chunk.truth else chunk.table
        rows[name] = rows.get(name, 0) + chunk.rows.num_rows
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": rows, "seconds": round(seconds, 2), "peak_mb": round(peak, 1)}


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Measure events without texts, then texts."""
    reader = argparse.ArgumentParser(prog="benchmarks world", description=__doc__)
    reader.add_argument("--events", type=int, default=50_000 if quick else 1_000_000, help="about so many")
    reader.add_argument("--texts", type=int, default=20 if quick else 200, help="shoppers whose reviews and chats are written")
    options = reader.parse_args(list(arguments))
    begin = time.perf_counter()
    acts = made(WorldConfig(shoppers=max(1, options.events // EVENTS_PER_SHOPPER), reviews=0, questions=0))
    say(f"{acts['rows']['events']:,} events in {acts['seconds']} s")
    texts = made(WorldConfig(shoppers=options.texts, weeks=26))
    written = texts["rows"].get("reviews", 0) + texts["rows"].get("chats", 0)
    shown = [[name, f"{count:,}"] for name, count in acts["rows"].items()]
    table(f"rows made in {acts['seconds']} s, peak {acts['peak_mb']} MiB", ["table", "rows"], shown)
    scaled = acts["seconds"] * 1_000_000 / max(acts["rows"]["events"], 1)
    holds = {f"1 M events in at most {TARGET_SECONDS:.0f} s": scaled <= TARGET_SECONDS}
    ours = {
        "events": acts,
        "events_per_second": round(acts["rows"]["events"] / acts["seconds"]),
        "seconds_per_million_events": round(scaled, 2),
        "texts": texts | {"per_second": round(written / texts["seconds"])},
    }
    return result("world", begin, quick=quick, ours=ours, quality={"holds": holds})
