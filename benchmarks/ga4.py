"""Import of a GA4 export (JSON Lines): lines a second and peak memory over three sizes, beside json + pandas.

Both sides read each line, spread items over rows and parameters over columns, check what the contract checks (a time, a
word for the act, a shopper or a device, prices and places not negative), set faulty lines aside with their numbers and
write Parquet. Ours also keeps what the contract does not name with counts, fills consent, makes ids and digests, writes
Delta tables under a manifest, and can take the same file twice without harm. One line in a thousand is broken; pages,
visits, amounts and items differ from line to line, as they do in a shop.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side_by_side import Json, Parts, child, growth, must, peak_mb, ratio, result, source_digest, spread, table

TARGET = 60_000
"""Lines a second that an import on two cores shall reach."""


def write(lines: int, path: Path, seed: int = 0) -> tuple[int, int]:
    """A file of exported rows; returns how many event rows its good lines make and how many lines are broken."""
    random = np.random.default_rng(seed)
    rows = broken = 0

    def param(key: str, **value: Any) -> Json:
        return {"key": key, "value": {"string_value": None, "int_value": None, "float_value": None, "double_value": None, **value}}

    with path.open("w", encoding="utf-8") as file:
        for number in range(lines):
            if number % 1000 == 999:
                file.write('{"event_date": "20260131", "event_timestamp": broken\n')
                broken += 1
                continue
            goods = random.integers(0, 20_000, random.choice([0, 1, 1, 3])).tolist()
            items = [
                {"item_id": f"i{n}", "item_name": f"Shirt {n}", "item_brand": f"Brand {n % 300}", "item_variant": "SML"[n % 3],
                 "item_category": "Apparel", "item_category2": f"Shirts {n % 40}", "item_category3": "(not set)", "price": 5 + n % 4000 / 100, "quantity": 1,
                 "item_list_name": f"List {n % 9}", "item_list_index": str(place), "promotion_id": "(not set)"}
                for place, n in enumerate(goods)
            ]  # fmt: skip
            rows += max(len(items), 1)
            who, page = int(random.integers(0, 9000)), int(random.integers(0, 5000))
            line = {
                "event_date": "20260131", "event_timestamp": str(1_769_851_800_000_000 + number * 1000),
                "event_name": ("view_item", "page_view", "scroll", "add_to_cart", "user_engagement")[number % 5],
                "event_params": [param("ga_session_id", int_value=str(1_769_851_000 + who * 7 % 600)), param("ga_session_number", int_value=str(1 + who % 9)),
                                 param("page_title", string_value=f"Page {page}"), param("page_location", string_value=f"https://shop.example/p/{page}?q={number % 7}"),
                                 param("currency", string_value="EUR"), param("value", double_value=sum(item["price"] for item in items)),
                                 param("engagement_time_msec", int_value=str(int(random.integers(1, 30_000))))],
                "user_id": None if who % 2 else f"u{who % 5000}", "user_pseudo_id": f"{who}.123",
                "privacy_info": {"analytics_storage": "Yes", "ads_storage": "No", "uses_transient_token": "No"},
                "ecommerce": {"transaction_id": None, "purchase_revenue": None}, "items": items,
                "device": {"category": ("mobile", "desktop")[who % 2], "operating_system": ("iOS", "Android", "Windows")[who % 3], "web_info": {"browser": f"Browser {who % 11}"}},
                "geo": {"country": f"Country {who % 30}", "city": f"City {who % 400}"},
                "traffic_source": {"source": f"source {who % 20}", "medium": ("cpc", "organic")[who % 2], "name": f"campaign {who % 50}"},
                "platform": "WEB", "stream_id": "123",
            }  # fmt: skip
            file.write(json.dumps(line) + "\n")
    return rows, broken


def ours(file: Path, folder: Path) -> tuple[int, int]:
    """(event rows taken, lines set aside) of the public import."""
    from shoplm.data.shop import Shop

    report = Shop(folder / "shop", create=True).import_files(file, format="ga4").tables["events"]
    return report.inserted, report.quarantined


def with_pandas(file: Path, folder: Path) -> tuple[int, int]:
    """The same with json and pandas, its checks vectorised."""
    import pandas as pd

    found: list[Json] = []
    aside: list[Json] = []
    with file.open(encoding="utf-8") as text:
        for number, line in enumerate(text, 1):
            try:
                event = json.loads(line)
            except ValueError as error:
                aside.append({"line": number, "reason": str(error)})
                continue
            params = {
                each["key"]: next((value for value in each["value"].values() if value is not None), None) for each in event["event_params"]
            }
            shared = {
                "event_time": event["event_timestamp"], "event_name": event["event_name"], "user_id": event["user_id"],
                "user_pseudo_id": event["user_pseudo_id"], "session_id": f"{event['user_pseudo_id']}/{params.pop('ga_session_id', '')}",
                "device": event["device"]["category"], "country": event["geo"]["country"], "channel": event["traffic_source"]["source"], **params,
            }  # fmt: skip
            found += [{**shared, **item} for item in event["items"] or [{}]]
    frame = pd.DataFrame(found).replace("(not set)", None)
    frame["event_time"] = pd.to_datetime(pd.to_numeric(frame["event_time"], errors="coerce"), unit="us", utc=True)
    bad = frame["event_time"].isna() | frame["event_name"].isna() | (frame["user_id"].isna() & frame["user_pseudo_id"].isna())
    bad |= (frame["price"] < 0) | (pd.to_numeric(frame["item_list_index"]) < 0)
    pd.DataFrame(aside).to_parquet(folder / "aside.parquet")
    frame[~bad].to_parquet(folder / "good.parquet", index=False)
    return int((~bad).sum()), len(aside) + int(bad.sum())


SIDES = {"ours": ours, "json_pandas": with_pandas}


def bring_in(job: Mapping[str, Any]) -> Json:
    """One side on one file, as a job; imports of libraries and the making of the file are not timed."""
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    import shoplm.data.importers.ga4
    import shoplm.data.shop  # noqa: F401

    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        before = peak_mb()
        begin = time.perf_counter()
        taken, aside = SIDES[job["side"]](Path(job["file"]), Path(folder))
        seconds = time.perf_counter() - begin
    return {
        "seconds": round(seconds, 4),
        "lines_per_second": round(job["lines"] / seconds, 1),
        "taken": taken,
        "aside": aside,
        "base_mb": round(before, 1),
    }


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Measure both sides and all sizes, in turn."""
    reader = argparse.ArgumentParser(prog="benchmarks ga4", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--lines", default="1000,10000" if quick else "3000,30000,300000")
    reader.add_argument("--runs", type=int, default=1 if quick else 5)
    reader.add_argument("--limit", type=float, default=1800.0)
    reader.add_argument("--fresh", action="store_true")
    options = reader.parse_args(list(arguments))
    sizes = [int(size) for size in options.lines.split(",")]
    begin = time.perf_counter()
    parts = Parts("ga4", fresh=options.fresh, keep=not quick)
    sources = {"sources": source_digest("shoplm"), "benchmark": source_digest("benchmarks/ga4.py")}
    runs: dict[tuple[str, int], list[Json]] = {}
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        for lines in sizes:
            file = Path(folder) / f"events-{lines}.jsonl"
            rows, broken = write(lines, file)
            for number in range(options.runs):  # A B A B …
                for side in SIDES:
                    job = {"side": side, "lines": lines, "run": number}
                    found = parts.take(f"{side} {lines} {number}", {**job, **sources},
                                       lambda job=job, file=file: must(child("benchmarks.ga4:bring_in", {**job, "file": file}, timeout=options.limit)))  # fmt: skip
                    if (found["taken"], found["aside"]) != (rows, broken):
                        raise RuntimeError(
                            f"{side}: of {rows} rows and {broken} broken lines, {found['taken']} taken and {found['aside']} set aside"
                        )
                    runs.setdefault((side, lines), []).append(found)
            file.unlink()
    sides: Json = {}
    for side in SIDES:
        said = {
            str(size): {"lines_per_second": spread([r["lines_per_second"] for r in runs[side, size]]), "peak_mb": spread([r["peak_mb"] for r in runs[side, size]]),
                        "seconds": spread([r["seconds"] for r in runs[side, size]])}
            for size in sizes
        }  # fmt: skip
        exponents = {
            "seconds": growth(sizes, [said[str(size)]["seconds"]["median"] for size in sizes]),
            "memory": growth(sizes, [said[str(size)]["peak_mb"]["median"] for size in sizes]),
        }
        sides[side] = {"sizes": said, "growth_exponent": exponents}
    largest = str(sizes[-1])
    shown = [[side, f"{size:,}", f"{sides[side]['sizes'][str(size)]['lines_per_second']['median']:,.0f}", f"{sides[side]['sizes'][str(size)]['peak_mb']['median']:.0f}"]
             for side in SIDES for size in sizes]  # fmt: skip
    table("import of a GA4 export", ["side", "lines", "lines/s", "peak MB"], shown)
    mine, peer = sides["ours"], sides["json_pandas"]
    rate = mine["sizes"][largest]["lines_per_second"]["median"]
    return result("ga4", begin, quick=quick, peers={"json_pandas": peer}, ratio={"json_pandas": ratio(rate, peer["sizes"][largest]["lines_per_second"]["median"])},
                  ours={"lines_per_second": rate, "peak_mb": mine["sizes"][largest]["peak_mb"]["median"], "largest_lines": sizes[-1], **mine},
                  quality={"holds": {f"at least {TARGET} lines a second": rate >= TARGET}})  # fmt: skip
