"""A run killed three times with ``kill -9`` and resumed writes the very bytes of a run that nobody touched."""

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

INTENTS = {
    "track": ["where is my order", "when will it arrive", "my parcel is late", "where is the parcel"],
    "return": ["i want to return these", "they do not fit", "return this dress", "send it back"],
    "refund": ["refund me please", "i want my money", "can you refund it", "give my money back"],
    "cancel": ["cancel the order", "please cancel it", "i changed my mind cancel", "stop the parcel"],
}
STARTS_S, STEP_S = 300, 60  # patience on a busy machine, never reached on an idle one


def table(path: Path) -> Path:
    rows = [
        f"{text} {number},{intent},{'valid' if number == 3 else 'train'}"
        for intent, texts in INTENTS.items()
        for text in texts
        for number in range(4)
    ]
    path.write_text("text,intent,split\n" + "\n".join(rows) + "\n", "utf-8")
    return path


class Run:
    """``shoplm train intent`` in a process of its own."""

    def __init__(self, data: Path, backbone: Path, out: Path, scratch: Path, resume: bool = False) -> None:
        self.out, self.steps = out, out / "run" / "steps.jsonl"
        settings = ["epochs=12", "batch_size=8", "layers=2", "dropout=0.1", "precision=fp32", "checkpoint_seconds=0", "max_length=16"]
        words = ["train", "intent", *settings, "--data", str(data), "--backbone", str(backbone), "--out", str(out)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TMPDIR": str(scratch)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from shoplm.cli import main; main()", *words, *(["--resume"] if resume else [])],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def done(self) -> str:
        """What it said on stderr, at its end."""
        _, said = self.process.communicate(timeout=STARTS_S)
        assert self.process.returncode == 0, said
        return said

    def kill_after(self, step: int) -> None:
        """Kill it, unasked, when its journal has come to ``step``."""
        until = time.monotonic() + STARTS_S
        while not self.steps.is_file() or last_step(self.steps) < step:
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < until, "it never came so far"
            time.sleep(0.002)
        self.process.kill()
        self.process.communicate(timeout=STEP_S)
        assert self.process.returncode == -9


def lines(path: Path) -> list[dict]:
    found = []
    for line in path.read_text("utf-8").splitlines():
        try:
            found.append({key: value for key, value in json.loads(line).items() if key != "seconds"})
        except ValueError:  # torn by a kill
            break
    return found


def last_step(path: Path) -> int:
    return max((line["step"] for line in lines(path)), default=0)


def digests(out: Path) -> dict[str, str]:
    files = [*out.glob("heads/*.safetensors"), *out.glob("backbone/*.safetensors"), *out.glob("fitted/*.json")]
    return {file.relative_to(out).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.slow
def test_a_run_killed_three_times_writes_the_bytes_of_one_never_killed(backbone_folders, tmp_path):
    data, backbone = table(tmp_path / "chats.csv"), backbone_folders["bert"]
    whole = Run(data, backbone, tmp_path / "whole", tmp_path)
    whole.done()
    wanted = lines(whole.steps)
    steps = wanted[-1]["step"]
    assert steps == 12 * 6  # 48 train rows in batches of 8

    moments = sorted(random.Random(4).sample(range(1, steps - 8), 3))
    for number, moment in enumerate(moments):
        run = Run(data, backbone, tmp_path / "killed", tmp_path, resume=number > 0)
        run.kill_after(moment)
        assert (tmp_path / "killed" / "run" / "unfinished").exists()
        assert not (tmp_path / "killed" / "checksums.json").exists()  # nothing that looks like a bundle
    last = Run(data, backbone, tmp_path / "killed", tmp_path, resume=True)
    said = last.done()
    assert f"of {steps}" in said
    assert "resumed after step" in said
    assert lines(last.steps) == wanted
    assert digests(last.out) == digests(whole.out)
    assert {"heads/intent.safetensors", "backbone/model.safetensors"} <= set(digests(last.out))
    assert not (last.out / "run" / "checkpoints").exists()
