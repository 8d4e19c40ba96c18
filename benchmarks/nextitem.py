"""Next item on public data, leave-one-out, all items ranked: ``recommend`` beside each of its sources alone, and without its networks.

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
    """Train and judge one set, with and without networks, as a job."""
    from shoplm.apps.recommend import RecommendConfig
    from shoplm.evaluate.ranking import difference
    from shoplm.pipeline import recommending

    acts, items = data(job["set"], "interactions.parquet"), data(job["set"], "items.parquet")
    found, times = {}, {}
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        for how in ("with", "without"):
            place = Path(folder) / how
            begin = time.perf_counter()
            _, valid = recommending.train(RecommendConfig(seen=job["seen"], sequence=how == "with"), data=acts, items=items, out=place)
            between = time.perf_counter()
            found[how] = recommending.evaluate(place, data=acts), valid
            times[how] = round(between - begin, 1), round(time.perf_counter() - between, 1)
    both = {
        "test": difference(found["with"][0].ours, found["without"][0].ours),
        "valid": difference(found["with"][1].ours, found["without"][1].ours) if found["with"][1] and found["without"][1] else {},
    }
    return {
        "train_seconds": times["with"][0], "judge_seconds": times["with"][1], "train_seconds_without": times["without"][0],
        "peak_mb": peak_mb(), "found": found["with"][0].plain(), "without": found["without"][0].plain()["metrics"],
        "minus_without": {split: {name: one.plain() for name, one in each.items()} for split, each in both.items()},
    }  # fmt: skip


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
            quality.setdefault(name, {})[how] = {metric: found["metrics"][metric] for metric in METRICS} | {
                "without_networks": {metric: run["without"][metric] for metric in METRICS},
                "minus_without_networks": {
                    split: {metric: each[metric] for metric in METRICS if metric in each} for split, each in run["minus_without"].items()
                },
            }
            ours.setdefault(name, {})[how] = {
                **{key: run[key] for key in ("train_seconds", "train_seconds_without", "judge_seconds", "peak_mb")},
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
            without = [f"{run['without'][metric]['value']:.4f}" for metric in METRICS]
            gain = run["minus_without"]["test"]["ndcg_at_10"]
            paired = f"{gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"
            rows.append([name, seen, *shown, *without, paired, *map(str, floor), run["train_seconds"], round(run["peak_mb"])])
    heads = ["R@10", "N@10", "without networks R", "N", "N minus it, paired", "heuristic R", "N", "train s", "peak MB"]
    table("next item on test", ["set", "seen", *heads], rows)
    return result("nextitem", begin, quick=quick, ours=ours, peers=peers, quality={**quality, "holds": holds})
