"""Domain adaptation: what reading the train texts without their labels (`pretrain`) adds to a task with few labels.

For every seed the same task is trained from the backbone as it is and from the adapted ones, on the same rows, and judged
on the same test rows; differences are paired on resampled test rows and averaged over the seeds. What is read are the
train rows' texts alone. ``no_anchor`` is the same without the pull of pooled vectors towards where they were.
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

from benchmarks.quality import CLINC, CLOTHING, compare
from benchmarks.side_by_side import Json, Parts, child, data, judged, must, result, say, source_digest, spread, table

PARTS: Mapping[str, Json] = {
    "clinc_10shot": {"task": "intent", "file": CLINC, "where": "shot10 or split <> 'train'", "by": "accuracy"},
    "clothing_few": {
        "task": "sentiment", "file": CLOTHING, "by": "macro_f1",
        "where": "body is not null and (split <> 'train' or cast(review_id as bigint) % 64 = 0)",
    },
}  # fmt: skip
"""What is trained and judged: ten rows an intent; one review in 64."""
VARIANTS: Mapping[str, Json] = {"adapted": {}, "no_anchor": {"anchor": 0.0}}
SHOWN = ("accuracy", "macro_f1", "oos_auroc", "roc_auc", "log_loss")


def trained(job: Mapping[str, Any]) -> Json:
    """One seed of one side, as a job: perhaps ``pretrain``, then ``train`` and ``evaluate`` on the test rows."""
    import pandas as pd

    from shoplm.pipeline.config import RunConfig
    from shoplm.pipeline.judging import evaluate
    from shoplm.pipeline.pretrain.config import PretrainConfig
    from shoplm.pipeline.pretrain.pretraining import pretrain
    from shoplm.pipeline.progress import Terminal
    from shoplm.pipeline.training import train

    part = PARTS[job["part"]]
    file = data(*part["file"])
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as name:
        folder, backbone = Path(name), "default"
        found: Json = {}
        frame = pd.read_parquet(file)
        if job["judged"]:
            others = frame[frame["split"] != "train"]
            frame = pd.concat(
                [frame[frame["split"] == "train"], others.sample(min(job["judged"], len(others)), random_state=0)]
            ).sort_index()
            file = folder / "rows.parquet"
            frame.to_parquet(file, index=False)
        if job["variant"] is not None:
            texts = frame[frame["split"] != "test"]
            learnt = texts[texts["split"] == "train"]
            if job["texts"]:
                learnt = learnt.sample(min(job["texts"], len(learnt)), random_state=0)
            read = folder / "texts.parquet"
            pd.concat([learnt, texts[texts["split"] != "train"]])[["text", "split"]].to_parquet(read, index=False)
            begin = time.perf_counter()
            config = PretrainConfig.read(seed=job["seed"], **{**job["adapting"], **VARIANTS[job["variant"]]})
            said = pretrain(config, files=[read], out=folder / "backbone", progress=Terminal())
            backbone = str(folder / "backbone")
            found |= {
                "adapting_seconds": round(time.perf_counter() - begin, 2),
                "before": said.before,
                "after": said.after,
                "read": said.facts["train_tokens"],
            }
        begin = time.perf_counter()
        run = RunConfig.read([part["task"]], where=part["where"], seed=job["seed"], **{"backbone": backbone, **job["settings"]})
        bundle = train(run, data=file, out=folder / "bundle")
        found |= {"seconds": round(time.perf_counter() - begin, 2), "valid": bundle.metrics[part["task"]]["metrics"]}
        said = evaluate(bundle, data=file, split="test", baselines=False)
        return {**found, **judged(said, SHOWN), "test_rows": said.judgement.rows}


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Measure the asked parts; what was measured before with the same sources and settings is kept."""
    options = _options(arguments, quick)
    begin = time.perf_counter()
    for part in options.parts:
        data(*PARTS[part]["file"])
    parts = Parts("adapt", fresh=options.fresh, keep=not quick)
    sources = source_digest("shoplm")
    runs: dict[tuple[str, str | None], list[Json]] = {}
    for part in options.parts:
        for seed in options.seeds:
            for variant in (None, *options.variants):
                job = {"part": part, "variant": variant, "seed": seed, "settings": options.settings, "judged": options.judged}
                if variant is not None:
                    job |= {"adapting": options.adapting, "texts": options.texts}
                label = f"{part} {variant or 'as it is'} seed {seed}"
                found = parts.take(
                    label, {**job, "sources": sources}, lambda job=job: must(child("benchmarks.adapt:trained", job, timeout=options.limit))
                )
                runs.setdefault((part, variant), []).append(found)
                shown = {key: round(found["test"][key]["value"], 4) for key in SHOWN if found["test"].get(key)}
                valid = {
                    key: round(found["valid"][key]["value"], 4) for key in SHOWN if found["valid"].get(key, {}).get("value") is not None
                }
                say(f"{label}: test {shown}, valid {valid}")
    quality: Json = {}
    rows = []
    for part in options.parts:
        plain = runs[part, None]
        quality[part] = {"as_it_is": _means(plain), "test_rows": plain[0]["test_rows"]}
        for variant in options.variants:
            adapted = runs[part, variant]
            gain = compare(adapted, plain)
            quality[part][variant] = {
                "metrics": _means(adapted), "gain": gain, "before": [run["before"] for run in adapted], "after": [run["after"] for run in adapted],
                "holds": {f"{PARTS[part]['by']} gains": gain[PARTS[part]["by"]]["low"] > 0},
            }  # fmt: skip
            for key, found in gain.items():
                rows.append(
                    [part, variant, key, f"{quality[part]['as_it_is'][key]['mean']:.4f}", f"{quality[part][variant]['metrics'][key]['mean']:.4f}",
                     f"{found['value']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]{' tie' if found['tie'] else ''}"]
                )  # fmt: skip
    table("domain adaptation, test rows", ["part", "side", "metric", "as it is", "adapted", "gain, paired"], rows)
    ours = {
        part: {
            variant: {"adapting_seconds": spread([run["adapting_seconds"] for run in runs[part, variant]]), "tokens": runs[part, variant][0]["read"],
                      "train_seconds": spread([run["seconds"] for run in runs[part, variant]])}
            for variant in options.variants
        }
        for part in options.parts
    }  # fmt: skip
    ours["settings"] = {"adapting": options.adapting, "texts": options.texts, "seeds": options.seeds, "judged": options.judged}
    return result("adapt", begin, quick=quick, ours=ours, quality=quality)


def _means(runs: Sequence[Json]) -> Json:
    found: Json = {}
    for key in SHOWN:
        values = [run["test"][key]["value"] for run in runs if run["test"].get(key, {}).get("value") is not None]
        if values:
            found[key] = {"mean": round(float(np.mean(values)), 5), "seeds": [round(value, 5) for value in values]}
    return found


def _options(arguments: Sequence[str], quick: bool) -> argparse.Namespace:
    reader = argparse.ArgumentParser(prog="benchmarks adapt", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--parts", "--part", default="clinc_10shot" if quick else ",".join(PARTS), help=f"of {', '.join(PARTS)}")
    reader.add_argument("--variants", default="adapted" if quick else ",".join(VARIANTS), help=f"of {', '.join(VARIANTS)}")
    reader.add_argument("--seeds", default="0" if quick else "0,1,2")
    reader.add_argument("--texts", type=int, default=200 if quick else None, help="train texts that are read; default: all")
    reader.add_argument("--judged", type=int, default=300 if quick else None, help="validation and test rows together; default: all")
    reader.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of pretrain")
    reader.add_argument("--task-set", action="append", default=[], metavar="KEY=VALUE", help="a setting of train, for every side")
    reader.add_argument("--limit", type=float, default=7200.0, help="seconds after which one run is given up")
    reader.add_argument("--fresh", action="store_true", help="measure everything anew")
    options = reader.parse_args(list(arguments))
    for name, known in (("parts", PARTS), ("variants", VARIANTS)):
        chosen = getattr(options, name).split(",")
        for one in chosen:
            if one not in known:
                reader.error(f"no {name[:-1]} `{one}`; there is {', '.join(known)}")
        setattr(options, name, chosen)
    options.seeds = [int(seed) for seed in options.seeds.split(",")]
    options.adapting, options.settings = (
        {key: yaml.safe_load(value) for key, _, value in (pair.partition("=") for pair in pairs)}
        for pairs in (options.set, options.task_set)
    )
    if quick:
        options.adapting = {"epochs": 1, "head_steps": 10, **options.adapting}
        options.settings = {"epochs": 1, "layers": 1, **options.settings}
    return options
