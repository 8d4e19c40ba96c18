"""pretrain: a backbone that has read the shop's own texts, before any task learns on it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoplm.data.consent import learnable
from shoplm.data.shop import Shop
from shoplm.errors import ConfigError, DataError
from shoplm.model import folder
from shoplm.model.backbone import load_backbone
from shoplm.model.heads import TextHead
from shoplm.model.masked import filling, save_filling
from shoplm.pipeline import describe, resuming
from shoplm.pipeline.pretrain import adapted
from shoplm.pipeline.pretrain.config import PretrainConfig
from shoplm.pipeline.pretrain.corpus import Piece, corpus, of_files, of_shop
from shoplm.pipeline.pretrain.filling import learn, set_up
from shoplm.pipeline.progress import Progress, Silent
from shoplm.pipeline.resuming import Unfinished
from shoplm.pipeline.training import nothing_half_written


@dataclass(frozen=True)
class Pretrained:
    """What a pre-training came to."""

    out: Path
    before: Mapping[str, float]
    """Of the masked words of held-out texts, before the backbone moved: loss (nats), perplexity, accuracy."""
    after: Mapping[str, float]
    """The same afterwards, and ``cosine``: of pooled vectors of whole held-out texts with those before, their mean."""
    facts: Mapping[str, Any]

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {"backbone": str(self.out), "before": dict(self.before), "after": dict(self.after), "facts": dict(self.facts)}

    def __str__(self) -> str:
        return adapted.table(self.before, self.after, int(self.facts["valid_texts"]))


def pretrain(
    config: PretrainConfig,
    *,
    shop: Path | Shop | None = None,
    files: Sequence[Path] = (),
    mapping: Mapping[str, str] | None = None,
    out: Path,
    unfinished: Unfinished = "refuse",
    progress: Progress | None = None,
) -> Pretrained:
    """Go on pre-training a backbone on texts and write it to ``out``, a folder that ``train --backbone`` and ``transformers`` take.

    Args:
        config: the run's settings.
        shop: a shop, or
        files: text files, whose column of texts is named by
        mapping: ``{"text": COLUMN}`` where it has no usual name.
        out: the backbone's folder; ``<out>/run`` is the journal.
        unfinished: what to do about a run that stands in ``<out>/run`` and has not ended.
        progress: who waits.

    Raises:
        InputError: the texts, the backbone or a setting is wrong, or a run that has not ended would be lost; nothing was written.
        DivergedError: the loss exploded; the last good checkpoint stays.
        ResourceError: memory or disk ran out.
    """
    waiting = progress or Silent()
    begin = time.perf_counter()
    _refuse_place(config, out, unfinished)
    if unfinished == "resume" and (out / folder.SUMS).is_file() and not any((out / "run").rglob("unfinished")):
        waiting.say(f"{out}: this run has ended already, nothing to resume")
        folder.check(out)
        found = json.loads((out / "metrics.json").read_text("utf-8"))
        return Pretrained(out, found["before"], found["after"], found["facts"])
    if (shop is None) == (not files):
        raise DataError(
            "no texts: give either --shop DIR or --text-files FILES"
            if shop is None
            else "two sources of texts, --shop and --text-files: give only one of them"
        )
    view = None if shop is None else learnable(shop if isinstance(shop, Shop) else Shop(Path(shop)))

    def pieces() -> Iterator[Piece]:
        return of_files(files, mapping, config.split) if view is None else of_shop(view, config.tables, config.split)

    if files and config.tables:
        raise ConfigError("`tables` are a shop's; with --text-files leave it out")
    if mapping and not files:
        raise ConfigError(f"--map {next(iter(mapping))}=…: names a column of --text-files; a shop's texts stand where its contract says")
    run_folder = out / "run"
    with nothing_half_written(out):
        backbone = load_backbone(config.backbone, config.text)
        fills = filling(backbone)
        texts = corpus(pieces, backbone.tokenizer, run_folder / "cache" / "texts.ids", waiting, redacting=config.redact)
        waiting.say(str(texts.tallied))
        source = {"data_version": view.data_version if view else None, "files": [str(file) for file in files]}
        run = set_up(config, backbone, fills, texts, source, run_folder, unfinished, waiting)
        before, after, course = learn(run)
        if after and after["loss"] >= before["loss"]:
            waiting.say("warning: held-out loss did not fall: this backbone knew such texts already, or the learning_rate is too high")
        facts = run.facts
        card = adapted.card(config.backbone, backbone, run.config.plain(), facts, before, after)
        metrics = {"before": before, "after": after, "facts": facts, "epochs": course.history}
        head = run.network.heads["text"]
        assert isinstance(head, TextHead)

        def fill(place: Path) -> None:
            save_filling(backbone, place, head, fills)
            backbone.save_tokenizer(place)
            (place / "README.md").write_text(card, "utf-8")
            (place / "metrics.json").write_text(json.dumps(metrics, indent=2, ensure_ascii=False), "utf-8")

        folder.put(out, fill)
    after_that = adapted.commands(out, shop, files)
    adapted.report(run_folder, run.config.plain(), facts, before, after, course.history, after_that)
    for name in ("checkpoints", "cache"):
        shutil.rmtree(run_folder / name, ignore_errors=True)
    (run_folder / "unfinished").unlink(missing_ok=True)
    waiting.say(f"pre-trained in {describe.duration(time.perf_counter() - begin)}")
    return Pretrained(out, before, after, facts)


def _refuse_place(config: PretrainConfig, out: Path, unfinished: Unfinished) -> None:
    """Nothing that is not a backbone of ours, or the beginning of one, is written over."""
    folder.recover(out)
    if out.exists() and (out.is_file() or not folder.is_ours(out)):
        raise ConfigError(f"--out {out}: is not empty and no backbone that pretrain wrote; choose another place")
    if (out / "fitted").is_dir():
        raise ConfigError(f"--out {out}: holds a bundle, which a backbone must not replace; choose another place")
    if out.exists() and Path(config.backbone).expanduser().resolve() == out.resolve():
        raise ConfigError(f"--out {out}: is the backbone that is to be trained further; choose another place")
    if unfinished == "refuse":
        resuming.refuse_to_lose(out)
