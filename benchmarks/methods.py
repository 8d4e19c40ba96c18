"""All six methods on public data: each after a search of its own, on the same seconds; finalists over seeds, judged on the test rows.

Everything is one public ``compare`` a data set: the searches, the repeats in processes of their own, the one look at the
test rows. Its folder is kept (not in git), so that a stopped run goes on; the seconds of a search are those of training.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import RESULTS, Json, data, result, say, table

PARTS: Mapping[str, Json] = {
    "clinc150": {"task": "intent", "file": ("clinc150_oos", "queries.parquet"), "where": "not extra_oos_train", "metric": "accuracy"},
    "womens_clothing": {"task": "sentiment", "file": ("womens_clothing_reviews", "reviews.parquet"), "where": "body is not null", "metric": "macro_f1"},
}  # fmt: skip
WITHIN = 0.015
"""How far below ``full`` a method may stay after its own search."""
HALF = 0.5
"""Of the time of ``full``, in which the best parameter-efficient method should tie with it."""
EFFICIENT = ("lora", "adalora", "prefix", "bottleneck", "head")
SHOWN = ("accuracy", "macro_f1", "oos_auroc", "roc_auc", "log_loss", "ece", "rmse")


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Compare on every asked data set; what an earlier call has done is not done again."""
    options = _options(arguments, quick)
    begin = time.perf_counter()
    for part in options.parts:
        data(*PARTS[part]["file"])
    found = {}
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        for part in options.parts:
            out = Path(folder) / part if quick else Path(options.out or RESULTS / "methods.partial") / part
            found[part] = _compared(part, options, out, Path(folder))
    quality = {part: _part(part, said) for part, said in found.items()}
    _print(quality)
    ours = {
        part: {key: said[key] for key in ("trials", "budget_seconds", "seeds", "rows", "chosen", "data_version")}
        for part, said in found.items()
    }
    peers = {part: said["baselines"] for part, said in found.items()}
    return result(
        "methods",
        begin,
        quick=quick,
        ours=ours,
        peers=peers,
        quality=quality,
        searches={part: said["search"] for part, said in found.items()},
    )


def _options(arguments: Sequence[str], quick: bool) -> argparse.Namespace:
    reader = argparse.ArgumentParser(prog="benchmarks methods", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--parts", "--part", default="clinc150" if quick else ",".join(PARTS), help=f"of {', '.join(PARTS)}")
    reader.add_argument("--methods", default="head,lora" if quick else "full,lora,adalora,prefix,bottleneck,head")
    reader.add_argument("--backbone", default="default", help="default, a folder (such as a causal model of your own), or an id")
    reader.add_argument("--trials", type=int, default=2 if quick else 16)
    reader.add_argument("--budget", type=float, help="seconds of training for each search; without it compare's own")
    reader.add_argument("--seeds", type=int, default=1 if quick else 3)
    reader.add_argument("--out", help="where the comparisons are kept")
    reader.add_argument(
        "--set", action="append", default=["epochs=1"] if quick else [], metavar="KEY=VALUE", help="a setting of every trial"
    )
    options = reader.parse_args(list(arguments))
    options.parts = options.parts.split(",")
    for part in options.parts:
        if part not in PARTS:
            reader.error(f"no part `{part}`; there is {', '.join(PARTS)}")
    options.quick = quick
    return options


def _compared(part: str, options: argparse.Namespace, out: Path, scratch: Path) -> Json:
    """One ``compare``, as ``--json`` prints it."""
    from shoplm.pipeline.compare import comparing
    from shoplm.pipeline.progress import Terminal

    said = PARTS[part]
    file = data(*said["file"])
    if options.quick:
        file = _rough(part, file, scratch / f"{part}.parquet")
    config = comparing.CompareConfig.read(
        said["task"], methods=options.methods.split(","), backbones=[options.backbone], trials=options.trials, budget=options.budget, seeds=options.seeds
    )  # fmt: skip
    compared = comparing.candidates(config, options.set, {"where": said["where"]})
    return comparing.run(config, compared, data=file, out=out, progress=Terminal()).plain()


def _rough(part: str, file: Path, place: Path) -> Path:
    """A few rows of every split and label."""
    import pandas as pd

    frame = pd.read_parquet(file)
    if PARTS[part]["task"] == "intent":
        frame = frame[frame["shot5"] | (frame["split"] != "train")].groupby(["split", "intent"]).head(2)
    else:
        frame = frame.sample(min(600, len(frame)), random_state=0)
    frame.to_parquet(place, index=False)
    return place


def _part(part: str, said: Json) -> Json:
    """The table of one data set, and what holds of it."""
    metric, finalists = PARTS[part]["metric"], {one["method"]: one for one in said["finalists"]}
    rows = {
        method: {
            "metrics": {name: one["metrics"][name] for name in SHOWN if name in one["metrics"]}, "valid": one["valid"],
            **{key: one[key] for key in ("failed", "params", "seconds", "peak_mb", "learning_share", "bundle_bytes", "tokens_per_second", "latency_ms")},
        }
        for method, one in finalists.items()
    }  # fmt: skip
    holds: dict[str, bool] = {}
    full = finalists.get("full")
    if full and not full["failed"]:
        value = full["metrics"][metric]["value"]
        others = {method: one for method, one in finalists.items() if method in EFFICIENT and not one["failed"]}
        for method, one in others.items():
            holds[f"{method} within {100 * WITHIN:.1f} points of full"] = one["metrics"][metric]["value"] >= value - WITHIN
        quick_ones = [one for one in others.values() if one["seconds"] <= HALF * full["seconds"]]
        holds[f"one ties with full in at most {HALF:g} of its time"] = any(
            one["metrics"][metric]["high"] >= value for one in quick_ones
        )  # roughly: its interval holds full's figure; the paired difference to the chosen one is in the report
    return {"metric": metric, "methods": rows, "chosen": said["chosen"], "test_rows": said["rows"]["judged"], "holds": holds}


def _print(found: Mapping[str, Any]) -> None:
    for part, said in found.items():
        rows = []
        for method, one in said["methods"].items():
            value = one["metrics"].get(said["metric"])
            shown = "failed" if value is None else f"{value['value']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"
            costs = [f"{one[key]:,.0f}" if one[key] is not None else "-" for key in ("seconds", "peak_mb", "tokens_per_second")]
            size = "-" if one["bundle_bytes"] is None else f"{one['bundle_bytes'] / 1e6:.1f}"
            share = "-" if one["learning_share"] is None else f"{100 * one['learning_share']:.2f}"
            rows.append([method, shown, *costs[:2], share, size, costs[2]])
        head = ["method", f"{said['metric']} [95 %]", "seconds", "peak MB", "learns %", "bundle MB", "tokens/s"]
        table(f"{part}: {said['test_rows']:,} test rows, chosen on validation: {said['chosen']}", head, rows)
        for line, holds in said["holds"].items():
            say(f"{'yes' if holds else 'NO '}  {part}: {line}")
