"""Resume: a run killed 20 times at random moments with ``kill -9`` and resumed, against the same run never killed.

Both fine-tune the default backbone on ``intent`` over a sample of our own grammar, a process each. The figure is a
yes or no: whether heads, backbone and fitted files are equal byte for byte, and the journal in all but seconds. The
ratio says what twenty deaths cost: wall time of all the killed processes together over that of the whole run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.side_by_side import Json, ratio, result, say

ASKED = {
    "track": ("where is {}", "when will {} arrive", "{} is late", "has {} been sent"),
    "return": ("i want to return {}", "{} does not fit", "send {} back", "take {} back please"),
    "refund": ("refund {} please", "i want my money for {}", "give me the money back for {}", "what about a refund for {}"),
    "cancel": ("cancel {}", "i changed my mind about {}", "stop {} please", "i do not want {} any more"),
}
THINGS = ("my order", "the parcel", "these shoes", "the red dress", "my jacket", "a gift", "the lamp", "both shirts", "the phone", "it")
SETTINGS = ("batch_size=4", "dropout=0.1", "precision=fp32", "checkpoint_seconds=0", "max_length=24", "seed=3")
PATIENCE_S = 600


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Kill and compare."""
    reader = argparse.ArgumentParser(prog="benchmarks resume", description=__doc__)
    reader.add_argument("--kills", type=int, default=3 if quick else 20)
    reader.add_argument("--epochs", type=int, default=1 if quick else 4)
    reader.add_argument("--seed", type=int, default=0, help="of the moments at which it is killed")
    options = reader.parse_args(list(arguments))
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as name:
        folder = Path(name)
        data = _sample(folder / "chats.csv")
        clock = time.perf_counter()
        whole = folder / "whole"
        _ended(_started(data, whole, folder, options.epochs, resume=False))
        plain_s = time.perf_counter() - clock
        steps = _lines(whole)[-1]["step"]
        killed, after = folder / "killed", 0
        clock = time.perf_counter()
        for number, moment in enumerate(sorted(random.Random(options.seed).sample(range(1, steps - 2), options.kills))):
            process = _started(data, killed, folder, options.epochs, resume=number > 0)
            after = _killed(process, killed, moment)
            say(f"kill {number + 1} of {options.kills}: after step {after} of {steps}")
        _ended(_started(data, killed, folder, options.epochs, resume=True))
        killed_s = time.perf_counter() - clock
        weights = _digests(whole) == _digests(killed)
        journal = _lines(whole) == _lines(killed)
        files = sorted(_digests(whole))
    say(f"equal bytes: {weights} ({', '.join(files)}); equal journal: {journal}; {killed_s:.0f} s against {plain_s:.0f} s")
    return result(
        "resume",
        begin,
        quick=quick,
        ours={
            "kills": options.kills,
            "steps": steps,
            "whole_seconds": round(plain_s, 2),
            "killed_seconds": round(killed_s, 2),
            "files": files,
        },
        ratio={"killed_over_whole": ratio(killed_s, plain_s)},
        quality={"equal_weights": weights, "equal_journal": journal, "holds": {"final weights equal bit for bit": weights and journal}},
    )


def _sample(path: Path) -> Path:
    """160 turns of four intents; the last thing of each phrase is for validation."""
    rows = [
        f"{phrase.format(thing)},{intent},{'valid' if thing == THINGS[-1] else 'train'}"
        for intent, phrases in ASKED.items()
        for phrase in phrases
        for thing in THINGS
    ]
    path.write_text("text,intent,split\n" + "\n".join(rows) + "\n", "utf-8")
    return path


def _started(data: Path, out: Path, scratch: Path, epochs: int, *, resume: bool) -> subprocess.Popen[str]:
    words = ["train", "intent", f"epochs={epochs}", *SETTINGS, "--data", str(data), "--out", str(out), *(["--resume"] if resume else [])]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TMPDIR": str(scratch)}
    command = [sys.executable, "-c", "from shoplm.cli import main; main()", *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _ended(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate(timeout=PATIENCE_S)
    if process.returncode:
        raise RuntimeError(said[-2000:])


def _killed(process: subprocess.Popen[str], out: Path, step: int) -> int:
    """Kill it once its journal has come to ``step``, a random moment later; the last step that was written."""
    until = time.monotonic() + PATIENCE_S
    while not (found := _lines(out)) or found[-1]["step"] < step:
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            raise RuntimeError(f"it ended or stood still before step {step}: {process.communicate()[1][-2000:]}")
        time.sleep(0.005)
    time.sleep(random.Random(step).uniform(0, 0.05))  # anywhere between two steps, in the middle of a write too
    process.kill()
    process.communicate(timeout=60)
    return int(_lines(out)[-1]["step"])


def _lines(out: Path) -> list[Json]:
    """The journal without its seconds; what a kill tore is left out."""
    found: list[Json] = []
    path = out / "run" / "steps.jsonl"
    for line in path.read_text("utf-8").splitlines() if path.is_file() else []:
        try:
            found.append({key: value for key, value in json.loads(line).items() if key != "seconds"})
        except ValueError:
            break
    return found


def _digests(out: Path) -> dict[str, str]:
    files = [*out.glob("heads/*"), *out.glob("backbone/*.safetensors"), *out.glob("fitted/*"), *out.glob("adapters/*/*")]
    return {file.relative_to(out).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
