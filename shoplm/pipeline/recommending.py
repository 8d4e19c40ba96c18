"""train and evaluate ``recommend``: from a shop's events, or a plain file of acts, to a judged bundle.

Each shopper's last act is the test, the one before it validation; a file's ``split`` column, where it has one, says so itself.
Ways of counting and weights come from the acts before validation; then the validation acts are counted, too. Lists are judged over all items, and whether seen items may be in them is always said.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shoplm.apps.fitting import Known, fitted, renewed
from shoplm.apps.recommend import NAME, RecommendConfig, Recommender
from shoplm.data.shop import Shop
from shoplm.errors import BundleError, DataError
from shoplm.evaluate.bootstrap import Estimate
from shoplm.evaluate.ranking import RankingJudge, RankingJudgement, difference
from shoplm.model import bundle, folder
from shoplm.pipeline.acts import SPLITS, Acts, acts_of, left_out, opened
from shoplm.pipeline.progress import Progress, Silent
from shoplm.pipeline.teaching import networks
from shoplm.retrieve.blend import ranked
from shoplm.train.journal import machine, versions

AT = (10, 20)
"""Lengths of lists that are judged."""
BATCH = 1_000
"""Shoppers that are listed at once."""


@dataclass(frozen=True)
class Judged:
    """A recommender's lists, beside those of each source alone."""

    split: str
    ours: RankingJudgement
    sources: Mapping[str, RankingJudgement]

    def differences(self) -> dict[str, dict[str, Estimate]]:
        """Ours minus each source, paired."""
        return {name: difference(self.ours, theirs) for name, theirs in self.sources.items()}

    def plain(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        minus = {name: {metric: one.plain() for metric, one in found.items()} for name, found in self.differences().items()}
        beside = {name: found.plain()["metrics"] for name, found in self.sources.items()}
        return {"task": NAME, "split": self.split, **self.ours.plain(), "baselines": beside, "minus_baseline": minus}

    def __str__(self) -> str:
        shown = [f"{NAME} on {self.split}: {self.ours.shoppers:,} shoppers, all items ranked, seen items {self.ours.seen}"]
        for metric in ("recall_at_10", "ndcg_at_10"):
            shown.append(f"{metric}: {self.ours.metrics[metric]}")
            for name, found in self.sources.items():
                shown.append(f"  {name} alone: {found.metrics[metric]}, ours minus it {difference(self.ours, found)[metric]}")
        lists = ", ".join(f"{name} {value:.3f}" for name, value in self.ours.lists.items())
        return "\n".join([*shown, f"lists of {AT[0]}: {lists}"])


def judged(found: Recommender, acts: Acts, split: str, progress: Progress | None = None) -> Judged:
    """Lists for every shopper with acts in a split, against what was taken.

    Raises:
        DataError: nobody has an act in that split.
    """
    rows, before, wanted = acts.asked(SPLITS[split])
    if not len(rows):
        raise DataError(
            f"recommend: no shopper has an act in the split `{split}`; a shopper needs three acts, or the file a `split` column"
        )
    cold = found.counts[wanted.items] == 0
    cold_rows = np.zeros(len(rows), bool)
    np.logical_or.at(cold_rows, wanted.owner, cold)
    quiet = before.lengths <= 3
    judges = {name: RankingJudge(found.counts, found.seen, AT, ("cold item", "at most 3 acts")) for name in ("", *found.sources)}
    with (progress or Silent()).bar("listing", len(rows)) as moved:
        for begin in range(0, len(rows), BATCH):
            part = slice(begin, min(begin + BATCH, len(rows)))
            named = found.named(before.take(part), AT[-1])
            for name, judge in judges.items():
                lists, _ = ranked(named, found.weighing(name or None), AT[-1])
                judge.add(lists, wanted.take(part), {"cold item": cold_rows[part], "at most 3 acts": quiet[part]})
            moved(part.stop - begin)
    done = {name: judge.judgement() for name, judge in judges.items()}
    return Judged(split, done.pop(""), done)


def train(
    config: RecommendConfig, *, shop: Path | Shop | None = None, data: Path | None = None, items: Path | None = None, out: Path,
    mapping: Mapping[str, str] | None = None, progress: Progress | None = None,
) -> tuple[Recommender, Judged | None]:  # fmt: skip
    """Learn from a shop or from plain files, judge on validation, write a bundle.

    Returns:
        What was learnt and how it did on validation; None where nobody has an act there.

    Raises:
        DataError: the data cannot be used.
        ResourceError: the bundle cannot be written.
    """
    waits, begin = progress or Silent(), time.perf_counter()
    with opened(shop, data, items, mapping) as origin:
        acts = acts_of(origin.view, config, cleaned=shop is not None)
        odd = left_out(origin.view) if shop is not None else 0
    for note in [*origin.notes, *([f"{odd:,} visitor(s) who act like a machine or buy like a trade teach nothing"] if odd else [])]:
        waits.say(note)
    teaching, at_us = acts.upto(1 if (acts.split > 0).any() else 3)
    waits.say(f"{len(teaching.items):,} acts of {len(acts.shoppers):,} shoppers on {len(acts.ids):,} items teach")
    teacher = networks(acts.texts, config, _derived(shop), waits)
    known = Known(acts.ids, acts.texts if any(acts.texts) else None, acts.facets, acts.shown_upto(1 if (acts.split > 0).any() else 3))
    found = fitted(teaching, at_us, known, config, teacher)
    how = judged(found, acts, "valid", waits) if (acts.split == 1).any() else None
    if how:  # what was chosen holds; the validation acts, which were known before every test act, teach what follows what
        more, when = acts.upto(2)
        found = renewed(found, more, when, teacher, acts.shown_upto(2))
    facts = {
        "data_version": acts.data_version,
        "subject": "events",
        "seconds": round(time.perf_counter() - begin, 1),
        "machine": machine(),
        "versions": versions(),
    }
    metrics = {NAME: how.plain()} if how else {}
    folder.put(out, lambda fresh: _fill(found, facts, metrics, fresh))
    return found, how


def _derived(shop: Path | Shop | None) -> Path | None:
    """Where vectors of a shop's texts are kept; None = plain files have no such place."""
    return None if shop is None else Path(shop.path if isinstance(shop, Shop) else shop) / "derived"


def _fill(found: Recommender, facts: Mapping[str, Any], metrics: Mapping[str, Any], fresh: Path) -> None:
    part = fresh / "parts" / NAME
    part.mkdir(parents=True)
    found.save(part)
    config = {"shoplm_bundle": bundle.FORMAT, "tasks": {}, "parts": [NAME], "facts": {NAME: dict(facts)}}
    (fresh / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False), "utf-8")
    (fresh / "metrics.json").write_text(json.dumps(metrics, indent=2, ensure_ascii=False), "utf-8")


def load(place: Path) -> Recommender:
    """The recommender of a bundle whose every file is there and unaltered.

    Raises:
        BundleError: no bundle, an altered one, or one without a recommender.
    """
    bundle.parts(place)
    if not (place / "parts" / NAME).is_dir():
        raise BundleError(f"{place}: holds no recommender; `shoplm train recommend --shop DIR --out {place}` writes one")
    return Recommender.load(place / "parts" / NAME)


def evaluate(
    place: Path, *, shop: Path | Shop | None = None, data: Path | None = None, mapping: Mapping[str, str] | None = None,
    split: str = "test", progress: Progress | None = None,
) -> Judged:  # fmt: skip
    """Judge a bundle's lists for what each shopper took last.

    Raises:
        DataError: another split is asked for, nobody has an act in it, or the bundle learnt from all acts.
    """
    if split != "test":
        raise DataError(f"--split {split}: expected test; all acts before it teach (validation stands in the bundle's metrics.json)")
    found = load(place)
    if not found.config.held_out:
        raise DataError(f"{place}: was trained with held_out=false, so its test acts taught it; train without that to judge it")
    with opened(shop, data, mapping=mapping) as origin:
        acts = acts_of(origin.view, found.config, cleaned=shop is not None)
    return judged(found, _in_codes(acts, found), split, progress)


def _in_codes(acts: Acts, found: Recommender) -> Acts:
    """The acts with the recommender's own codes.

    Raises:
        DataError: an item is unknown to it.
    """
    place = {name: at for at, name in enumerate(found.ids)}
    if any(name not in place for name in acts.ids):
        unknown = [name for name in acts.ids if name not in place]
        raise DataError(f"recommend: {len(unknown):,} items, such as `{unknown[0]}`, came after the training; train again")
    codes = np.array([place[name] for name in acts.ids], np.int32)
    return replace(acts, histories=replace(acts.histories, items=codes[acts.histories.items]), ids=found.ids, shown=None)
