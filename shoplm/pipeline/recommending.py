"""train, evaluate and ask ``recommend``: from a shop's events, or a plain file of acts, to lists with reasons.

Each shopper's last act is the test, the one before it validation; a file's ``split`` column, where it has one, says so itself.
Ways of counting and weights come from the acts before validation; then the validation acts are counted, too. Lists are judged over all items, and whether seen items may be in them is always said.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shoplm.apps.recommend import NAME, Reason, RecommendConfig, Recommender, fitted
from shoplm.data.convert import text_in_sql
from shoplm.data.shop import Shop
from shoplm.data.view import View
from shoplm.errors import BundleError, DataError
from shoplm.evaluate.bootstrap import Estimate
from shoplm.evaluate.ranking import RankingJudge, RankingJudgement, difference
from shoplm.files import whole
from shoplm.model import bundle, folder
from shoplm.pipeline.acts import SPLITS, Acts, acts_of, opened
from shoplm.pipeline.progress import Progress, Silent
from shoplm.pipeline.teaching import networks
from shoplm.retrieve.blend import ranked
from shoplm.retrieve.histories import Histories
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
    judges = {name: RankingJudge(found.counts, found.config.seen, AT, ("cold item", "at most 3 acts")) for name in ("", *found.sources)}
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
    progress: Progress | None = None,
) -> tuple[Recommender, Judged | None]:  # fmt: skip
    """Learn from a shop or from plain files, judge on validation, write a bundle.

    Returns:
        What was learnt and how it did on validation; None where nobody has an act there.

    Raises:
        DataError: the data cannot be used.
        ResourceError: the bundle cannot be written.
    """
    waits, begin = progress or Silent(), time.perf_counter()
    with opened(shop, data, items) as view:
        acts = acts_of(view, config)
    teaching, at_us = acts.upto(1 if (acts.split > 0).any() else 3)
    waits.say(f"{len(teaching.items):,} acts of {len(acts.shoppers):,} shoppers on {len(acts.ids):,} items teach")
    teacher = networks(acts.texts, config, _derived(shop), waits)
    found = fitted(teaching, at_us, acts.ids, acts.texts if any(acts.texts) else None, config, teacher)
    how = judged(found, acts, "valid", waits) if (acts.split == 1).any() else None
    if how:  # what was chosen holds; the validation acts, which were known before every test act, teach what follows what
        known, when = acts.upto(2)
        found = found.on(known, when, teacher)
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
    place: Path, *, shop: Path | Shop | None = None, data: Path | None = None, split: str = "test", progress: Progress | None = None
) -> Judged:
    """Judge a bundle's lists for what each shopper took last.

    Raises:
        DataError: another split is asked for, nobody has an act in it, or the bundle learnt from all acts.
    """
    if split != "test":
        raise DataError(f"--split {split}: expected test; all acts before it teach (validation stands in the bundle's metrics.json)")
    found = load(place)
    if not found.config.held_out:
        raise DataError(f"{place}: was trained with held_out=false, so its test acts taught it; train without that to judge it")
    with opened(shop, data) as view:
        acts = acts_of(view, found.config)
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
    histories = Histories(codes[acts.histories.items], acts.histories.start, acts.histories.weight)
    return Acts(acts.shoppers, histories, acts.at_us, acts.split, found.ids, acts.texts, acts.data_version)


@dataclass(frozen=True)
class Pick:
    """One item of a list."""

    item_id: str
    title: str
    score: float
    reason: Reason
    because: str
    """The reason in words."""

    def plain(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        return {"item_id": self.item_id, "title": self.title, "score": round(self.score, 4), "source": self.reason.source, "because": self.because,
                "sources": dict(self.reason.shares)}  # fmt: skip


def recommend(
    bundle: str | Path | Recommender, shop: str | Path | Shop, *, user_id: str | None = None, items: Sequence[str] = (), k: int = 10
) -> list[dict[str, Any]]:
    """A list for a shopper of a shop, or for someone who just acted on ``items``: ``shoplm.recommend``.

    Returns:
        For each item, best first, its id, title, score, source, the reason in words, and what each source's share of it is.

    Raises:
        DataError: ``k`` is not positive, or neither a shopper nor items are given.
        BundleError: the bundle cannot be used.
    """
    found = bundle if isinstance(bundle, Recommender) else load(Path(bundle))
    picks, _ = listed(found, shop if isinstance(shop, Shop) else Path(shop), user=user_id, items=items, k=k)
    return [pick.plain() for pick in picks]


def listed(
    found: Recommender, shop: Path | Shop, *, user: str | None = None, items: Sequence[str] = (), k: int = 10
) -> tuple[list[Pick], list[str]]:
    """A list for a shopper of a shop, or for someone who just acted on ``items``, oldest first.

    Products that the shop says are out of stock are left out.

    Returns:
        The list, best first, and notes in words: what could not be taken into account.

    Raises:
        DataError: ``k`` is not positive, or neither a shopper nor items are given.
    """
    if k < 1:
        raise DataError(f"-k {k}: expected at least 1")
    if (user is None) == (not items):
        raise DataError("recommend: give either --user ID or --items ID,…")
    view = (shop if isinstance(shop, Shop) else Shop(Path(shop))).view()
    place = {name: at for at, name in enumerate(found.ids)}
    notes: list[str] = []
    done = list(items) if user is None else _done(view, user, found.config)
    if user is not None and not done:
        notes.append(f"`{user}`: no acts are known; answered as a new shopper")
    strange = [name for name in done if name not in place]
    if strange:
        notes.append(f"{len(strange)} of the items acted on, such as `{strange[0]}`, came after the training and are passed over")
    history = Histories.of([[place[name] for name in done if name in place]])
    products = _stock(view)
    barred = np.array([products.get(name, ("", False))[1] for name in found.ids], bool)
    lists, scores = found.lists(history, k, barred)
    picks = []
    best = [int(item) for item in lists[0] if item >= 0]
    for item, score, reason in zip(best, scores[0].tolist(), found.because(history, best), strict=False):
        about = None if reason.act is None else found.ids[int(history.items[reason.act])]
        named = products.get(about or "", ("", False))[0] or about
        picks.append(Pick(found.ids[item], products.get(found.ids[item], ("", False))[0], score, reason, _sentence(reason, named)))
    if len(picks) < k:
        notes.append(f"{len(picks)} of {k} asked: {int(barred.sum()):,} items are out of stock, {len(set(done)):,} were seen before")
    return picks, notes


def recommend_all(found: Recommender, shop: Path | Shop, out: Path, k: int = 10, progress: Progress | None = None) -> int:
    """A list for every shopper who has acted, as Parquet: user_id, rank (from 1), item_id, score; in flat memory beside the acts.

    Returns:
        Shoppers listed.

    Raises:
        DataError: ``k`` is not positive, or nobody has acted.
        ResourceError: the file cannot be written; then there is none.
    """
    if k < 1:
        raise DataError(f"-k {k}: expected at least 1")
    with opened(shop, None) as view:
        acts, products = acts_of(view, found.config), _stock(view)
    place = {name: at for at, name in enumerate(found.ids)}
    codes = np.array([place.get(name, -1) for name in acts.ids], np.int32)[acts.histories.items]
    asked = replace(acts.histories, items=codes).only(codes >= 0)
    barred, ids = np.array([products.get(name, ("", False))[1] for name in found.ids], bool), pa.array(found.ids)
    with whole(out) as partial, pq.ParquetWriter(partial, _LISTS) as writer, (progress or Silent()).bar("listing", len(asked)) as moved:
        for begin in range(0, len(asked), BATCH):
            part = slice(begin, min(begin + BATCH, len(asked)))
            items, scores = found.lists(asked.take(part), k, barred)
            row, rank = np.nonzero(items >= 0)
            columns = [
                acts.shoppers.take(pa.array(row + begin)),
                pa.array(rank + 1),
                ids.take(pa.array(items[row, rank])),
                pa.array(scores[row, rank]),
            ]
            writer.write_table(pa.table(dict(zip(_LISTS.names, columns, strict=True))).cast(_LISTS))
            moved(part.stop - begin)
    return len(asked)


_LISTS = pa.schema([("user_id", pa.string()), ("rank", pa.int32()), ("item_id", pa.string()), ("score", pa.float32())])


def _done(view: View, user: str, config: RecommendConfig) -> list[str]:
    """The items that a shopper acted on, oldest first."""
    named, who = ", ".join(map(text_in_sql, config.signs)), text_in_sql(user)
    rows = view.sql(
        f"""select item_id from events where (user_id = {who} or (user_id is null and user_pseudo_id = {who})) and item_id is not null
            and event_name in ({named}) order by event_time, event_seq, event_id"""
    )
    found = rows["item_id"].to_pylist()
    return [str(name) for at, name in enumerate(found) if not at or found[at - 1] != name][-config.last :]


def _stock(view: View) -> dict[str, tuple[str, bool]]:
    """Of each product its title, and whether it cannot be had."""
    if not view.has("products"):
        return {}
    rows = view.sql("select id, title, coalesce(availability = 'out_of_stock', false) as gone from products")
    return {name: (title or "", gone) for name, title, gone in zip(*(column.to_pylist() for column in rows.columns), strict=True)}


def _sentence(reason: Reason, about: str | None) -> str:
    """A reason in words, grounded in an act where the source speaks of acts."""
    if reason.source == "popular" or about is None:
        return "wanted by many lately"
    said = {
        "next": "often comes after", "together": "goes with", "similar": "is like", "sequence": "fits what was done, above all",
        "alike": "goes, by its words, with",
    }.get(reason.source, reason.source)  # fmt: skip
    return f"{said} {about}"
