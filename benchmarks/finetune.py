"""Fine-tuning: time to equal validation score, ours against ``transformers.Trainer`` at its best and the article's textbook loop.

Protocol. (1) One run of ours and the Trainer's own search (rates × tuning methods, heads, schedules; seed 0)
give a provisional target and the Trainer's setting that reaches it soonest. (2) Ours and that setting run in
turn (A B A B …), each run a process, each with its own seed. (3) The target is the lower of the two median
best validation scores minus 0.2 points; a run's time is that of its first judged point at or above it, and all
are judged twice an epoch. (4) The textbook loop runs all its epochs, with as many seeds, and is compared by the
same rule at a target of its own. Model load, tokenising and validation are outside every clock.
``--peers textbook`` leaves the Trainer and its search out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.side_by_side import Json, Parts, child, data, must, ratio, result, say, source_digest, spread, table
from benchmarks.sides import SETS

RATES: Mapping[str, tuple[float, ...]] = {
    "full": (1e-4, 2e-4, 4e-4, 8e-4), "lora": (4e-4, 8e-4, 1.6e-3, 3.2e-3), "top": (2e-4, 4e-4, 8e-4, 1.6e-3),
}  # fmt: skip
"""What the Trainer's search tries for each tuning method."""
MARGIN = 0.002
"""How far below the lower best the target lies."""
FLOPS = (
    "a token of a padded row of L: 2(4D²+2DF) + 4LD per layer forward, three times that in training; less 6D² a token where the "
    "first learning layer's input needs no gradient; softmax, norms, activations, heads and the optimiser are not counted"
)


def reached(curve: Sequence[Mapping[str, Any]], score: str, target: float) -> float | None:
    """Seconds to the first judged point at or above the target; None = never."""
    return next((float(point["seconds"]) for point in curve if point[score] >= target - 1e-9), None)


def best(curve: Sequence[Mapping[str, Any]], score: str) -> float:
    """The highest score of a run."""
    return max((float(point[score]) for point in curve), default=0.0)


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Measure one data set."""
    options = _options(arguments, quick)
    begin = time.perf_counter()
    data(*SETS[options.data]["file"])
    name = "finetune" if options.data == "clinc" else f"finetune_{options.data}"
    parts = Parts(name, fresh=options.fresh, keep=not quick)
    common = {"data": options.data, "rows": options.rows, "valid_rows": options.valid_rows, "budget": options.budget_seconds}
    limit = 3 * options.budget_seconds + 900
    sources = {"shoplm": source_digest("shoplm"), "benchmarks": source_digest("benchmarks/watch.py", "benchmarks/sides.py")}
    score = SETS[options.data]["score"]
    overrides = {"epochs": 2} if quick else {}

    def ours(seed: int, profile: bool = False) -> Json:
        settings = {**common, "seed": seed, "profile": profile, "overrides": overrides}
        return parts.take(f"ours {seed}", {**settings, **sources}, lambda: must(child("benchmarks.sides:ours", settings, timeout=limit)))

    def theirs(part: str, **settings: Any) -> Json:
        wanted = {"attention": "sdpa", "pooling": "first", "seed": 0, "steps": None, **common, **settings}
        return parts.take(
            part, {**wanted, "sides": sources["benchmarks"]}, lambda: child("benchmarks.sides:trainer", wanted, timeout=limit)
        )

    peak = parts.take("peak", {"sources": source_digest("benchmarks/side_by_side.py")}, lambda: must(child("benchmarks.finetune:peak", {})))
    book = {**common, "epochs": options.textbook_epochs, "sides": sources["benchmarks"]}
    books = []
    for seed in range(1, options.runs + 1):  # no clock runs here
        wanted = {**book, "seed": seed}
        books.append(
            parts.take(f"textbook {seed}", wanted, lambda wanted=wanted: must(child("benchmarks.sides:textbook", wanted, timeout=7200)))
        )
    first = ours(0, profile=True)
    if "trainer" in options.peers:
        tried, chosen = _at_its_best(theirs, options, first, score)
    mine, other, steps = [], [], []
    for seed in range(1, options.runs + 1):  # A B A B …
        mine.append(ours(seed))
        if "trainer" in options.peers:
            other.append(theirs(f"trainer {seed}", beside=sources["shoplm"], **{**chosen, "seed": seed}))  # measured anew whenever ours is
        wanted = {**book, "seed": seed, "padded_steps": options.padded_steps, "beside": sources["shoplm"]}
        steps.append(
            parts.take(
                f"textbook step {seed}", wanted, lambda wanted=wanted: must(child("benchmarks.sides:textbook_step", wanted, timeout=limit))
            )
        )
    broken = [run["failed"] for run in other if "failed" in run]
    if broken:
        raise RuntimeError(f"a run of the Trainer failed, so nothing can be compared: {broken[0]}")
    sides = {"textbook": _timed(books, _median([step["median"] for step in steps]))}
    settings: Json = {"textbook": {"step_seconds_padded_to_128": spread([step["median"] for step in steps])}}
    if "trainer" in options.peers:
        sides = {"trainer": other, **sides}
        settings["trainer"] = {"setting": chosen, "search": [
            {**setting, "best_score": best(run["curve"], score), "seconds": run["seconds"], "curve": run["curve"]} for setting, run in tried
        ]}  # fmt: skip
    found = _result(options, score, peak, [first, *mine], sides, settings)
    _print(found, options, score)
    return result(name if "trainer" in options.peers else f"{name}_textbook", begin, quick=quick, **found)


def _timed(books: Sequence[Json], seconds: float) -> list[Json]:
    """The textbook's runs with the seconds that their steps take when padded to 128."""
    return [
        {**run, "curve": [{**point, "seconds": round(point["step"] * seconds, 1)} for point in run["curve"]],
         "seconds": round(run["steps"] * seconds, 1), "examples_per_second": round(16 / seconds, 2)}
        for run in books
    ]  # fmt: skip


def _at_its_best(theirs: Any, options: argparse.Namespace, first: Json, score: str) -> tuple[list[tuple[Json, Json]], Json]:
    """All settings of the Trainer that were tried, and the one that reaches the provisional target soonest."""
    tried = _search(theirs, options, _attention(theirs, options.quick), score)
    provisional = min(best(first["curve"], score), max(best(run["curve"], score) for _, run in tried)) - MARGIN
    chosen, _ = min(tried, key=lambda pair: (reached(pair[1]["curve"], score, provisional) or float("inf"), -best(pair[1]["curve"], score)))
    say(f"provisional target {score} {provisional:.4f}; the Trainer's best setting: {chosen}")
    return tried, chosen


def peak(_: Mapping[str, Any]) -> Json:
    """The machine's matrix product peaks, as a job."""
    from benchmarks.side_by_side import matmul_peak

    return matmul_peak()


def _options(arguments: Sequence[str], quick: bool) -> argparse.Namespace:
    reader = argparse.ArgumentParser(prog="benchmarks finetune", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--data", choices=sorted(SETS), default="clinc")
    reader.add_argument("--rows", type=int, help="train rows; default: all of clinc, 6,000 of clothing")
    reader.add_argument("--valid-rows", type=int, help="validation rows; default: all")
    reader.add_argument("--runs", type=int, default=1 if quick else 3, help="runs of ours, of the Trainer and of the textbook loop")
    reader.add_argument("--budget-seconds", type=float, default=600.0, help="training seconds of one run")
    reader.add_argument("--search-epochs", type=int, default=1 if quick else 2, help="epochs of every run of the Trainer's rate search")
    reader.add_argument("--epochs", type=int, help="the Trainer's longest schedule; default 6 for clinc, 4 for clothing")
    reader.add_argument("--textbook-epochs", type=int, help="default 5, the article's")
    reader.add_argument("--padded-steps", type=int, default=1 if quick else 40, help="steps that the textbook's seconds are taken from")
    reader.add_argument(
        "--methods", default="full,lora", help="the Trainer's tuning methods: full, lora, top (two layers: our idea, not its default)"
    )
    reader.add_argument("--peers", default="trainer,textbook", help="trainer, textbook or both")
    reader.add_argument("--fresh", action="store_true", help="measure everything anew")
    options = reader.parse_args(list(arguments))
    options.methods, options.peers = options.methods.split(","), options.peers.split(",")
    clinc = options.data == "clinc"
    if options.rows is None:
        options.rows = (450 if quick else None) if clinc else (200 if quick else 6000)
    if quick:
        options.valid_rows = options.valid_rows or (150 if clinc else 100)
        options.methods = options.methods[:1]
    options.epochs = options.epochs or (2 if quick else 6 if clinc else 4)
    options.textbook_epochs = options.textbook_epochs or (1 if quick else 5)
    options.quick = quick
    return options


def _attention(theirs: Any, quick: bool) -> str:
    """The attention kernel with which the Trainer's steps are faster on these rows."""
    if quick:
        return "eager"
    taken = {}
    for kernel in ("sdpa", "eager"):
        found = theirs(f"attention {kernel}", method="full", learning_rate=2e-4, epochs=1, attention=kernel, steps=16)
        taken[kernel] = found.get("step_seconds") or float("inf")
    say(f"attention, seconds a step: {taken}")
    return min(taken, key=lambda kernel: taken[kernel])


def _search(theirs: Any, options: argparse.Namespace, attention: str, score: str) -> list[tuple[Json, Json]]:
    """Every setting of the Trainer that was tried, with its run: rates and methods, then the other head, then longer schedules."""
    tried: list[tuple[Json, Json]] = []

    def attempt(setting: Json) -> None:
        label = f"search {setting['method']} {setting['learning_rate']:g} {setting['pooling']} {setting['epochs']} epochs"
        found = theirs(label, **setting)
        if found.get("curve"):
            tried.append((setting, found))
        else:
            say(f"{label}: left out ({found.get('failed', 'no point within the budget')})")

    base = {"attention": attention, "pooling": "first", "epochs": options.search_epochs}
    for method in options.methods:
        for rate in RATES[method][2:3] if options.quick else RATES[method]:
            attempt({**base, "method": method, "learning_rate": rate})
    if not tried:
        raise RuntimeError("no run of the Trainer's search came to a judged point; give a larger --budget-seconds")

    def top(method: str | None = None) -> Json:
        pairs = [pair for pair in tried if method in (None, pair[0]["method"])]
        return max(pairs, key=lambda pair: best(pair[1]["curve"], score))[0]

    if not options.quick:
        for method in [method for method in options.methods if any(pair[0]["method"] == method for pair in tried)]:
            attempt({**top(method), "pooling": "mean"})
        setting = top()
        for epochs in sorted({3, options.epochs} - {options.search_epochs}):
            attempt({**setting, "epochs": epochs})
    return tried


def _median(values: Sequence[float]) -> float:
    found = spread(values)["median"]
    return float(found)


def _side(runs: Sequence[Json], score: str) -> Json:
    return {
        "best_score": spread([best(run["curve"], score) for run in runs]),
        "examples_per_second": spread([run["examples_per_second"] for run in runs]), "peak_mb": spread([run["peak_mb"] for run in runs]),
        "whole_run_seconds": spread([run["seconds"] for run in runs]), "curves": [run["curve"] for run in runs],
    }  # fmt: skip


def _against(mine: Sequence[Json], other: Sequence[Json], score: str) -> Json:
    """Both sides' seconds to the target that they share, and theirs over ours; a run of theirs that never reaches it counts whole, one of ours as endless."""
    target = min(_median([best(run["curve"], score) for run in side]) for side in (mine, other)) - MARGIN
    times = [[reached(run["curve"], score, target) for run in side] for side in (mine, other)]
    theirs = [run["seconds"] if taken is None else taken for run, taken in zip(other, times[1], strict=True)]
    return {
        "target": round(target, 5), "ours_seconds": spread(times[0]), "their_seconds": spread(theirs), "ours": times[0], "theirs": times[1],
        "ratio": ratio(spread(theirs)["median"], spread(times[0])["median"]),
        "is_lower_bound": sum(taken is None for taken in times[1]) * 2 > len(times[1]),
        "every_pair": [ratio(other, mine) for other, mine in zip(theirs, times[0], strict=True)],
    }  # fmt: skip


def _result(options: argparse.Namespace, score: str, peak: Json, runs: list[Json], sides: Mapping[str, list[Json]], more: Json) -> Json:
    first, *mine = runs
    ours = _side(mine, score)
    precision = mine[0]["recipe"]["fit"]["precision"]
    ours |= {
        "parts": {key: spread([run[key] for run in mine]) for key in ("rehearse_seconds", "trunk_seconds", "start_seconds", "steps_seconds")},
        "padding_share": mine[0]["padding_share"], "recipe": mine[0]["recipe"], "profile": first["profile"],
        "step_gflops_per_second": spread([run["step_gflops_per_second"] for run in mine]),
        "trunk_gflops_per_second": spread([run["trunk_gflops_per_second"] for run in mine]),
        "share_of_peak": {
            "step": ratio(_median([run["step_gflops_per_second"] for run in mine]), peak[precision]),
            "trunk": ratio(_median([run["trunk_gflops_per_second"] for run in mine]), peak[precision]),
            "precision": precision, "peak_gflops_per_second": peak, "flops": FLOPS,
        },
    }  # fmt: skip
    against = {peer: _against(mine, theirs, score) for peer, theirs in sides.items()}
    found: Json = {
        "ours": ours,
        "peers": {peer: {**_side(theirs, score), **more[peer], "to_equal_score": against[peer]} for peer, theirs in sides.items()},
        "ratio": {peer: said["ratio"] for peer, said in against.items()}
        | {f"{peer}_is_lower_bound": said["is_lower_bound"] for peer, said in against.items()},
        "quality": {
            "split": "valid", "score": score, "accuracy": _median([best(run["curve"], "accuracy") for run in mine]),
            **{f"{peer}_target": said["target"] for peer, said in against.items()},
            **{f"{peer}_accuracy": _median([best(run["curve"], "accuracy") for run in theirs]) for peer, theirs in sides.items()},
        },
        "settings": {key: value for key, value in vars(options).items() if key != "fresh"},
        "rows": {"train": mine[0]["train_rows"], "note": "a fixed subset of the train rows" if options.rows else "all train rows"},
        "clock": "from token ids, without model load and validation; ours with rehearsal, trunk (train rows' share), heads' start and steps; "
                 "the Trainer's from on_train_begin, batches included; checkpoints, which only ours would write, left out; "
                 "the textbook's: steps times the median seconds of a step padded to 128, measured between our runs",
    }  # fmt: skip
    if score != "accuracy":
        found["quality"] |= {
            score: ours["best_score"]["median"],
            **{f"{peer}_{score}": said["best_score"]["median"] for peer, said in found["peers"].items()},
        }
        if "trainer" in sides:
            found["ratio"]["trainer_by_accuracy"] = _against(mine, sides["trainer"], "accuracy")["ratio"]
    return found


def _print(found: Json, options: argparse.Namespace, score: str) -> None:
    rows = []
    for peer, side in found["peers"].items():
        said = side["to_equal_score"]
        rows.append([peer, f"{said['target']:.4f}", f"{said['ours_seconds']['median']:.1f}", f"{said['their_seconds']['median']:.1f}",
                     f"{found['ours']['best_score']['median']:.4f}", f"{side['best_score']['median']:.4f}",
                     f"{'≥ ' if said['is_lower_bound'] else ''}{said['ratio']}"])  # fmt: skip
    table(
        f"finetune on {options.data}: seconds to equal {score} (validation)",
        ["peer", "target", "ours s", "theirs s", "our best", "their best", "theirs / ours"],
        rows,
    )
    share, ours = found["ours"]["share_of_peak"], found["ours"]
    say(
        f"training step: {ours['step_gflops_per_second']['median']:.0f} GFLOP/s, {share['step']} of the measured {share['precision']} peak; trunk {share['trunk']}"
    )
    table(
        "profile of the training step",
        ["operator", "share", "ms/step"],
        [[e["operator"], f"{e['share']:.3f}", e["milliseconds_per_step"]] for e in ours["profile"]],
    )
