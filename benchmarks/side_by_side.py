"""What every benchmark needs to be fair: child processes, medians, paired intervals, peaks, and what was run on what.

What always holds: each measured run is a process of its own, so that no run warms or fattens the next, and its
peak memory is its own; a finished part is kept in ``results/<name>.partial`` (not in git) under everything that
it depends on, so that a benchmark that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).resolve().parent / "results"
REQUIRED = ("name", "ours", "peers", "ratio", "quality", "machine", "commit", "seconds")
"""The keys of every stored object."""

Json = dict[str, Any]


def say(line: str = "") -> None:
    """One line for whoever waits, on stderr."""
    print(line, file=sys.stderr, flush=True)


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on stderr."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[at]) for row in cells) for at in range(len(head))]
    say(f"\n{title}")
    for number, row in enumerate(cells):
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if not number:
            say("  ".join("-" * width for width in widths))
    say()


def data(*parts: str) -> Path:
    """A file of the shared data; the process ends with 3 when it is not there."""
    path = Path(os.environ.get("SHOPLM_DATA") or ROOT.parent / "shared" / "data").joinpath(*parts)
    if not path.is_file():
        say(f"{path}: missing; this benchmark needs the shared data (set SHOPLM_DATA to the folder that holds {parts[0]})")
        raise SystemExit(3)
    return path


def machine() -> Json:
    """What the seconds depend on."""
    from shoplm.train.journal import machine as ours
    from shoplm.train.journal import versions

    return {**ours(), "threads": int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1), "load": round(os.getloadavg()[0], 2),
            "platform": platform.platform(), "versions": versions()}  # fmt: skip


def commit() -> str:
    """The commit that is measured; ``+changes`` when files under ``shoplm`` or ``benchmarks`` differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--", "shoplm", "benchmarks/*.py")
    return f"{head or 'unknown'}{'+changes' if changed else ''}"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def source_digest(*folders: str) -> str:
    """A name for the Python and YAML sources under ``folders`` (relative to the repository)."""
    found = hashlib.sha256()
    for folder in folders:
        base = ROOT / folder
        for path in sorted(base.rglob("*")) if base.is_dir() else [base]:
            if path.suffix in (".py", ".yaml"):
                found.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return found.hexdigest()[:16]


def result(name: str, begin: float, **parts: Any) -> Json:
    """One benchmark's object; what is not given is empty."""
    empty: Json = {"name": name, "ours": {}, "peers": {}, "ratio": {}, "quality": {}}
    found: Json = _clean({**empty, **parts, "machine": machine(), "commit": commit(), "seconds": round(time.perf_counter() - begin, 1)})
    return found


def _clean(value: Any) -> Any:
    """The same with None for what is not a finite number: JSON has no other word for it."""
    if isinstance(value, Mapping):
        return {str(key): _clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def store(found: Mapping[str, Any]) -> Path:
    """Write an object as ``results/<name>.json``, whole or not at all."""
    missing = [key for key in REQUIRED if key not in found]
    if missing:
        raise ValueError(f"{found.get('name')}: a stored figure lacks {', '.join(missing)}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{found['name']}.json"
    _whole(path, json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def _whole(path: Path, text: str) -> None:
    half = path.with_name(path.name + f".{os.getpid()}.partial")
    half.write_text(text, "utf-8")
    os.replace(half, path)


class Parts:
    """The finished parts of a benchmark, by name; each counts only with the settings that it was measured with."""

    def __init__(self, name: str, *, fresh: bool = False, keep: bool = True) -> None:
        """Take up what is there.

        Args:
            name: the benchmark's.
            fresh: forget what was measured before.
            keep: False for a rough run, which neither reads nor leaves anything.
        """
        self.path = RESULTS / f"{name}.partial"
        self.keep = keep
        self.kept: Json = {}
        if keep and not fresh and self.path.is_file():
            self.kept = json.loads(self.path.read_text("utf-8"))

    def take(self, part: str, settings: Mapping[str, Any], measure: Callable[[], Json]) -> Json:
        """The part as kept, or measured now and kept."""
        wanted = json.loads(json.dumps(settings, default=str))
        before = self.kept.get(part)
        if before is not None and before["settings"] == wanted:
            say(f"{part}: measured before, kept")
            found: Json = before["found"]
            return found
        begin = time.perf_counter()
        say(f"{part}: …")
        found = measure()
        say(f"{part}: {time.perf_counter() - begin:.1f} s in all")
        if "failed" in found:  # tried again the next time
            return found
        self.kept[part] = {"settings": wanted, "found": found}
        if self.keep:
            RESULTS.mkdir(parents=True, exist_ok=True)
            _whole(self.path, json.dumps(self.kept))
        return found


def child(job: str, settings: Mapping[str, Any], *, timeout: float = 3600.0) -> Json:
    """Run ``module:function`` on ``settings`` in a process of its own.

    Returns:
        What it returned, with ``peak_mb`` (the most memory that it held) and ``wall_seconds``; or
        ``{"failed": why}`` when it broke or took longer than ``timeout`` seconds.
    """
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        out = Path(folder) / "found.json"
        environment = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true", **os.environ}
        begin = time.perf_counter()
        running = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.side_by_side", job, str(out)],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=sys.stderr, text=True,
        )  # fmt: skip
        try:
            running.communicate(json.dumps(settings, default=str), timeout=timeout)
        except subprocess.TimeoutExpired:
            return {"failed": f"took longer than {timeout:.0f} s"}
        finally:
            if running.poll() is None:  # our own child, also when we are interrupted
                running.kill()
                running.wait()
        if running.returncode or not out.is_file():
            return {"failed": f"{job} ended with {running.returncode}"}
        found: Json = json.loads(out.read_text("utf-8"))
        return {**found, "wall_seconds": round(time.perf_counter() - begin, 2)}


def must(found: Json) -> Json:
    """A child's answer; ends the benchmark when it failed."""
    if "failed" in found:
        raise RuntimeError(str(found["failed"]))
    return found


def peak_mb() -> float:
    """The most memory that this process ever held, in MiB (VmHWM: ru_maxrss would also count the parent before exec)."""
    try:
        with open("/proc/self/status", encoding="utf-8") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used / (1024 if platform.system() == "Linux" else 1 << 20)


def spread(values: Sequence[float | None]) -> Json:
    """Median, lowest, highest; None stands for "did not get there" and counts as longer than all others."""
    ordered = sorted(float("inf") if value is None else value for value in values)
    if not ordered:
        return {"median": None, "low": None, "high": None, "runs": 0}
    middle = ordered[(len(ordered) - 1) // 2] if len(ordered) % 2 else (ordered[len(ordered) // 2 - 1] + ordered[len(ordered) // 2]) / 2
    return {"median": _finite(middle), "low": _finite(ordered[0]), "high": _finite(ordered[-1]), "runs": len(ordered)}


def _finite(value: float) -> float | None:
    return round(value, 6) if np.isfinite(value) else None


def judged(said: Any, names: Collection[str]) -> Json:
    """What pairing one ``evaluate`` with another needs: ``test``, and the resampled values of some metrics with what tells equal rows."""
    return {
        "test": said.plain()["metrics"], "replicates": replicates(said.judgement, names),
        "checksums": {name: int(value) for name, value in said.judgement.checksums.items()},
    }  # fmt: skip


def replicates(judgement: Any, names: Collection[str]) -> dict[str, list[float]]:
    """The resampled values of some metrics, as JSON holds them."""
    return {name: np.round(values, 6).tolist() for name, values in judgement.replicates.items() if name in names}


def ratio(over: float | None, under: float | None) -> float | None:
    """``over / under``; None where one of them is missing."""
    return round(over / under, 3) if over is not None and under else None


def paired_bootstrap(
    ours: npt.NDArray[Any],
    theirs: npt.NDArray[Any],
    statistic: Callable[[npt.NDArray[Any]], float] | None = None,
    *,
    seed: int = 0,
    replicates: int = 1000,
) -> Json:
    """How much better ours is on the same rows, with its 95 % interval.

    Args:
        ours: (M,) or (M, K) what each row contributes.
        theirs: the same rows.
        statistic: from resampled contributions to a number; None = their mean.
        seed: of the resampling.
        replicates: how many resamplings.
    """
    if len(ours) != len(theirs) or not len(ours):
        raise ValueError(f"paired: the same rows are needed, seen {len(ours)} and {len(theirs)}")
    read = statistic or (lambda rows: float(np.mean(rows)))
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(replicates):
        rows = random.integers(0, len(ours), len(ours))
        drawn.append(read(ours[rows]) - read(theirs[rows]))
    return interval(read(ours) - read(theirs), np.asarray(drawn))


def interval(value: float, replicates: npt.NDArray[Any]) -> Json:
    """A difference with its 95 % interval and whether that holds zero."""
    low, high = (float(bound) for bound in np.nanquantile(replicates, [0.025, 0.975]))
    return {"value": round(float(value), 5), "low": round(low, 5), "high": round(high, 5), "tie": bool(low <= 0 <= high)}


def growth(sizes: Sequence[float], amounts: Sequence[float]) -> float:
    """The exponent e of ``amount ~ size ** e``, fitted through all points."""
    return round(float(np.polyfit(np.log(sizes), np.log(np.maximum(amounts, 1e-9)), 1)[0]), 3)


def matmul_peak(seconds: float = 3.0) -> Json:
    """GFLOP/s (1e9 multiplications and additions a second) of a large square matrix product, the best of many, per precision."""
    import torch

    found: Json = {"threads": torch.get_num_threads()}
    for name, kind in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        best = 0.0
        for size in (256, 1024, 2048):
            if size > 256 and best < 20:
                break  # emulated: a larger product would take minutes and be no faster
            left, right = torch.randn(size, size).to(kind), torch.randn(size, size).to(kind)
            out = torch.empty(size, size, dtype=kind)
            torch.mm(left, right, out=out)
            end = time.perf_counter() + seconds / 4
            while time.perf_counter() < end:
                begin = time.perf_counter()
                torch.mm(left, right, out=out)
                best = max(best, 2 * size**3 / (time.perf_counter() - begin) / 1e9)
        found[name] = round(best, 1)
    return found


def encoder_flops(lengths: npt.NDArray[Any] | Sequence[float], layers: float, width: int, inner: int) -> float:
    """Multiplications and additions of a forward pass of ``layers`` encoder layers over rows of these lengths.

    A token of a row of L costs in a layer 2·(4·D² + 2·D·F) in the six weight matrices and 2·2·L·D in the two
    products of attention; softmax, norms and the activation are not counted. Training costs three times as much
    (one pass forward, two back).
    """
    tokens = np.asarray(lengths, np.float64)
    return float(layers * ((tokens.sum() * 2 * (4 * width**2 + 2 * width * inner)) + (tokens**2).sum() * 4 * width))


def _serve() -> None:
    """The child's side: a job named on the command line, its settings on stdin, its answer in a file."""
    module, _, function = sys.argv[1].partition(":")
    settings = json.loads(sys.stdin.read())
    found = getattr(importlib.import_module(module), function)(settings)
    found["peak_mb"] = round(peak_mb(), 1)
    Path(sys.argv[2]).write_text(json.dumps(found, default=float), "utf-8")


if __name__ == "__main__":
    _serve()
