"""``python -m benchmarks [NAME] [--quick] …``: without a name all of them, one after the other; ``--list`` names them."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any

import benchmarks
from benchmarks.side_by_side import REQUIRED, say, store

NO_FIGURES = ("__main__", "side_by_side", "sides", "watch")
ALL: dict[str, list[list[str]]] = {"finetune": [["--data", "clinc"], ["--data", "clothing"]]}
"""What a run of all gives to a benchmark that has more than one figure."""


def names() -> list[str]:
    """The benchmarks: modules of this package that measure something."""
    return sorted(found.name for found in pkgutil.iter_modules(benchmarks.__path__) if found.name not in NO_FIGURES)


def run(name: str, arguments: Sequence[str], quick: bool) -> int:
    """Run one, print its object on stdout and store it; a quick run is not stored. Returns the exit code."""
    main: Any = importlib.import_module(f"benchmarks.{name}").main
    taken = inspect.signature(main).parameters
    found = main(list(arguments), quick=quick) if "quick" in taken else main([*arguments, *(["--quick"] if quick else [])])
    if not isinstance(found, dict):
        return int(found or 0)
    print(json.dumps(found, ensure_ascii=False))
    if not quick and all(key in found for key in REQUIRED):
        say(f"stored: {store(found)}")
    return 0


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    words = [word for word in arguments if word != "--quick"]
    quick = len(words) < len(arguments)
    if words[:1] == ["--list"]:
        for name in names():
            print(f"{name:<12} {(importlib.import_module(f'benchmarks.{name}').__doc__ or '').strip().splitlines()[0]}")
        return 0
    if words and not words[0].startswith("-"):
        if words[0] not in names():
            say(f"no benchmark `{words[0]}`; there is {', '.join(names())}")
            return 2
        return run(words[0], words[1:], quick)
    codes = []
    for name in names():
        for given in ALL.get(name, [[]]):
            say(f"== {name} {' '.join(given)}")
            try:
                codes.append(run(name, [*given, *words], quick))
            except (Exception, SystemExit) as error:  # one that fails must not keep the others from being measured
                say(f"{name}: failed: {error!r}")
                codes.append(error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1)
    return max(codes, default=0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
