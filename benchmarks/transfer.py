"""Transfer: ten labels a class of a new shop, learnt from another shop's bundle (``--from``) and from a fresh start.

The turns of two shops of MultiDoGO (media: the shop that is there; fastfood: the new one), one intent a turn. A draw is ten
train turns of every intent of the new shop; each draw is learnt in both ways with the recipe as it is and judged on the new
shop's own test turns. Differences are paired on the same resampled test rows and averaged over the draws.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality import compare
from benchmarks.side_by_side import Json, Parts, child, data, judged, must, result, say, source_digest, table

FILE = ("multidogo_intents_slots", "turns.parquet")
THERE, NEW = "media", "fastfood"
A_CLASS = 10
SHOWN = ("accuracy", "macro_f1", "log_loss", "ece")


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Measure both ways."""
    options = _options(arguments, quick)
    begin = time.perf_counter()
    data(*FILE)
    parts = Parts("transfer", fresh=options.fresh, keep=not quick)
    job = {"rows": options.rows, "test_rows": options.test_rows, "draws": options.draws, "method": options.method, "quick": quick}
    found = parts.take(
        "both ways", {**job, "sources": source_digest("shoplm")},
        lambda: must(child("benchmarks.transfer:both_ways", job, timeout=options.limit)),
    )  # fmt: skip
    gain = compare(found["from"], found["fresh"])
    rows = []
    for name in SHOWN:
        mine, theirs = (np.mean([run["test"][name]["value"] for run in found[way]]) for way in ("from", "fresh"))
        gap = gain.get(name)
        shown = "-" if gap is None else f"{gap['value']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]{' tie' if gap['tie'] else ''}"
        rows.append([name, f"{mine:.4f}", f"{theirs:.4f}", shown])
    table(
        f"{A_CLASS} labels a class, {options.draws} draws, {found['test_rows']:,} test rows",
        ["metric", "from a bundle", "fresh", "gain"],
        rows,
    )
    say(f"the bundle that is there: {found['there_rows']:,} turns, {found['there_seconds']:.0f} s; a draw: {found['draw_rows']} turns, "
        f"{np.median([run['seconds'] for run in found['from']]):.1f} s")  # fmt: skip
    quality = {"gain": gain, **{way: {name: round(float(np.mean([run["test"][name]["value"] for run in found[way]])), 5) for name in SHOWN}
               for way in ("from", "fresh")}}  # fmt: skip
    ours = {"there_seconds": found["there_seconds"], "seconds": [run["seconds"] for run in found["from"]]}
    peers = {"fresh": {"seconds": [run["seconds"] for run in found["fresh"]]}}
    return result("transfer", begin, quick=quick, ours=ours, peers=peers, quality=quality, method=options.method, draws=options.draws,
                  sizes={key: found[key] for key in ("there_rows", "draw_rows", "test_rows")})  # fmt: skip


def _options(arguments: Sequence[str], quick: bool) -> argparse.Namespace:
    reader = argparse.ArgumentParser(prog="benchmarks transfer", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--rows", type=int, default=300 if quick else 4000, help="turns of the shop that is there")
    reader.add_argument("--test-rows", type=int, default=200 if quick else None, help="default: all")
    reader.add_argument("--draws", type=int, default=1 if quick else 5)
    reader.add_argument("--method", default="full", help="of the bundle that is there; the new one goes on by the same")
    reader.add_argument("--limit", type=float, default=3600.0, help="seconds after which the run is given up")
    reader.add_argument("--fresh", action="store_true", help="measure everything anew")
    return reader.parse_args(list(arguments))


def both_ways(job: Mapping[str, Any]) -> Json:
    """The bundle that is there, then every draw learnt in both ways and judged, as a job."""
    import pandas as pd

    turns = pd.read_parquet(data(*FILE))
    turns = turns[~turns["intents"].str.contains("|", regex=False, na=True)].rename(columns={"utterance": "text", "intents": "intent"})
    turns = turns[turns["text"].str.strip().astype(bool)]
    there, new = (turns[turns["domain"] == domain][["text", "intent", "split"]] for domain in (THERE, NEW))
    common = there["intent"].value_counts()
    there = there[there["intent"].isin(common[common >= 50].index) & (there["split"] == "train")]
    test = new[new["split"] == "test"]
    test = test if job["test_rows"] is None else test.sample(job["test_rows"], random_state=0)
    settings: Json = {"method": job["method"], **({"epochs": 1} if job["quick"] else {})}
    found: Json = {"from": [], "fresh": [], "test_rows": len(test)}
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as scratch:
        folder = Path(scratch)
        rows = there.sample(min(job["rows"], len(there)), random_state=0)
        rows[["text", "intent"]].to_parquet(folder / "there.parquet", index=False)
        found |= {"there_rows": len(rows), "there_seconds": _trained(folder / "there.parquet", folder / "there", settings)[1]}
        for draw in range(job["draws"]):
            shuffled = new[new["split"] == "train"].sample(frac=1, random_state=draw)
            few = shuffled.groupby("intent").head(A_CLASS)
            known = test[test["intent"].isin(few["intent"])]
            pd.concat([few, known]).to_parquet(folder / "draw.parquet", index=False)
            found["draw_rows"] = len(few)
            for way, more in (("from", {"start": str(folder / "there")}), ("fresh", {})):
                bundle, seconds = _trained(folder / "draw.parquet", folder / f"{way}{draw}", {**settings, **more, "valid": 0, "seed": draw})
                said = bundle.evaluate(data=folder / "draw.parquet", split="test", baselines=False)
                found[way].append({"seconds": round(seconds, 2), **judged(said, SHOWN)})
                say(f"draw {draw}, {way}: accuracy {found[way][-1]['test']['accuracy']['value']:.4f}")
    return found


def _trained(file: Path, out: Path, settings: Mapping[str, Any]) -> tuple[Any, float]:
    import shoplm

    begin = time.perf_counter()
    bundle = shoplm.fit("intent", file, out, **settings)
    return bundle, time.perf_counter() - begin
