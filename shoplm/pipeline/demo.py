"""demo: a sample shop, one bundle that reads its reviews and its chats, and a one-page report."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from shoplm.data.ingest import ImportReport
from shoplm.data.shop import Shop
from shoplm.errors import DataError
from shoplm.evaluate.report import Report, verdict, write_report
from shoplm.files import or_gone
from shoplm.model.precision import Precision, faster
from shoplm.pipeline import describe
from shoplm.pipeline.config import RunConfig
from shoplm.pipeline.health import check
from shoplm.pipeline.judging import Evaluation, evaluate
from shoplm.pipeline.progress import Progress
from shoplm.pipeline.training import train
from shoplm.train.journal import Journal
from shoplm.world import stream
from shoplm.world.sample import SMALL_CATALOGUE
from shoplm.world.settings import WorldConfig

PACE: Mapping[Precision, Mapping[str, Any]] = {
    "bf16": {"layers": 6, "epochs": 4, "learning_rate": 2e-3},
    "fp32": {"layers": 2, "epochs": 3, "learning_rate": 3e-3},
}
"""What can be learnt in a minute and a half on two cores, by the precision that is faster on them: with all layers both tasks are better
(validation: intents .91 instead of .86), but without bf16 that would take twice the time."""
OURS = ("shop", "bundle", "report.html")
"""What a demo's folder may hold from an earlier demo."""


@dataclass(frozen=True)
class Demo:
    """Where everything is, and what was found."""

    out: Path
    found: dict[str, Evaluation]
    seconds: float

    def __str__(self) -> str:
        lines = [f"{name}: {verdict(said.judgement, said.baselines, said.judge_by)}" for name, said in self.found.items()]
        bundle = self.out / "bundle"
        lines += [
            f"shop:   {self.out / 'shop'}",
            f"bundle: {bundle}",
            f"report: {self.out / 'report.html'}",
            f"done in {self.seconds:.0f} s",
            *(f"{'next:' if at == 0 else '':8}{command}" for at, command in enumerate(_next(self.out))),
        ]
        return "\n".join(lines)


def _next(out: Path) -> tuple[str, ...]:
    """Commands to type after the demo, quoted for a shell."""
    return (
        shlex.join(["shoplm", "predict", str(out / "bundle"), "intent", "--text", "where is my parcel?"]),
        shlex.join(["shoplm", "check", "--shop", str(out / "shop")]),
        "shoplm train sentiment --data your_reviews.csv --map text=your_column --out my-model",
    )


def fill(folder: Path, config: WorldConfig, progress: Progress, truth: Path | None = None) -> ImportReport:
    """Make a simulated shop in ``folder``; what only the world knows goes to ``truth``, or nowhere.

    Raises:
        ResourceError: ``truth`` lies inside the shop, or a place cannot be written; no shop is left.
    """
    progress.say(f"writing a sample shop: {config.shoppers:,} shoppers, {config.products:,} products, seed {config.seed}")
    with or_gone(folder):
        return stream.fill(Shop(folder, create=True), config, truth)


def demo(
    out: Path, *, language: str, seed: int, progress: Progress, shoppers: int = 180, settings: Mapping[str, Any] = MappingProxyType({})
) -> Demo:
    """The whole story in one call: shop, training, judgement, report.

    Args:
        out: its folder.
        language: of the sample shop: en or zh.
        seed: of the sample shop and the training.
        progress: who waits.
        shoppers: how large the sample shop is.
        settings: of the training, beside method and seed.

    Raises:
        DataError: ``out`` holds something that is not an earlier demo.
    """
    begin = time.perf_counter()
    if out.exists() and (not out.is_dir() or any(child.name not in OURS for child in out.iterdir())):
        raise DataError(f"--out {out}: holds something that is not an earlier demo; choose another folder")
    shop_folder = out / "shop"
    if not shop_folder.exists():
        words: Literal["en", "zh"] = "zh" if language == "zh" else "en"
        config = WorldConfig(shoppers=shoppers, products=SMALL_CATALOGUE, language=words, seed=seed)
        progress.say(str(fill(shop_folder, config, progress)))
    shop = Shop(shop_folder)
    health = check(shop)
    precision = faster()
    recipe = RunConfig.read(
        ["sentiment", "intent"],
        **{"method": "lora", "max_length": 96, "seed": seed, "precision": precision, **PACE[precision], **settings},
    )
    bundle = train(recipe, shop=shop, out=out / "bundle", unfinished="restart", progress=progress)  # a minute's work: no question asked
    found = {name: evaluate(bundle, name, shop=shop, examples=3, progress=progress) for name in bundle.tasks}
    page = found["sentiment"]
    journal = Journal(out / "bundle" / "run" / "sentiment")
    _, _, _, fitted = bundle.part("sentiment")
    report = Report(
        title="ShopLM demo: what your shop's words say",
        verdict=" ".join(f"{name.capitalize()}: {verdict(said.judgement, said.baselines, said.judge_by)}" for name, said in found.items()),
        judgement=page.judgement,
        baselines=page.baselines,
        labels={name: list(labels) for name, labels in fitted.labels.items()},
        findings=health.findings,
        curves=describe.curves(journal, describe.history_of(journal)),
        examples=tuple(page.examples),
        facts=describe.fact_lines(bundle.contents.facts["sentiment"]),
        commands=_next(out),
        beliefs=page.beliefs(),
    )
    write_report(report, out / "report.html")
    return Demo(out, found, time.perf_counter() - begin)
