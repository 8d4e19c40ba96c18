"""What the tests of the pipeline share: the command line in this process, files of rows, trained bundles."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on stdout."""
        return json.loads(self.out)

    @property
    def line(self) -> str:
        """The one line that says what is wrong; what was said before it is progress."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert self.err.rstrip().splitlines()[-1] == lines[0]
        assert "Traceback" not in self.err
        return lines[0]


def shoplm(*words: Any) -> Said:
    """Run one command here; an exception that is no exit fails the test with its traceback."""
    from shoplm import cli

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.run([str(word) for word in words])
    return Said(code, out.getvalue(), err.getvalue())


def reviews(rows: int = 80) -> str:
    """A csv of short reviews whose words tell their stars."""
    good, bad = ["good", "great", "love"], ["poor", "broken", "awful"]
    lines = [f"{(good if i % 2 else bad)[i % 3]} dress number {i},{5 if i % 2 else 1},{i % 2}" for i in range(rows)]
    return "\n".join(["text,rating,recommended", *lines, ""])


def turns(rows: int = 90) -> str:
    """A csv of customers' messages with three intents, some out of scope."""
    kinds = [("where is my order", "track"), ("i want to return this", "return"), ("refund me please", "refund"), ("tell me a joke", "oos")]
    return "\n".join(["text,intent", *(f"{kinds[i % 4][0]} {i},{kinds[i % 4][1]}" for i in range(rows)), ""])


@pytest.fixture(scope="session")
def bert(backbone_folders) -> str:
    """The folder of a tiny random BERT."""
    return str(backbone_folders["bert"])


@pytest.fixture(scope="session")
def rows_csv(tmp_path_factory) -> Path:
    """Eighty reviews."""
    file = tmp_path_factory.mktemp("rows") / "reviews.csv"
    file.write_text(reviews(), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def trained(bert, rows_csv, tmp_path_factory) -> dict[str, Path]:
    """A bundle of every method: read them, never change them."""
    found = {}
    for method in ("full", "lora", "head"):
        found[method] = tmp_path_factory.mktemp("bundles") / method
        said = shoplm("train", "sentiment", "--data", rows_csv, "--backbone", bert, "--method", method, "--out", found[method], "epochs=1")
        assert said.code == 0, said.err
    return found
