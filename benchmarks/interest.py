"""Interest in a world whose truth is known: our AUC as a share of the true model's, calibration, cold items beside warm ones.

The world knows with which chance each place of each list is clicked. The best that anybody could do is to rank by that
chance, so its AUC on the rows that judge is the ceiling, and ours is given as a share of it, both on the same resampled
rows. Two runs of the public ``train``, each a process: parted by time (what is warm), and by item (what is cold: no
train row had the item). Shoppers who withhold consent are neither learnt from nor judged on.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side_by_side import Json, Parts, child, interval, must, ratio, result, say, source_digest, table

TARGETS = {"share of the true model's AUC": 0.95, "calibration error": 0.01, "cold over warm": 0.90}
REPLICATES = 300
PARTS: Mapping[str, Json] = {
    "warm": {"split.kind": "time"},
    "cold": {"split.kind": "cold_items"},
    "text_alone": {"split.kind": "time", "features": "[]"},
}
"""What is trained: by time, by item, and by time with nothing beside the text."""


def train_and_judge(job: Mapping[str, Any]) -> Json:
    """One run, as a job: a world, ``train``, then the test rows beside the truth."""
    import pyarrow.parquet as pq

    from shoplm.data.shop import Shop
    from shoplm.pipeline.config import RunConfig
    from shoplm.pipeline.judging import evaluate
    from shoplm.pipeline.training import train
    from shoplm.world.settings import WorldConfig
    from shoplm.world.stream import fill

    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as name:
        folder = Path(name)
        shop = Shop(folder / "shop", create=True)
        fill(shop, WorldConfig.of(job["world"]), folder / "truth")
        begin = time.perf_counter()
        config = RunConfig.read(["interest"], settings=[f"{key}={value}" for key, value in job["settings"].items()])
        bundle = train(config, shop=shop, out=folder / "bundle")
        seconds = time.perf_counter() - begin
        said = evaluate(bundle, shop=shop, split="test", baselines=job["baselines"])
        exposures = pq.read_table(folder / "truth" / "exposures.parquet", columns=["event_id", "p_click"])
        return {
            "seconds": round(seconds, 1), "train_rows": bundle.contents.facts["interest"]["train_rows"], "test_rows": said.judgement.rows,
            "metrics": said.plain()["metrics"], "slices": said.plain()["slices"],
            "baselines": {key: theirs.points() for key, theirs in said.baselines.items()}, **beside_the_truth(bundle, shop, exposures),
        }  # fmt: skip


def beside_the_truth(bundle: Any, shop: Any, exposures: Any) -> Json:
    """AUC of ours and of the truth on the test rows, their share and how far ours is from the true chances."""
    import pyarrow.compute as pc

    from shoplm.data.consent import learnable
    from shoplm.pipeline.bundle import beside
    from shoplm.pipeline.config import RunConfig
    from shoplm.pipeline.prepare import pieces

    _, task, _, fitted = bundle.part("interest")
    recipe = RunConfig.of(bundle.contents.facts["interest"]["recipe"], "bundle")
    chances = dict(zip(exposures["event_id"].to_pylist(), exposures["p_click"].to_pylist(), strict=True))
    ours, truth, event = [], [], []
    settings = recipe.settings("interest")
    tokenizer = bundle.contents.backbone.tokenizer
    for piece in pieces(learnable(shop), task, settings, tokenizer, recipe.split, recipe.where, names=fitted.features.names):
        at = np.flatnonzero(piece.split == "test")
        if not len(at):
            continue
        tokens = beside(piece.tokens, fitted.features, piece.features).take(at)
        ours.append(task.answer(bundle.read("interest", tokens), fitted).values["event"])
        event.append(np.asarray(pc.equal(piece.moments.targets["interest"], "yes"))[at])
        lists = [piece.ids[place].rpartition("/") for place in at]
        truth.append(np.array([chances[name][int(place)] for name, _, place in lists]))
    said, known, happened = (np.concatenate(parts) for parts in (ours, truth, event))
    random = np.random.default_rng(0)
    shares = []
    for _ in range(REPLICATES):
        rows = random.integers(0, len(said), len(said))
        shares.append(auc(said[rows], happened[rows]) / auc(known[rows], happened[rows]))
    return {
        "auc": auc(said, happened), "true_auc": auc(known, happened), "wanted": float(happened.mean()),
        "share": interval(auc(said, happened) / auc(known, happened), np.array(shares)),
        "mean_distance": float(np.abs(said - known).mean()), "correlation": float(np.corrcoef(said, known)[0, 1]),
    }  # fmt: skip


def auc(score: Any, event: Any) -> float:
    """The chance that an event scores above a non-event, ties counting half."""
    from scipy.stats import rankdata

    ranks, events = rankdata(score), int(event.sum())
    return float((ranks[event].sum() - events * (events + 1) / 2) / (events * (len(event) - events)))


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Measure the asked parts; those measured before with the same sources and settings are kept."""
    options = _options(arguments, quick)
    begin = time.perf_counter()
    parts, sources = Parts("interest", fresh=options.fresh, keep=not quick), source_digest("shoplm")
    world = {
        "shoppers": options.shoppers,
        "products": options.products,
        "weeks": options.weeks,
        "visits": options.visits,
        "seed": options.seed,
    }
    base = {
        "share": options.share,
        "max_length": options.max_length,
        "seed": options.seed,
        **dict(pair.split("=", 1) for pair in options.settings),
    }
    found: dict[str, Json] = {}
    for name in options.parts:
        job = {"world": world, "settings": {**base, **PARTS[name]}, "baselines": name == "warm"}
        found[name] = parts.take(
            name,
            {**job, "sources": sources},
            lambda job=job: must(child("benchmarks.interest:train_and_judge", job, timeout=options.limit)),
        )
        one = found[name]
        say(f"{name}: AUC {one['auc']:.4f}, the truth's {one['true_auc']:.4f}, {one['train_rows']:,} train rows, {one['seconds']} s")
    table(
        "interest, test rows", ["run", "AUC", "truth's", "share", "calibration error", "rows"],
        [[name, f"{one['auc']:.4f}", f"{one['true_auc']:.4f}", f"{one['share']['value']:.3f} [{one['share']['low']:.3f}, {one['share']['high']:.3f}]",
          f"{one['metrics']['ece']['value']:.4f}", f"{one['test_rows']:,}"] for name, one in found.items()],
    )  # fmt: skip
    return result("interest", begin, quick=quick, ours={"world": world, "settings": base, "parts": found}, quality=_quality(found))


def _quality(found: Mapping[str, Json]) -> Json:
    said: Json = {}
    if "warm" in found:
        warm = found["warm"]
        said = {"share": warm["share"]["value"], "ece": warm["metrics"]["ece"]["value"]}
        said["holds"] = {
            "at least .95 of the true model's AUC": said["share"] >= TARGETS["share of the true model's AUC"],
            "calibration error at most .01": said["ece"] <= TARGETS["calibration error"],
        }
    if {"warm", "cold"} <= set(found):
        said["cold_over_warm"] = ratio(found["cold"]["share"]["value"], found["warm"]["share"]["value"])
        said["holds"]["cold items at least .90 of warm"] = (said["cold_over_warm"] or 0.0) >= TARGETS["cold over warm"]
    return said


def _options(arguments: Sequence[str], quick: bool) -> argparse.Namespace:
    reader = argparse.ArgumentParser(prog="benchmarks interest", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument(
        "--parts", type=lambda text: text.split(","), default=["warm"] if quick else list(PARTS), help="of warm,cold,text_alone"
    )
    reader.add_argument("--shoppers", type=int, default=40 if quick else 2000)
    reader.add_argument("--products", type=int, default=120 if quick else 1000)
    reader.add_argument("--weeks", type=int, default=12 if quick else 52)
    reader.add_argument("--visits", type=float, default=12.0 if quick else 24.0, help="expected visits of a shopper")
    reader.add_argument("--share", type=float, default=0.3 if quick else 0.25, help="share of the lists that are taken")
    reader.add_argument("--max-length", type=int, default=96)
    reader.add_argument("--seed", type=int, default=0, help="of the world and of the run")
    reader.add_argument("--fresh", action="store_true", help="forget what was measured before")
    reader.add_argument("--limit", type=float, default=6 * 3600.0, help="seconds that one part may take")
    reader.add_argument("settings", nargs="*", default=["epochs=1", "layers=1"] if quick else [], help="of train, as KEY=VALUE")
    return reader.parse_args(list(arguments))
