"""Quality of the default recipe on public data: test metrics with intervals, beside TF-IDF and a fully tuned backbone.

Every seed is one public ``train`` and one ``evaluate`` of the test split, in a process of its own. Settings come
from validation only (the pipeline's defaults; for ``full_tuned`` its own rate search); the test rows are judged
once a seed. Differences are paired on the same resampled test rows and averaged over the seeds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.side_by_side import Json, Parts, child, data, interval, judged, must, replicates, result, say, source_digest, spread, table

CLINC = ("clinc150_oos", "queries.parquet")
CLOTHING = ("womens_clothing_reviews", "reviews.parquet")
PARTS: Mapping[str, Json] = {
    "clinc_full": {"task": "intent", "file": CLINC, "where": "not extra_oos_train", "settings": {}},
    "clinc_5shot": {"task": "intent", "file": CLINC, "where": "shot5 or split <> 'train'", "settings": {}},
    "clinc_10shot": {"task": "intent", "file": CLINC, "where": "shot10 or split <> 'train'", "settings": {}},
    "clothing_sentiment": {"task": "sentiment", "file": CLOTHING, "where": "body is not null", "settings": {}},
    "clothing_recommended": {"task": "sentiment", "file": CLOTHING, "where": "body is not null", "settings": {"target": "recommended"}},
    "full_tuned": {"task": "sentiment", "file": CLOTHING, "where": "body is not null", "settings": {"layers": 6}},
    "full_tuned_recommended": {"task": "sentiment", "file": CLOTHING, "where": "body is not null", "settings": {"target": "recommended", "layers": 6}},
}  # fmt: skip
"""What is trained and judged; ``full_tuned…`` are the two clothing parts with all six layers learning."""
FULLY_TUNED: Mapping[str, str] = {"full_tuned": "clothing_sentiment", "full_tuned_recommended": "clothing_recommended"}
"""A part in which all layers learn → the part of ours that it stands beside."""
TARGETS: Mapping[str, Mapping[str, float]] = {
    "clinc_full": {"accuracy": 0.967, "oos_auroc": 0.980}, "clinc_5shot": {"accuracy": 0.885}, "clinc_10shot": {"accuracy": 0.92},
    "clothing_sentiment": {"macro_f1": 0.72}, "clothing_recommended": {"accuracy": 0.93},
}  # fmt: skip
"""What the issue asks for (the clothing ones are aims; what must hold there is the paired comparison)."""
SHOWN = ("accuracy", "macro_f1", "oos_auroc", "roc_auc", "ece", "rmse")


def train_and_judge(job: Mapping[str, Any]) -> Json:
    """One seed of one part, as a job: the public ``train``, then ``evaluate`` on the rows of ``split``."""
    import pandas as pd

    from benchmarks.watch import watched
    from shoplm.pipeline.config import RunConfig
    from shoplm.pipeline.judging import evaluate
    from shoplm.pipeline.training import train

    part = PARTS[job["part"]]
    config = RunConfig.read([part["task"]], where=part["where"], seed=job["seed"], **part["settings"], **job["settings"])
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        file = data(*part["file"])
        if job["rows"]:
            frame = pd.read_parquet(file)
            if part["task"] == "intent":  # a few of every intent in every split
                frame = frame[frame["shot5"] | (frame["split"] != "train")]
                rough = frame.groupby(["split", "intent"]).head(max(2, job["rows"]))
            else:
                rough = frame.sample(min(job["rows"], len(frame)), random_state=0)
            file = Path(folder) / "rough.parquet"
            rough.to_parquet(file, index=False)
        begin = time.perf_counter()
        with watched() as watch:
            bundle = train(config, data=file, out=Path(folder) / "bundle")
        seconds = time.perf_counter() - begin
        _, _, _, fitted = bundle.part()
        found: Json = {
            "seconds": round(seconds, 2), "parts": {key: value for key, value in watch.plain().items() if key.endswith("seconds")},
            "valid": bundle.metrics[part["task"]]["metrics"], "recipe": bundle.contents.facts[part["task"]]["recipe"], "scope": dict(fitted.words),
        }  # fmt: skip
        if job["judge"]:
            said = evaluate(bundle, data=file, split="test")
            found |= {
                **judged(said, SHOWN), "test_rows": said.judgement.rows, "evaluate_seconds": round(said.seconds, 2),
                "baselines": {name: theirs.points() for name, theirs in said.baselines.items()},
                "baseline_replicates": {
                    name: replicates(theirs, SHOWN)
                    for name, theirs in said.baselines.items() if said.judgement.pairs_with(theirs)
                },
            }  # fmt: skip
    return found


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Measure the asked parts; those measured before with the same sources and settings are kept."""
    options = _options(arguments, quick)
    begin = time.perf_counter()
    for part in options.parts:
        data(*PARTS[part]["file"])
    parts = Parts("quality", fresh=options.fresh, keep=not quick)
    sources = source_digest("shoplm")
    runs: dict[str, list[Json]] = {}
    for part in options.parts:
        base = dict(options.settings)
        if part in FULLY_TUNED:
            base |= {"epochs": options.epochs} if options.epochs else {}
            base["learning_rate"] = _rate(parts, options, base, sources)  # found on `sentiment`, used for both
        for seed in options.seeds:
            job = {"part": part, "seed": seed, "settings": base, "rows": options.rows, "judge": True}
            runs.setdefault(part, []).append(
                parts.take(
                    f"{part} seed {seed}",
                    {**job, "sources": sources},
                    lambda job=job: must(child("benchmarks.quality:train_and_judge", job, timeout=options.limit)),
                )
            )
            shown = {name: round(runs[part][-1]["test"][name]["value"], 4) for name in SHOWN if runs[part][-1]["test"].get(name)}
            say(f"{part} seed {seed}: {shown}, trained in {runs[part][-1]['seconds']} s")
    if not quick:
        _remembered(parts, runs, sources)
    found = {part: _part(part, seeds) for part, seeds in runs.items()}
    for theirs, part in FULLY_TUNED.items():
        if {part, theirs} <= set(runs):
            compared = compare(runs[part], runs[theirs])
            found[part]["minus_full_tuned"] = compared
            found[part]["holds"]["not below fully tuned"] = all(
                compared[name]["high"] >= 0 for name in ("macro_f1", "accuracy") if name in compared
            )
    _print(found)
    ours = {part: {"seconds": spread([run["seconds"] for run in seeds]), "peak_mb": spread([run["peak_mb"] for run in seeds]),
                   "parts": [run["parts"] for run in seeds], "recipe": seeds[0]["recipe"]} for part, seeds in runs.items()}  # fmt: skip
    peers = {part: said["baselines"] for part, said in found.items()}
    return result("quality", begin, quick=quick, ours=ours, peers=peers, quality=found)


def _options(arguments: Sequence[str], quick: bool) -> argparse.Namespace:
    reader = argparse.ArgumentParser(prog="benchmarks quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--parts", "--part", default="clinc_5shot" if quick else ",".join(PARTS), help=f"of {', '.join(PARTS)}")
    reader.add_argument("--seeds", default="0" if quick else "0,1,2")
    reader.add_argument("--epochs", type=int, help="passes of full_tuned; default: the recipe's own")
    reader.add_argument(
        "--full-rates", default="1e-4,2e-4,4e-4", help="rates tried for full_tuned, chosen on validation; a single one is taken as it is"
    )
    reader.add_argument("--search-rows", type=int, default=6000, help="rows of that search")
    reader.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting over the recipe, for every part")
    reader.add_argument("--limit", type=float, default=7200.0, help="seconds after which one run is given up")
    reader.add_argument("--fresh", action="store_true", help="measure everything anew")
    options = reader.parse_args(list(arguments))
    options.parts = options.parts.split(",")
    for part in options.parts:
        if part not in PARTS:
            reader.error(f"no part `{part}`; there is {', '.join(PARTS)}")
    options.seeds = [int(seed) for seed in options.seeds.split(",")]
    options.settings = {key: yaml.safe_load(value) for key, _, value in (pair.partition("=") for pair in options.set)}
    options.rows = 2 if quick else None
    if quick:
        options.settings |= {"epochs": 2}
    return options


def _rate(parts: Parts, options: argparse.Namespace, base: Json, sources: str) -> float:
    """The fully tuned backbone's own best rate, by validation macro-F1 on fewer rows."""
    rates = [float(rate) for rate in options.full_rates.split(",")]
    if len(rates) == 1:
        return rates[0]
    scores = {}
    for rate in rates:
        job = {"part": "full_tuned", "seed": 0, "settings": {**base, "learning_rate": rate}, "rows": options.search_rows, "judge": False}
        tried = parts.take(
            f"full_tuned rate {rate:g}",
            {**job, "sources": sources},
            lambda job=job: child("benchmarks.quality:train_and_judge", job, timeout=options.limit),
        )
        scores[rate] = tried["valid"]["macro_f1"]["value"] if "valid" in tried else 0.0
    say(f"full_tuned: validation macro-F1 by rate {scores}")
    return max(scores, key=lambda rate: scores[rate])


def _remembered(parts: Parts, runs: dict[str, list[Json]], sources: str) -> None:
    """Parts of earlier calls, measured with the same sources and the recipe as it is, so that one object shows all."""
    for label, kept in parts.kept.items():
        part, _, seed = label.partition(" seed ")
        given = kept["settings"]
        same = given.get("sources") == sources and not given.get("rows") and (part in FULLY_TUNED or not given.get("settings"))
        if seed and part in PARTS and same and kept["found"] not in runs.get(part, []):
            runs.setdefault(part, []).append(kept["found"])


def compare(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> Json:
    """The mean over seeds of ours minus theirs, with an interval over resampled test rows; only judgements of the same rows pair."""
    if any(
        run["checksums"].get(name) != value for run in theirs for name, value in ours[0]["checksums"].items() if name in run["checksums"]
    ):
        raise ValueError("only judgements of the same test rows can be paired")
    found: Json = {}
    for name in ours[0]["replicates"]:
        if name in theirs[0]["replicates"]:
            if any(run["test"][name]["value"] is None for run in (*ours, *theirs)):
                continue
            a, b = (np.mean([run["replicates"][name] for run in runs], axis=0) for runs in (ours, theirs))
            points = [np.mean([run["test"][name]["value"] for run in runs]) for runs in (ours, theirs)]
            found[name] = interval(float(points[0] - points[1]), a - b)
    return found


def _part(part: str, seeds: Sequence[Json]) -> Json:
    """One part over its seeds."""
    metrics: Json = {}
    for name, first in seeds[0]["test"].items():
        if first["value"] is not None:
            values = [run["test"][name]["value"] for run in seeds]
            metrics[name] = {
                "mean": round(float(np.mean(values)), 5),
                "seeds": [round(value, 5) for value in values],
                "interval_of_first_seed": [first["low"], first["high"]],
            }
    differences: Json = {}
    for baseline in seeds[0]["baseline_replicates"]:
        theirs = [
            {"replicates": run["baseline_replicates"][baseline], "checksums": run["checksums"],
             "test": {key: {"value": value} for key, value in run["baselines"][baseline].items()}}
            for run in seeds
        ]  # fmt: skip
        differences[baseline] = compare(seeds, theirs)
    holds: dict[str, bool] = {}
    for name, wanted in TARGETS.get(part, {}).items():
        if name in metrics:
            holds[f"{name} at least {wanted}"] = metrics[name]["mean"] >= wanted
    judged = "macro_f1" if part in ("clothing_sentiment", "full_tuned") else "accuracy"
    if judged in differences.get("tfidf", {}):
        holds[f"{judged} above TF-IDF"] = differences["tfidf"][judged]["low"] > 0
    if part == "clinc_full":
        holds["training at most 90 s"] = float(np.median([run["seconds"] for run in seeds])) <= 90
    return {
        "metrics": metrics, "baselines": seeds[0]["baselines"], "minus_baseline": differences, "holds": holds, "test_rows": seeds[0]["test_rows"],
        "train_seconds": spread([run["seconds"] for run in seeds]), "valid": seeds[0]["valid"], "where": PARTS[part]["where"], "scope": seeds[0]["scope"],
    }  # fmt: skip


def _print(found: Mapping[str, Json]) -> None:
    rows = []
    for part, said in found.items():
        for name in SHOWN:
            if name in said["metrics"]:
                value = said["metrics"][name]
                low, high = value["interval_of_first_seed"]
                gap = said["minus_baseline"].get("tfidf", {}).get(name)
                shown = "-" if gap is None else f"{gap['value']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]{' tie' if gap['tie'] else ''}"
                rows.append(
                    [part, name, f"{value['mean']:.4f}", f"[{low:.4f}, {high:.4f}]", shown, f"{said['train_seconds']['median']:.0f}"]
                )
    table("quality on the test rows", ["part", "metric", "mean of seeds", "95 % (first seed)", "minus TF-IDF, paired", "train s"], rows)
    for part, said in found.items():
        for line, holds in said["holds"].items():
            say(f"{'yes' if holds else 'NO '}  {part}: {line}")
