"""Evaluation of many texts: memory must not grow with them; texts a second, in fp32 and bf16.

The texts are clinc queries repeated, each with a counter behind it, so that no two are equal and no cache helps.
Texts a second are the default backbone's, at ``--rows``. Whether memory is flat does not depend on the arithmetic:
``--flat-rows`` texts go the same way through a random two-layer backbone, which takes minutes instead of an hour.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.side_by_side import Json, Parts, child, data, growth, must, peak_mb, ratio, result, source_digest, table

CLINC = ("clinc150_oos", "queries.parquet")


def make(job: Mapping[str, Any]) -> Json:
    """A small bundle with trained heads on the frozen backbone, as a job."""
    import pandas as pd

    from shoplm.pipeline.config import RunConfig
    from shoplm.pipeline.training import train

    frame = pd.read_parquet(data(*CLINC))
    few = frame[frame["shot5"] | (frame["split"] == "val")].groupby(["split", "intent"]).head(5)
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        file = Path(folder) / "few.parquet"
        few.to_parquet(file, index=False)
        backbone = str(_tiny(Path(job["out"]).with_name("tiny-backbone"))) if job.get("tiny") else "default"  # the bundle only names it
        train(RunConfig.read(["intent"], method="head", epochs=5, backbone=backbone), data=file, out=Path(job["out"]))
    return {}


def _tiny(folder: Path) -> Path:
    """A random encoder of two layers of width 64 behind the default backbone's tokenizer."""
    import torch
    import transformers

    from shoplm.model.backbone import default_folder

    torch.manual_seed(0)
    transformers.AutoTokenizer.from_pretrained(str(default_folder())).save_pretrained(folder)
    shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    transformers.BertModel(transformers.BertConfig(vocab_size=30_522, **shape)).save_pretrained(folder)
    return folder


def write(rows: int, path: Path) -> None:
    """``rows`` texts as parquet, in pieces."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    frame = pd.read_parquet(data(*CLINC))
    frame = frame[frame["intent"] != "oos"]
    texts, intents = frame["text"].tolist(), frame["intent"].tolist()
    schema = pa.schema([("text", pa.string()), ("intent", pa.string())])
    with pq.ParquetWriter(path, schema) as file:
        for begin in range(0, rows, 50_000):
            at = range(begin, min(begin + 50_000, rows))
            file.write_table(pa.table([[f"{texts[i % len(texts)]} {i}" for i in at], [intents[i % len(texts)] for i in at]], schema=schema))


def judge(job: Mapping[str, Any]) -> Json:
    """Evaluate ``rows`` texts, as a job."""
    from shoplm.pipeline.bundle import load
    from shoplm.pipeline.judging import evaluate

    bundle = load(job["bundle"])
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        file = Path(folder) / "texts.parquet"
        write(job["rows"], file)
        before = peak_mb()
        begin = time.perf_counter()
        said = evaluate(bundle, data=file, split="all", where="true", baselines=False, precision=job["precision"])
        seconds = time.perf_counter() - begin
    if said.judgement.rows != job["rows"]:
        raise RuntimeError(f"{job['rows']} texts were written, {said.judgement.rows} judged")
    return {
        "rows": said.judgement.rows, "seconds": round(said.seconds, 2), "import_seconds": round(seconds - said.seconds, 2), "peak_before_mb": round(before, 1),
        "texts_per_second": round(job["rows"] / said.seconds, 1), "accuracy": said.judgement.points().get("accuracy"),
    }  # fmt: skip


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Measure a tenth and all of the texts with either backbone."""
    reader = argparse.ArgumentParser(prog="benchmarks stream", description=__doc__)
    reader.add_argument("--rows", type=int, default=2000 if quick else 20_000, help="texts for the default backbone")
    reader.add_argument("--flat-rows", type=int, default=4000 if quick else 1_000_000, help="texts for the tiny one")
    reader.add_argument("--bundle", type=Path, help="an intent bundle; default: a small one, trained first")
    reader.add_argument("--precisions", default="fp32", help="fp32,bf16 where the machine has bf16")
    reader.add_argument("--limit", type=float, default=7200.0)
    reader.add_argument("--fresh", action="store_true")
    options = reader.parse_args(list(arguments))
    begin = time.perf_counter()
    data(*CLINC)
    parts = Parts("stream", fresh=options.fresh, keep=not quick)
    sources = source_digest("shoplm")
    found: dict[str, list[Json]] = {}
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        made: dict[bool, Path] = {False: options.bundle} if options.bundle else {}

        def measured(job: Json, tiny: bool) -> Json:
            if tiny not in made:
                made[tiny] = Path(folder) / f"bundle-{tiny}"
                must(child("benchmarks.stream:make", {"out": made[tiny], "tiny": tiny}))
            return must(child("benchmarks.stream:judge", {**job, "bundle": made[tiny]}, timeout=options.limit))

        sides = [(precision, options.rows, False, precision) for precision in options.precisions.split(",")]
        for label, most, tiny, precision in [*sides, ("tiny backbone", options.flat_rows, True, "fp32")]:
            for rows in (most // 10, most):
                job = {"rows": rows, "precision": precision}
                kept = {**job, "given": options.bundle, "tiny": tiny, "sources": sources}
                found.setdefault(label, []).append(parts.take(f"{label} {rows}", kept, lambda job=job, tiny=tiny: measured(job, tiny)))
    table("evaluation of many texts", ["side", "texts", "texts/s", "peak MB", "seconds", "import s"],
          [[p, f"{r['rows']:,}", f"{r['texts_per_second']:.0f}", f"{r['peak_mb']:.0f}", r["seconds"], r["import_seconds"]] for p, rs in found.items() for r in rs])  # fmt: skip
    ours = {
        precision: {"sizes": pair, "texts_per_second": pair[1]["texts_per_second"],
                    "memory_growth": ratio(pair[1]["peak_mb"], pair[0]["peak_mb"]),
                    "memory_exponent": growth([run["rows"] for run in pair], [run["peak_mb"] for run in pair])}
        for precision, pair in found.items()
    }  # fmt: skip
    flat = {
        f"{precision} peak at 10 times the texts at most 1.25 times": (said["memory_growth"] or 9) <= 1.25
        for precision, said in ours.items()
    }
    return result(
        "stream", begin, quick=quick, ours=ours, quality={"holds": flat, "accuracy": {p: rs[-1]["accuracy"] for p, rs in found.items()}}
    )
