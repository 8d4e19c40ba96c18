"""Makes the pages that are made: settings, numbers, the contract, and the figures in the READMEs.

    python docs/build.py           writes what has changed
    python docs/build.py --check   writes nothing; exit code 1 names what is out of date

Numbers come from ``benchmarks/results/*.json`` alone; without any, the pages say that nothing was measured.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from shoplm import task as tasks
from shoplm.config import Config
from shoplm.data import contract_page
from shoplm.pipeline.config import GROUPS, RunConfig
from shoplm.pipeline.pretrain import config as pretrain_config

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
MADE = "<!-- Made by docs/build.py; do not edit. -->"
NOTHING = {
    "README.md": "No figures have been measured on this version yet: `make bench` measures them.",
    "README.zh-CN.md": "这一版还没有测过数字：`make bench` 会测出它们。",
}
TITLES = {
    "README.md": ("figure", "against", "quality it was reached at"),
    "README.zh-CN.md": ("项目", "倍数", "达到的质量"),
}


SHOWN = (".metrics.accuracy.mean", ".metrics.oos_auroc.mean")
"""The figures of quality that fit on one screen, where a benchmark has means over seeds."""


def pages(results: Path = RESULTS) -> dict[Path, str]:
    """Every made page with what it should hold."""
    measured = read_results(results)
    found = {
        ROOT / "docs" / "settings.md": settings(),
        ROOT / "docs" / "numbers.md": numbers(measured),
        ROOT / "docs" / "contract.md": contract_page.markdown(),
        ROOT / "docs" / "contract.schema.json": json.dumps(contract_page.json_schema(), indent=1, ensure_ascii=False) + "\n",
    }
    for name, nothing in NOTHING.items():
        path = ROOT / name
        found[path] = filled(path.read_text("utf-8"), "numbers", short(measured, TITLES[name]) if measured else nothing)
    return found


def filled(page: str, name: str, text: str) -> str:
    """The page with ``text`` between ``<!-- name -->`` and ``<!-- /name … -->``.

    Raises:
        ValueError: the page has no such place.
    """
    opening, closing = f"<!-- {name} -->", f"<!-- /{name.partition(':')[0]} -->"
    place = re.compile(re.escape(opening) + ".*?" + re.escape(closing), re.S)
    if not place.search(page):
        raise ValueError(f"no place `{opening}` … `{closing}` on this page; put both back")
    return place.sub(lambda _: f"{opening}\n{text.strip()}\n{closing}", page, count=1)


def read_results(folder: Path) -> list[dict[str, Any]]:
    """The measured figures, by name; none when the folder is empty or absent.

    Raises:
        ValueError: a file is not one JSON object with a name.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text("utf-8"))
        if not isinstance(result, dict) or "name" not in result:
            raise ValueError(f"{path.name}: expected one JSON object with a `name`; measure it again")
        found.append(result)
    return sorted(found, key=lambda result: str(result["name"]))


def short(measured: Iterable[Mapping[str, Any]], titles: tuple[str, str, str]) -> str:
    """One line for each figure, for a README."""
    lines = [f"| {' | '.join(titles)} |", "|---|---|---|"]
    for result in measured:
        ratio = result.get("ratio", {})
        ratios = "; ".join(
            f"{name} {'≥ ' if ratio.get(f'{name}_is_lower_bound') else ''}{value:.3g} ×"
            for name, value in leaves(ratio)
            if isinstance(value, int | float) and not isinstance(value, bool)
        )
        found = list(leaves(result.get("quality", {})))
        means = [(name.replace(".metrics", "").replace(".mean", ""), value) for name, value in found if name.endswith(SHOWN)]
        quality = "; ".join(f"{name} {said(value)}" for name, value in means or found[:6])
        lines.append(f"| [{result['name']}](docs/numbers.md#{result['name']}) | {ratios or '-'} | {quality or '-'} |")
    return "\n".join(lines)


def numbers(measured: list[dict[str, Any]]) -> str:
    """``docs/numbers.md``."""
    lines = [
        "# Numbers", "", MADE, "",
        "Every figure is measured by one file in `benchmarks/`. Peers run on the same machine, data and cores, in turns with ours, each at its",
        "best settings. Seconds belong to their machine; the *ratio* is the figure. A speed always stands beside the quality it was reached at,",
        "and a difference of quality inside its interval is a tie.", "",
        "`make bench` measures all of them, `make bench NAME=finetune` one.",
    ]  # fmt: skip
    if not measured:
        lines += ["", "Nothing has been measured on this version yet."]
    for result in measured:
        lines += ["", f"## {result['name']}", ""]
        about = [f"commit `{str(result['commit'])[:12]}`"] if result.get("commit") else []
        if isinstance(result.get("machine"), Mapping):
            about.append(", ".join(f"{name} {said(value)}" for name, value in leaves(result["machine"])))
        if result.get("seconds") is not None:
            about.append(f"{said(result['seconds'])} s in all")
        if about:
            lines += ["; ".join(about) + ".", ""]
        lines += ["| | figure | value |", "|---|---|---|"]
        for part in ("ratio", "quality", "ours", "peers"):
            lines += [f"| {part} | {name} | {said(value)} |" for name, value in leaves(result.get(part, {}))]
    return "\n".join(lines) + "\n"


def leaves(value: Any, name: str = "") -> Iterable[tuple[str, Any]]:
    """The plain values in nested mappings, each with its dotted name; an estimate stays whole."""
    if isinstance(value, Mapping) and not {"value", "low", "high"} <= set(value):
        for key, inner in value.items():
            yield from leaves(inner, f"{name}.{key}" if name else str(key))
    elif not isinstance(value, list | tuple) or (len(value) <= 6 and not any(isinstance(one, Mapping | list) for one in value)):
        yield name, value  # curves and profiles stay in their JSON


def said(value: Any) -> str:
    """A value as a table shows it."""
    if isinstance(value, Mapping):
        if value["value"] is None:
            return "-"
        return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
    if isinstance(value, bool) or value is None:
        return "-" if value is None else str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(said(one) for one in value)
    return str(value).replace("|", "\\|").replace("\n", " ")


def settings() -> str:
    """``docs/settings.md``, from the docstrings of the settings themselves."""
    lines = [
        "# Settings", "", MADE, "",
        "The same names hold everywhere: `epochs=3` on the command line, `epochs: 3` in a recipe, `epochs=3` in Python. A name that only one group",
        "has needs no group; `fit.epochs=3` says the same. What you type lies over the recipe, and the recipe over the defaults. An unknown name is",
        "an error that names the closest one. A run writes its settings, as resolved, to `run/recipe.yaml`.", "",
        "`-` as a default means: chosen from the method, the number of rows or the machine, and written down.",
    ]  # fmt: skip
    lines += ["", "## The run", "", *table(RunConfig, leave={"tasks", "task", *GROUPS})]
    for name, kind in GROUPS.items():
        lines += ["", f"## {name}", "", first_line(kind), "", *table(kind)]
    lines += [
        "",
        "## pretrain",
        "",
        "What one `pretrain` does, beside the groups text, fit and split. Its `epochs`, `batch_size`, `token_budget`, `learning_rate` and",
    ]
    lines += ["`head_rate` are chosen from the number of tokens.", "", *table(pretrain_config.PretrainConfig, leave=pretrain_config.GROUPS)]
    lines += ["", "## mask, for pretrain", "", first_line(pretrain_config.MaskConfig), "", *table(pretrain_config.MaskConfig)]
    for name in tasks.names():
        lines += ["", f"## task, for {name}", "", first_line(tasks.get(name).Settings), "", *table(tasks.get(name).Settings)]
    return "\n".join(lines) + "\n"


def first_line(kind: type[Config]) -> str:
    """The first line of a class's docstring."""
    return (kind.__doc__ or "").strip().splitlines()[0]


def table(kind: type[Config], leave: Iterable[str] = ()) -> list[str]:
    """One line for each setting."""
    lines = ["| setting | type | default | what it does |", "|---|---|---|---|"]
    for name, field in kind.model_fields.items():
        if name not in leave:
            limits = ", ".join(_limits(field.metadata))
            type_ = _type(field.annotation) + (f", {limits}" if limits else "")
            meaning = " ".join((field.description or "").replace("``", "`").split()).replace("|", "\\|")
            lines.append(f"| `{name}` | {type_} | {_default(field.default)} | {meaning} |")
    return lines


def _type(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(one) for one in inner if one is not type(None))
    if origin is tuple:
        return f"list of {_type(inner[0])}"
    return {int: "whole number", float: "number", str: "text", bool: "true or false"}.get(annotation, "text")


def _limits(metadata: Iterable[Any]) -> Iterable[str]:
    for limit in metadata:
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            if hasattr(limit, name) and abs(getattr(limit, name)) < 1e15:  # beyond it nobody counts
                yield f"{sign} {getattr(limit, name):g}"


def _default(value: Any) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def main() -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a page is out of date")
    check = parser.parse_args().check
    stale = [path for path, text in pages().items() if not path.is_file() or path.read_text("utf-8") != text]
    for path in stale:
        if not check:
            path.write_text(pages()[path], "utf-8")
        print(f"{path.relative_to(ROOT)}: {'out of date; run make docs' if check else 'written'}", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
