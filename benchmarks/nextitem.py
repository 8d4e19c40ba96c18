"""Next item on public data, leave-one-out, all items ranked: ``recommend`` beside each of its sources alone.

Ways of counting and weights come from the acts before validation; the test act of each shopper is looked at once. Whether seen
items are removed from the lists is part of each figure's name. Each run is a process of its own. No neural peer stands beside
yet: the floors of a plain heuristic (co-occurrence, transitions, TF-IDF) and published figures are those of the data's own notes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import Json, Parts, child, data, must, peak_mb, result, source_digest, table

FLOORS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "amazon_scientific": {"removed": (0.1135, 0.0829), "kept": (0.1079, 0.0761)},
    "amazon_beauty": {"removed": (0.0925, 0.0576)},
    "amazon_toys": {"removed": (0.0973, 0.0641)},
}
"""Recall and NDCG at 10 of the heuristic, by set and by whether seen items are removed."""
METRICS = ("recall_at_10", "ndcg_at_10")


def judge(job: Mapping[str, Any]) -> Json:
    """Train and judge one set, as a job."""
    from shoplm.apps.recommend import RecommendConfig
    from shoplm.pipeline import recommending

    acts, items = data(job["set"], "interactions.parquet"), data(job["set"], "items.parquet")
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        place = Path(folder) / "bundle"
        begin = time.perf_counter()
        recommending.train(RecommendConfig(seen=job["seen"]), data=acts, items=items, out=place)
        seconds = time.perf_counter() - begin
        begin = time.perf_counter()
        found = recommending.evaluate(place, data=acts).plain()
        judged = time.perf_counter() - begin
    return {"train_seconds": round(seconds, 1), "judge_seconds": round(judged, 1), "peak_mb": peak_mb(), "found": found}


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Measure every set."""
    reader = argparse.ArgumentParser(prog="benchmarks nextitem", description=__doc__)
    reader.add_argument("--sets", default="amazon_scientific" if quick else ",".join(FLOORS))
    reader.add_argument("--fresh", action="store_true")
    options = reader.parse_args(list(arguments))
    begin = time.perf_counter()
    parts = Parts("nextitem", fresh=options.fresh, keep=not quick)
    ours: Json = {}
    peers: Json = {}
    quality: Json = {}
    rows, holds = [], {}
    for name in options.sets.split(","):
        for seen, floor in FLOORS[name].items():
            if quick and seen == "kept":
                continue
            job = {"set": name, "seen": seen}
            run = parts.take(
                f"{name} {seen}", {**job, "sources": source_digest("shoplm")}, lambda job=job: must(child("benchmarks.nextitem:judge", job))
            )
            found = run["found"]
            how = f"seen_{seen}"
            quality.setdefault(name, {})[how] = {metric: found["metrics"][metric] for metric in METRICS}
            ours.setdefault(name, {})[how] = {
                **{key: run[key] for key in ("train_seconds", "judge_seconds", "peak_mb")},
                "minus_sources": {source: {metric: of[metric] for metric in METRICS} for source, of in found["minus_baseline"].items()},
                "slices": {
                    cut: {metric: of[metric]["value"] for metric in METRICS} | {"shoppers": of["shoppers"]["value"]}
                    for cut, of in found["slices"].items()
                },
                "lists": found["lists"],
                "shoppers": found["shoppers"],
            }
            peers.setdefault(name, {})[how] = {
                "heuristic": dict(zip(METRICS, floor, strict=True)),
                **{source: {metric: of[metric]["value"] for metric in METRICS} for source, of in found["baselines"].items()},
            }
            for metric, least in zip(METRICS, floor, strict=True):
                holds[f"{name}, seen {seen}: {metric} above {least}"] = found["metrics"][metric]["low"] > least
            shown = [
                f"{found['metrics'][metric]['value']:.4f} [{found['metrics'][metric]['low']:.4f}, {found['metrics'][metric]['high']:.4f}]"
                for metric in METRICS
            ]
            rows.append([name, seen, *shown, *map(str, floor), run["train_seconds"], round(run["peak_mb"])])
    table("next item on test", ["set", "seen", "R@10", "N@10", "heuristic R", "N", "train s", "peak MB"], rows)
    return result("nextitem", begin, quick=quick, ours=ours, peers=peers, quality={**quality, "holds": holds})
