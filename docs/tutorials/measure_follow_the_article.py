"""The figures of follow-the-article.md at full size: the page's own code, both ways in turns, several seeds.

    python docs/tutorials/measure_follow_the_article.py [--rows 2000] [--epochs 5] [--max-len 128] [--seeds 3] [--dry]

Needs a quiet machine and some minutes for each seed. Writes the table into the page and one JSON object into
benchmarks/results, and prints that object to stdout.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import shoplm
from shoplm.train.journal import machine

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from blocks import blocks, run  # noqa: E402  (the neighbour that reads pages)
from build import filled  # noqa: E402

PAGE = HERE / "follow-the-article.md"
RESULT = HERE.parents[1] / "benchmarks" / "results" / "follow_the_article.json"


def names_of(rows: int, epochs: int, max_len: int) -> dict[str, Any]:
    """What the page's blocks define up to the plain loop, at this size; the loop itself is not run by them."""
    namespace: dict[str, Any] = {"__name__": "tutorial"}
    for block in blocks(PAGE):
        code = block.code.replace("ROWS, EPOCHS = 160, 2", f"ROWS, EPOCHS = {rows}, {epochs}").replace(
            "MAX_LEN = 32", f"MAX_LEN = {max_len}"
        )
        if "def plain_loop" in code:
            code = code[: code.index("plain_seconds, plain_answers")]
        if code.startswith("import shoplm\n") or "plain_seconds" in code:
            continue
        run(type(block)(block.line, code, block.raises, block.words), PAGE, namespace)
    return namespace


def with_shoplm(names: dict[str, Any], seed: int) -> tuple[float, list[str]]:
    """Seconds of training, and the label of each test row."""
    begin = time.perf_counter()
    bundle = shoplm.fit("sentiment", names["data"], target="label", max_length=names["MAX_LEN"], seed=seed)
    seconds = time.perf_counter() - begin
    return seconds, [row["label"] for row in bundle.predict(names["test_texts"])]


def interval(right: np.ndarray) -> tuple[float, float, float]:
    """The mean over rows of a (rows) array, with its 95 % bootstrap interval."""
    draws = np.random.default_rng(0).multinomial(len(right), np.full(len(right), 1 / len(right)), size=2000) @ right / len(right)
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(right.mean()), float(low), float(high)


def main() -> None:
    """Measure, and write it down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in (("rows", 2000), ("epochs", 5), ("max-len", 128), ("seeds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dry", action="store_true", help="write nothing")
    given = parser.parse_args()
    begin = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for the result alone
        names = names_of(given.rows, given.epochs, given.max_len)
    truth = np.array(names["test_labels"])
    seconds: dict[str, list[float]] = {"plain": [], "shoplm": []}
    right: dict[str, list[np.ndarray]] = {"plain": [], "shoplm": []}
    for seed in range(given.seeds):
        for name, learn in (("plain", names["plain_loop"]), ("shoplm", lambda seed: with_shoplm(names, seed))):
            with contextlib.redirect_stdout(sys.stderr):
                took, answers = learn(seed)
            seconds[name].append(took)
            right[name].append((np.array(answers) == truth).astype(float))
            print(f"seed {seed}, {name}: {took:.1f} s, test accuracy {right[name][-1].mean():.4f}", file=sys.stderr)
    median = {name: statistics.median(found) for name, found in seconds.items()}
    quality = {name: interval(np.mean(found, axis=0)) for name, found in right.items()}
    better = interval(np.mean(right["shoplm"], axis=0) - np.mean(right["plain"], axis=0))
    labels = [label for _, label in names["train_rows"]]
    base = float((truth == max(set(labels), key=labels.count)).mean())
    lines = [
        "| | seconds, median (range) | test accuracy, mean over seeds [95 %] |",
        "|---|---|---|",
        f"| always the commoner label | 0 | {base:.3f} |",
    ]
    for name, title in (("plain", "plain loop, corrected"), ("shoplm", "ShopLM")):
        value, low, high = quality[name]
        lines.append(
            f"| {title} | {median[name]:.1f} ({min(seconds[name]):.1f} to {max(seconds[name]):.1f}) | {value:.3f} [{low:.3f}, {high:.3f}] |"
        )
    verdict = "a tie" if better[1] <= 0 <= better[2] else "better" if better[0] > 0 else "worse"
    here = machine()
    lines += [
        "",
        f"{given.rows:,} train rows, {len(truth):,} test rows, {given.epochs} epochs of the plain loop, `MAX_LEN` {given.max_len}, {given.seeds} seeds, "
        f"{here['cores']} cores. The plain loop takes {median['plain'] / median['shoplm']:.1f} times as long as ShopLM, whose accuracy differs by {better[0]:+.3f} "
        f"[{better[1]:+.3f}, {better[2]:+.3f}] on the same rows: {verdict}.",
    ]
    page = filled(PAGE.read_text("utf-8"), "figures: follow_the_article", "\n".join(lines))
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False).stdout.strip()
    result = {
        "name": "follow_the_article",
        "ours": {"seconds": median["shoplm"]},
        "peers": {"plain_loop": {"seconds": median["plain"]}},
        "ratio": {"plain_loop": median["plain"] / median["shoplm"]},
        "quality": {
            **{f"accuracy_{name}": dict(zip(("value", "low", "high"), found, strict=True)) for name, found in quality.items()},
            "accuracy_difference": dict(zip(("value", "low", "high"), better, strict=True)),
            "majority": base,
        },
        "sizes": {"rows": given.rows, "epochs": given.epochs, "max_len": given.max_len, "seeds": given.seeds, "test_rows": len(truth)},
        "machine": here,
        "commit": commit,
        "seconds": round(time.perf_counter() - begin, 1),
    }
    if not given.dry:
        PAGE.write_text(page, "utf-8")
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
