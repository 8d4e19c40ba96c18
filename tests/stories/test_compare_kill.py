"""A comparison killed with ``kill -9`` in its search goes on with the same command: what was done is kept, what was cut off is done anew."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time

import pytest
from pipeline.worked import reviews

PATIENCE_S = 300  # never reached on an idle machine


def start(folder, backbone):
    words = [
        "compare",
        "sentiment",
        "--data",
        "reviews.csv",
        "--backbones",
        str(backbone),
        "--methods",
        "head",
        "--trials",
        "4",
        "--seeds",
        "1",
    ]
    return subprocess.Popen(
        [sys.executable, "-c", "from shoplm.cli import main; main()", *words, "--budget", "600", "--out", "out", "--json"],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def ended(path) -> int:
    """Trials that have come to an end, as the file says while somebody writes to it."""
    if not path.is_file():
        return 0
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as found:
            return int(found.execute("select count(*) from trial_user_attributes where key = 'state'").fetchone()[0])
    except sqlite3.OperationalError:  # its tables are not there yet, or it is being written
        return 0


@pytest.mark.slow
def test_a_killed_comparison_goes_on_and_does_nothing_twice(backbone_folders, tmp_path):
    (tmp_path / "reviews.csv").write_text(reviews(160))
    first, until = start(tmp_path, backbone_folders["bert"]), time.monotonic() + PATIENCE_S
    while not ended(tmp_path / "out" / "study.db"):
        assert first.poll() is None, first.communicate()[1]
        assert time.monotonic() < until, "no trial ever ended"
        time.sleep(0.005)
    first.kill()
    first.communicate()
    before = ended(tmp_path / "out" / "study.db")
    again = start(tmp_path, backbone_folders["bert"])
    out, err = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 0, err
    tried = json.loads(out)["search"]["head"]
    counted = [trial for trial in tried if trial["state"] not in ("killed", "out of time")]
    assert len(counted) == 4
    assert err.count(", trial ") == 4 - before
    assert [trial["number"] for trial in tried if trial["state"] == "killed"] in ([], [before])
