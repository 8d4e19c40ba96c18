"""What a newcomer waits for: ``shoplm demo`` from nothing to report, and ``shoplm --help``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.side_by_side import ROOT, Json, result, say, spread, table

TARGETS = {"demo": 90.0, "help": 0.5}


def timed(arguments: Sequence[str], timeout: float) -> tuple[float, float]:
    """Seconds and peak MiB of one ``shoplm`` process.

    Raises:
        RuntimeError: it failed or took longer than ``timeout`` seconds.
    """
    script = Path(sys.executable).with_name("shoplm")
    command = [str(script)] if script.is_file() else [sys.executable, "-c", "from shoplm.cli import main; main()"]
    begin = time.perf_counter()
    running = subprocess.Popen(
        [*command, *arguments], cwd=ROOT, env={"HF_HUB_OFFLINE": "1", **os.environ}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _, said = running.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"shoplm {arguments[0]}: took longer than {timeout:.0f} s") from None
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
    seconds = time.perf_counter() - begin
    if running.returncode:
        raise RuntimeError(f"shoplm {arguments[0]}: exit {running.returncode}: {said.decode(errors='replace')[-500:]}")
    import resource

    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # the largest of our children so far: the demo


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Time both."""
    reader = argparse.ArgumentParser(prog="benchmarks demo", description=__doc__)
    reader.add_argument("--demos", type=int, default=0 if quick else 3)
    reader.add_argument("--helps", type=int, default=3 if quick else 9)
    reader.add_argument("--limit", type=float, default=900.0, help="seconds after which a demo is given up")
    options = reader.parse_args(list(arguments))
    begin = time.perf_counter()
    helps = [timed(["--help"], 60)[0] for _ in range(options.helps)]
    demos, peaks = [], []
    for number in range(options.demos):
        with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
            seconds, peak = timed(["demo", "--out", str(Path(folder) / "demo")], options.limit)
        demos.append(seconds)
        peaks.append(peak)
        say(f"demo {number + 1}: {seconds:.1f} s")
    ours: Json = {"help_seconds": spread(helps)}
    if demos:
        ours |= {"demo_seconds": spread(demos), "demo_peak_mb": round(max(peaks), 1)}
    found = {"demo": ours.get("demo_seconds"), "help": ours["help_seconds"]}
    table("what a newcomer waits for", ["what", "median s", "low", "high", "target s"],
          [[name, f"{said['median']:.2f}", f"{said['low']:.2f}", f"{said['high']:.2f}", TARGETS[name]] for name, said in found.items() if said])  # fmt: skip
    holds = {f"{name} at most {TARGETS[name]} s": said["median"] <= TARGETS[name] for name, said in found.items() if said}
    return result("demo", begin, quick=quick, ours=ours, quality={"holds": holds})
