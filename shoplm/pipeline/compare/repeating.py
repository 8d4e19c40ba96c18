"""A finalist once more at full size, in a process of its own: its memory and its seconds are nobody else's.

    python -m shoplm.pipeline.compare.repeating ANSWER.json      one job as a line of JSON on stdin

The child runs the public ``train`` and ``evaluate`` and writes what it found. It ends when its parent does: the parent
keeps the pipe open for as long as it lives.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shoplm.errors import RunError, ShopLMError
from shoplm.pipeline.config import RunConfig


@dataclass(frozen=True)
class Job:
    """One finalist with one seed."""

    config: Mapping[str, Any]
    """The run's settings, plain."""
    shop: str | None
    data: str | None
    mapping: Mapping[str, str]
    rows_digest: str
    """Of the rows that the search saw."""
    split: str
    """Which rows judge: test, or valid where there are none."""
    lengths: Sequence[int]
    """Tokens of the texts that are answered one by one to see how long one takes."""
    baselines: bool
    """Whether to judge the plain methods too."""


def repeat(job: Job, scratch: Path) -> dict[str, Any]:
    """Train and judge in a child process.

    Args:
        job: what to do.
        scratch: a folder for the bundle, removed afterwards.

    Returns:
        What ``_worked`` found, or ``{"failed": why}``.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    answer = scratch / "answer.json"
    words = [sys.executable, "-m", __name__, str(answer.absolute())]
    plain = {**job.__dict__, "scratch": str((scratch / "bundle").absolute())}
    try:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as said, _child(words, said) as running:
            assert running.stdin is not None
            running.stdin.write(json.dumps(plain) + "\n")
            running.stdin.flush()  # and not closed: that would end the child
            code = running.wait()
            if answer.is_file():
                found: dict[str, Any] = json.loads(answer.read_text("utf-8"))
                return found
            said.seek(0)
            last = (said.read().strip().splitlines() or [""])[-1]
            why = "was killed, perhaps for want of memory" if code < 0 else f"ended with {code}"
            return {"failed": f"its process {why}{f' ({last[:200]})' if last else ''}"}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _child(words: Sequence[str], said: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that does not outlive the block."""
    place = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(part for part in (place, os.environ.get("PYTHONPATH", "")) if part)
    running = subprocess.Popen(  # noqa: S603  (our own words)
        words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.wait()
        if running.stdin is not None:
            running.stdin.close()


def _worked(job: Mapping[str, Any]) -> dict[str, Any]:
    """The child's work: train, look at what it took, judge once."""
    from shoplm.model.adapters import PEFT
    from shoplm.pipeline import judging
    from shoplm.pipeline.compare.attempt import latency_ms, memory_mb
    from shoplm.pipeline.training import train
    from shoplm.text.tokenize import Tokens
    from shoplm.train.journal import Journal

    config = RunConfig.of(job["config"], "finalist")
    for library in ("transformers", *(["peft"] if config.adapter.method in PEFT else [])):  # takes seconds that are not the training's
        import_library(library)
    place = Path(job["scratch"])
    source: dict[str, Any] = {"shop": Path(job["shop"])} if job["shop"] else {"data": Path(job["data"])}
    begin = time.perf_counter()
    bundle = train(config, **source, mapping=job["mapping"], out=place)
    seconds, peak = time.perf_counter() - begin, memory_mb()
    name, task, part, fitted = bundle.part()
    if bundle.contents.facts[name]["rows_digest"] != job["rows_digest"]:
        raise RunError("the rows are not those of the search any more: something wrote to the shop or the file; start again with --restart")
    manifest = json.loads((place / "run" / "manifest.json").read_text("utf-8"))
    steps = [line for line in Journal(place / "run").lines() if "tokens" in line]
    words, lengths = bundle.contents.backbone, np.array(job["lengths"], np.int64)
    ids = np.random.default_rng(0).integers(0, len(words.vocabulary), int(lengths.sum())).astype(np.int32)
    tokens = Tokens(ids, np.concatenate([[0], np.cumsum(lengths)]), lengths.astype(np.int32), np.zeros(len(lengths), np.bool_))
    if fitted.features.width:
        tokens = replace(tokens, features=np.zeros((len(tokens), fitted.features.width), np.float32))
    latency = latency_ms(part.network, tokens, bundle.precision)
    judged = judging.evaluate(bundle, **source, mapping=job["mapping"], split=job["split"], baselines=job["baselines"])
    return {
        "seconds": round(seconds, 3), "peak_mb": round(peak, 1), "learning": manifest["learning_parameters"],
        "parameters": sum(p.numel() for p in part.network.parameters()), "latency_ms": round(latency, 3),
        "bundle_bytes": sum(file.stat().st_size for file in place.rglob("*") if file.is_file() and "run" not in file.relative_to(place).parts[:1]),
        "tokens_per_second": round(sum(line["tokens"] for line in steps) / max(1e-9, sum(line["seconds"] for line in steps)), 1),
        "epoch": bundle.metrics[name]["best_epoch"], "valid": bundle.metrics[name]["metrics"][task.judge_by]["value"],
        "judged": as_plain(judged.judgement), "baselines": {key: as_plain(theirs) for key, theirs in judged.baselines.items()},
    }  # fmt: skip


def as_plain(judgement: Any) -> dict[str, Any]:
    """What of a judgement is needed to pair it with others."""
    return {
        "rows": judgement.rows, "seed": judgement.seed, "checksums": dict(judgement.checksums), "higher_is_better": dict(judgement.higher_is_better),
        "points": judgement.points(),
        "replicates": {name: [None if np.isnan(value) else round(float(value), 6) for value in values] for name, values in judgement.replicates.items()},
    }  # fmt: skip


def import_library(name: str) -> None:
    """A library, so that a later clock does not count it."""
    import importlib
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(name)


def _serve() -> None:
    """The child's side."""
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        found = _worked(job)
    except ShopLMError as error:
        found = {"failed": str(error)}
    place = Path(sys.argv[1])
    half = place.with_suffix(".partial")
    half.write_text(json.dumps(found), "utf-8")
    os.replace(half, place)


def _end_with_parent() -> None:
    while os.read(0, 1):  # not through sys.stdin: whoever holds its lock when Python ends brings it down
        pass
    os._exit(1)


if __name__ == "__main__":
    _serve()
