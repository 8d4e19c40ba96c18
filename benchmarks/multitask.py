"""Four tasks of one simulated shop in one bundle, learnt together, beside a bundle of its own for each.

``own``: each task fully tuned by itself with the recipe as it is, four bundles. ``shared``: one backbone fully tuned on a mixture
of all four, one bundle; ``lora_…``: the ways of sharing that low-rank factors allow. Each run is one public ``train`` in a process
of its own, all on the same rows; the test rows are judged once a run. Differences are paired on the same resampled test rows.
Asked: no task more than half a point below its own model and at least one above it; a bundle at most 1.1 times as large
as one model; training at most .6 of the sum.
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
from benchmarks.side_by_side import Json, Parts, child, judged, must, ratio, result, say, source_digest, table

TASKS = ("sentiment", "intent", "traits", "interest")
WAYS: Mapping[str, Json] = {
    "shared": {"method": "full", "sharing": "shared"},
    "lora_shared": {"method": "lora", "sharing": "shared"},
    "lora_both": {"method": "lora", "sharing": "both"},
}
LOST, SIZE, SECONDS = 0.005, 1.1, 0.6
"""What is asked: the most that a task may lose, the bundle's size over one model's, the seconds over the sum."""


def trained(job: Mapping[str, Any]) -> Json:
    """One run, as a job: a world, ``train`` for some tasks, each judged on its test rows."""
    from shoplm.data.shop import Shop
    from shoplm.pipeline.config import RunConfig
    from shoplm.pipeline.judging import evaluate
    from shoplm.pipeline.training import train
    from shoplm.world.settings import WorldConfig
    from shoplm.world.stream import fill

    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as name:
        folder = Path(name)
        shop = Shop(folder / "shop", create=True)
        fill(shop, WorldConfig.of(job["world"]))
        settings = {key: value for key, value in job["settings"].items() if key != "share" or "interest" in job["tasks"]}
        config = RunConfig.read(job["tasks"], settings=[f"{key}={value}" for key, value in settings.items()])
        begin = time.perf_counter()
        bundle = train(config, shop=shop, out=folder / "bundle")
        found: Json = {
            "seconds": round(time.perf_counter() - begin, 1),
            "bytes": sum(path.stat().st_size for path in (folder / "bundle").rglob("*") if path.is_file() and "run" not in path.parts),
            "tasks": {},
        }
        for task in job["tasks"]:
            said = evaluate(bundle, task, shop=shop, split="test", baselines=False)
            judge_by = bundle.part(task)[1].judge_by
            found["tasks"][task] = {
                "judge_by": judge_by, "train_rows": bundle.contents.facts[task]["train_rows"], "test_rows": said.judgement.rows,
                **judged(said, {judge_by, "accuracy", "log_loss"}),
            }  # fmt: skip
    return found


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Measure the asked ways beside the tasks' own models."""
    options = _options(arguments, quick)
    begin = time.perf_counter()
    parts = Parts("multitask", fresh=options.fresh, keep=not quick)
    sources = source_digest("shoplm")

    def take(name: str, tasks: Sequence[str], settings: Json, seed: int) -> Json:
        job = {"tasks": list(tasks), "world": options.world, "settings": {**options.settings, **settings, "seed": seed}}
        found: Json = parts.take(
            f"{name} seed {seed}", {**job, "sources": sources},
            lambda: must(child("benchmarks.multitask:trained", job, timeout=options.limit)),
        )  # fmt: skip
        values = {task: round(one["test"][one["judge_by"]]["value"], 4) for task, one in found["tasks"].items()}
        say(f"{name} seed {seed}: {values}, {found['seconds']:.0f} s")
        return found

    own = {task: [take(f"own {task}", [task], {"method": "full"}, seed) for seed in options.seeds] for task in TASKS}
    alone = float(np.mean([sum(own[task][at]["seconds"] for task in TASKS) for at in range(len(options.seeds))]))
    model = max(run["bytes"] for runs in own.values() for run in runs)
    quality: Json = {}
    rows = []
    for way in options.ways:
        runs = [take(way, TASKS, WAYS[way], seed) for seed in options.seeds]
        seconds, size = float(np.mean([run["seconds"] for run in runs])), max(run["bytes"] for run in runs)
        quality[way] = {"seconds_of_sum": round(seconds / alone, 3), "size_of_one": round(size / model, 3), "tasks": {}}
        for task in TASKS:
            mine, theirs = [run["tasks"][task] for run in runs], [run["tasks"][task] for run in own[task]]
            measure = mine[0]["judge_by"]
            gain = compare(mine, theirs)[measure]
            values = [float(np.mean([one["test"][measure]["value"] for one in side])) for side in (mine, theirs)]
            quality[way]["tasks"][task] = {"metric": measure, "together": round(values[0], 5), "own": round(values[1], 5), "gain": gain,
                                           "train_rows": mine[0]["train_rows"], "test_rows": mine[0]["test_rows"]}  # fmt: skip
            shown = f"{gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]{' tie' if gain['tie'] else ''}"
            rows.append([way, task, measure, f"{values[0]:.4f}", f"{values[1]:.4f}", shown])
        gains = [one["gain"]["value"] for one in quality[way]["tasks"].values()]
        quality[way]["holds"] = {
            "no task lost more than half a point": min(gains) >= -LOST, "one task gained": max(gains) > 0,
            "size": size <= SIZE * model, "seconds": seconds <= SECONDS * alone,
        }  # fmt: skip
    table(
        f"four tasks together and apart, test rows, {len(options.seeds)} seeds", ["way", "task", "metric", "together", "own", "gain"], rows
    )
    for way, said in quality.items():
        say(f"{way}: {said['seconds_of_sum']:.2f} of the seconds ({alone:.0f} s apart), {said['size_of_one']:.2f} of one model's size")
        for name, holds in said["holds"].items():
            say(f"{'yes' if holds else 'NO '}  {way}: {name}")
    ours = {way: {"seconds_of_sum": said["seconds_of_sum"]} for way, said in quality.items()}
    peers = {"own": {"seconds": round(alone, 1), "bytes": model}}
    faster = {f"own, {way}": ratio(1.0, said["seconds_of_sum"]) for way, said in quality.items()}
    return result("multitask", begin, quick=quick, ours=ours, peers=peers, ratio=faster, quality=quality, world=options.world)


def _options(arguments: Sequence[str], quick: bool) -> argparse.Namespace:
    reader = argparse.ArgumentParser(prog="benchmarks multitask", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--shoppers", type=int, default=150 if quick else 600)
    reader.add_argument("--share", type=float, default=0.05 if quick else 0.02, help="of the lists, for interest")
    reader.add_argument("--ways", default="shared" if quick else ",".join(WAYS), help=f"of {', '.join(WAYS)}")
    reader.add_argument("--seeds", default="0")
    reader.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting over the recipe, for every run")
    reader.add_argument("--limit", type=float, default=3600.0, help="seconds after which one run is given up")
    reader.add_argument("--fresh", action="store_true", help="measure everything anew")
    options = reader.parse_args(list(arguments))
    options.ways = options.ways.split(",")
    for way in options.ways:
        if way not in WAYS:
            reader.error(f"no way `{way}`; there is {', '.join(WAYS)}")
    options.seeds = [int(seed) for seed in options.seeds.split(",")]
    options.world = {"shoppers": options.shoppers, "products": 2000 if not quick else 200}
    options.settings = {"share": options.share, "max_length": 96, **({"epochs": 1} if quick else {})}
    options.settings |= {key: value for key, _, value in (pair.partition("=") for pair in options.set)}
    return options
