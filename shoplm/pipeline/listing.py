"""Ask ``recommend`` for lists: for a shopper, for everybody, around an item, to a basket, of what is trending, or in which order.

One shopper's list and its rows in the list of everybody are the same: the same acts are read, and the same candidates, rules
and places follow from them. A product that came after the training is known by its text at once.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shoplm.apps import rules as shop_rules
from shoplm.apps.arranging import Arranged, Limits, ListConfig, arrange
from shoplm.apps.recommend import SIMILAR, Recommender
from shoplm.apps.rules import NONE, Applied, Rules
from shoplm.data.shop import Shop
from shoplm.errors import DataError, did_you_mean
from shoplm.files import whole
from shoplm.pipeline import baskets, shelf
from shoplm.pipeline.acts import did, opened
from shoplm.pipeline.progress import Progress, Silent
from shoplm.pipeline.reasons import Reasons
from shoplm.pipeline.recommending import BATCH, load
from shoplm.pipeline.shelf import Shelf
from shoplm.retrieve.blend import Popularity, gather
from shoplm.retrieve.histories import Float32, Histories, Int32


@dataclass(frozen=True)
class Question:
    """Whose list, or which: exactly one of these is given, but that ``rerank`` stands beside ``user`` or ``items``."""

    user: str | None = None
    """A shopper's id."""
    items: tuple[str, ...] = ()
    """What someone has just acted on, oldest first."""
    similar: str | None = None
    """An item: what is like it."""
    bought_together: tuple[str, ...] = ()
    """A basket: what completes it."""
    trending: bool = False
    """What many act on lately."""
    rerank: tuple[str, ...] = ()
    """A list of items to put into order."""

    def checked(self) -> Question:
        """This question.

        Raises:
            DataError: none or several are asked at once.
        """
        given = [
            name for name, there in (
                ("--user", self.user is not None), ("--items", self.items), ("--similar", self.similar is not None),
                ("--bought-together", self.bought_together), ("--trending", self.trending),
            ) if there
        ]  # fmt: skip
        if not given:
            raise DataError("recommend: give either --user ID or --items ID,…, or ask with --similar, --bought-together or --trending")
        if len(given) > 1:
            raise DataError(
                f"recommend: {' and '.join(given)} ask for different lists; give either --user ID or --items ID,… or another, one of them"
            )
        if self.rerank and given[0] not in ("--user", "--items"):
            raise DataError(f"--rerank: orders items for someone; give it beside --user or --items, not {given[0]}")
        repeated = [name for name in self.rerank if self.rerank.count(name) > 1]
        if repeated:
            raise DataError(f"--rerank: `{repeated[0]}` stands there twice; name each item once")
        return self


@dataclass(frozen=True)
class Pick:
    """One item of a list."""

    item_id: str
    title: str
    score: float
    source: str
    """What speaks most for it: a source of the recommender, or ``pinned``, ``trending``, ``bought_together``, ``nothing``."""
    because: str
    """The reason in words."""
    shares: Mapping[str, float]
    """What part of what is said for it each source has."""
    propensity: float
    """The probability that it stands here given what stands before it."""
    how: str
    """``best``, ``explored`` or ``pinned``."""

    def plain(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        return {
            "item_id": self.item_id, "title": self.title, "score": round(self.score, 4), "source": self.source, "because": self.because,
            "sources": dict(self.shares), "propensity": round(self.propensity, 6), "chosen": self.how,
        }  # fmt: skip


@dataclass(frozen=True)
class Listed:
    """A list, best first."""

    picks: tuple[Pick, ...]
    notes: tuple[str, ...]
    """What could not be taken into account, in words."""
    recommendation_id: str
    """A name for this answer that a later event can carry: the same question to the same shop has the same."""
    policy: str
    """What chose it, as an event's ``policy`` may say."""

    def plain(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        return {
            "recommendation_id": self.recommendation_id, "policy": self.policy, "items": [pick.plain() for pick in self.picks],
            "notes": list(self.notes),
        }  # fmt: skip


def recommend(
    bundle: str | Path | Recommender, shop: str | Path | Shop, *, user_id: str | None = None, rules: str | Path | None = None,
    now_us: int | None = None, **asked: Any,
) -> list[dict[str, Any]]:  # fmt: skip
    """A list for a shopper of a shop, or whatever else is asked: ``shoplm.recommend``.

    Args:
        bundle: a bundle that recommends.
        shop: what shoppers did, and what there is.
        user_id: a shopper.
        rules: a YAML file of the shop's rules.
        now_us: the moment of asking in UTC microseconds, for the age of items; None = now.
        asked: fields of ``Question`` (items, similar, bought_together, trending, rerank) and of ``ListConfig`` (k, offset,
            diversity, explore, seed).

    Returns:
        For each item, best first, its id, title, score, source, the reason in words, what each source's share of it is, and the
        propensity of its place.

    Raises:
        DataError: nothing or several things are asked for, or an item is unknown.
        ConfigError: an option is unknown or out of range, or the rules are none.
        BundleError: the bundle cannot be used.
    """
    found = bundle if isinstance(bundle, Recommender) else load(Path(bundle))
    wanted = {name: asked.pop(name) for name in list(asked) if name in Question.__dataclass_fields__}
    for name in ("items", "bought_together", "rerank"):
        if name in wanted:
            wanted[name] = (wanted[name],) if isinstance(wanted[name], str) else tuple(wanted[name])
    if wanted.get("rerank") and "k" not in asked:
        asked["k"] = len(wanted["rerank"])
    question = Question(user=user_id, **wanted)
    place = Path(rules) if rules is not None else None
    now = time.time_ns() // 1000 if now_us is None else now_us
    return list(listed(found, shop, question, ListConfig.of(asked, "recommend"), rules=place, now_us=now).plain()["items"])


def listed(
    found: Recommender,
    shop: str | Path | Shop,
    question: Question,
    config: ListConfig,
    *,
    rules: Path | None = None,
    now_us: int | None = None,
) -> Listed:
    """A list as it is asked for. Products that the shop says are out of stock are left out.

    Args:
        found: what was learnt.
        shop: what shoppers did, and what there is.
        question: whose list, or which.
        config: what the list is like.
        rules: a YAML file of the shop's rules.
        now_us: the moment of asking, for the age of items; None = that of the shop's newest act.

    Raises:
        DataError: nothing or several things are asked for, or an item is unknown.
        ConfigError: the rules are none.
    """
    question = question.checked()
    with opened(shop if isinstance(shop, Shop) else Path(shop), None) as origin:
        view = origin.view
        read = shop_rules.read(rules, shelf.kinds(view)) if rules is not None else NONE
        stock = shelf.of(view, found, read.columns, now_us)
        strange = [item for item, _, _ in read.pins if item not in stock.place]
        notes = [*stock.notes, *(f"pin: no item `{item}` in the shop or the bundle; it stands nowhere" for item in strange)]
        asker = _asker(stock, view, question, notes)
        lists = _Lists(stock, read, config, shelf.shoppers(view, [asker.user], read.asks_who))
        if question.trending:
            counted = baskets.trending(view, stock.found.config.signs)
        elif question.bought_together:
            counted = baskets.together(view, question.bought_together)
        else:
            counted = None
    if question.similar is not None:
        alone = SIMILAR if SIMILAR in stock.found.sources else "together"
        lists = replace(lists, stock=replace(stock, found=replace(stock.found, weights=stock.found.weighing(alone))))
    if counted is not None and not len(counted.items):
        notes.append(f"{counted.lacking}; answered from the recommender")
        counted = None
    if counted is not None:
        arranged, applied = lists.of_counts(counted, asker.history)
    else:
        known = [stock.place[name] for name in question.rerank if name in stock.place]
        arranged, applied = lists.of(asker.history, 0, asker.user, known if question.rerank else None)
    picks = _picks(arranged, lists.stock, asker, question, counted)
    if question.rerank:
        unknown = [name for name in question.rerank if name not in stock.place]
        picks += [Pick(name, "", 0.0, "nothing", "nothing is known of it", {}, 1.0, "best") for name in unknown]
        picks = picks[config.offset : config.offset + config.k]
    else:
        notes += _short(picks, config, stock, applied, len(set(asker.history.items.tolist())))
    policy = "recommend" if not config.explore else f"recommend, explore {config.explore:g}, seed {config.seed}"
    return Listed(tuple(picks), tuple(notes), _named(view.data_version, question, config), policy)


def _picks(arranged: Arranged, stock: Shelf, asker: _Asker, question: Question, counted: baskets.Counted | None) -> list[Pick]:
    """The places of a list with their reasons; whose score is below 0, nothing speaks of."""
    places = list(zip(*(column.tolist() for column in (arranged.items, arranged.scores, arranged.propensities)), arranged.how, strict=True))
    said = [item for item, score, _, how in places if how != "pinned" and score > 0]
    reasons = Reasons(stock, asker.history, asker.names, question, counted, said)
    return [
        Pick(stock.found.ids[item], stock.title(item), max(score, 0.0), *reasons.of(item, how), propensity, how)
        for item, score, propensity, how in places
    ]


@dataclass(frozen=True)
class _Asker:
    """Who asks: its acts in codes, and what kind each was."""

    user: str | None
    history: Histories
    names: Sequence[str | None]


def _asker(stock: Shelf, view: Any, question: Question, notes: list[str]) -> _Asker:
    """What is known of who asks, items that are unknown said."""
    if question.user is not None:
        done = did(view, stock.found.config, user=question.user)
        if not len(done.items):
            notes.append(f"`{question.user}`: no acts are known that may be used; answered as a new shopper")
            return _Asker(question.user, Histories.of([[]]), [])
        history, known = done.coded(stock.place)
        strange = done.items.filter(pa.array(~known))
        if len(strange):
            notes.append(
                f"{len(strange):,} of the acts are on items, such as `{strange[0].as_py()}`, of which nothing is known, and are passed over"
            )
        return _Asker(question.user, history, done.names.filter(pa.array(known)).to_pylist())
    named = question.items or question.bought_together or ((question.similar,) if question.similar is not None else ())
    strange_names = [name for name in named if name not in stock.place]
    if strange_names and not question.items:
        raise DataError(
            f"recommend: no item `{strange_names[0]}` in the shop or the bundle; {did_you_mean(strange_names[0], stock.found.ids)}"
        )
    if strange_names:
        notes.append(
            f"{len(strange_names)} of the items acted on, such as `{strange_names[0]}`, came after the training without a text and are passed over"
        )
    codes = [stock.place[name] for name in named if name in stock.place]
    return _Asker(None, Histories.of([codes]), [None] * len(codes))


@dataclass(frozen=True)
class _Lists:
    """Makes the lists of shoppers: the same for one and for many."""

    stock: Shelf
    rules: Rules
    config: ListConfig
    shoppers: Mapping[str, Mapping[str, Any]]

    def of(self, history: Histories, row: int, user: str | None, rerank: Sequence[int] | None = None) -> tuple[Arranged, Applied]:
        """One list: for shopper ``row`` of some."""
        asked = history.take(np.array([row]))
        applied = self.applied(user, len(asked.items))
        barred = applied.barred | self.stock.gone
        if rerank is not None:
            barred = applied.barred | ~np.isin(np.arange(len(barred)), rerank)
        items, scores = self.candidates(asked, barred, applied, kept=rerank is not None)[0]
        if rerank is not None:  # what no source speaks of comes last, in the order in which it was given
            silent = np.array([item for item in rerank if item not in set(items.tolist()) and not barred[item]], np.int32)
            items = np.concatenate([items, silent])
            scores = np.concatenate([scores, -1 - np.arange(len(silent), dtype=np.float32)])
            whole_list = replace(self, config=self.config.model_copy(update={"k": max(1, len(rerank)), "offset": 0}))
            return whole_list.arranged(items, scores, applied, barred, user), applied
        return self.arranged(items, scores, applied, barred, user), applied

    def batch(self, history: Histories, users: Sequence[str]) -> list[Arranged]:
        """The lists of B shoppers; rules that look at the shopper are asked of each."""
        if self.rules.asks_who:
            return [self.of(history, row, user)[0] for row, user in enumerate(users)]
        applied = self.applied(None, 0)
        barred = applied.barred | self.stock.gone
        found = self.candidates(history, barred, applied, kept=False)
        return [self.arranged(items, scores, applied, barred, user) for (items, scores), user in zip(found, users, strict=True)]

    def of_counts(self, counted: baskets.Counted, history: Histories) -> tuple[Arranged, Applied]:
        """One list of items that were counted, without those in hand."""
        applied = self.applied(None, len(history.items))
        barred = applied.barred | self.stock.gone
        codes = np.array([self.stock.place.get(name, -1) for name in counted.items], np.int32)
        kept = (codes >= 0) & ~np.isin(codes, history.items)
        kept[kept] &= ~barred[codes[kept]]
        items, scores = codes[kept], counted.scores[kept]
        return self.arranged(items, (scores * applied.boost[items]).astype(np.float32), applied, barred, None), applied

    def applied(self, user: str | None, acts: int) -> Applied:
        """What the rules come to."""
        who = {**self.shoppers.get(user or "", {}), "acts": float(acts), "new": not acts}
        return self.rules.applied(self.stock.products, self.stock.place, who)

    def candidates(self, asked: Histories, barred: Any, applied: Applied, *, kept: bool) -> list[tuple[Int32, Float32]]:
        """Of each of B shoppers its candidates and their scores, all above 0."""
        found = self.stock.found
        removed = None if kept else self._unlisted(asked)
        most = max(found.config.most, self.config.k)
        named = found.completed(gather(_without(found, barred), asked, most, removed, barred))
        worth = (named.says @ found.weights * applied.boost[named.items]).astype(np.float32)
        lists = []
        for row in range(len(asked)):
            part = slice(int(named.start[row]), int(named.start[row + 1]))
            there = worth[part] > 0
            items, scores = named.items[part][there], worth[part][there]
            if len(items) < self.config.offset + self.config.k and removed is not None and asked.lengths[row] > POPULAR:
                one, gone = (
                    each.take(np.array([row])) for each in (asked, removed)
                )  # what is popular was all seen: all items are named now
                again = found.completed(gather(_without(found, barred, len(found.ids)), one, most, gone, barred))
                worth_again = (again.says @ found.weights * applied.boost[again.items]).astype(np.float32)
                items, scores = again.items[worth_again > 0], worth_again[worth_again > 0]
            lists.append((items, scores))
        return lists

    def _unlisted(self, asked: Histories) -> Histories:
        """The acts whose items are not listed again: those on what was given back, or all."""
        if self.stock.found.seen == "removed":
            return asked
        return asked.only(np.zeros(len(asked.items), bool) if asked.weight is None else asked.weight == 0)

    def arranged(self, items: Int32, scores: Float32, applied: Applied, barred: Any, user: str | None) -> Arranged:
        """The places of a page."""
        pins = {place: item for place, item in applied.pins.items() if not barred[item]}
        limits = Limits({name: self.stock.groups(name) for name in self.rules.caps}, self.rules.caps, pins)
        return arrange(
            items, scores, self.config, limits, _draws(self.config.seed, user), self.stock.alike if self.config.diversity else None
        )


POPULAR = 200
"""A shopper with more acts than this may have seen all that is popular."""


def _without(found: Recommender, barred: Any, most: int | None = None) -> dict[str, Any]:
    """The sources; what is popular names the most wanted of what is not barred."""
    return {
        name: replace(source, counts=np.where(barred, 0, source.counts), most=most or source.most)
        if isinstance(source, Popularity)
        else source
        for name, source in found.sources.items()
    }


def _draws(seed: int, user: str | None) -> np.random.Generator:
    """The same for the same shopper and seed, wherever it is asked for."""
    digest = hashlib.blake2b((user or "").encode(), digest_size=8, key=str(seed).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def _named(version: str, question: Question, config: ListConfig) -> str:
    told = json.dumps([version, question.__dict__, config.plain()], sort_keys=True, default=list)
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def _short(picks: Sequence[Pick], config: ListConfig, stock: Shelf, applied: Applied, seen: int) -> list[str]:
    """Why a list is shorter than it was asked to be."""
    if len(picks) >= config.k:
        return []
    named = [f"{rule} bars {count:,}" for rule, count in applied.bars.items() if count]
    found = [f"{len(picks)} of {config.k} asked: {int(stock.gone.sum()):,} items are out of stock, {seen:,} were seen before"]
    if named:
        found.append(f"of {len(stock.found.ids):,} items {', '.join(named)}")
    return found


def recommend_all(
    found: Recommender, shop: str | Path | Shop, out: Path, config: ListConfig | None = None, *, rules: Path | None = None,
    now_us: int | None = None, progress: Progress | None = None,
) -> int:  # fmt: skip
    """A list for every shopper who has acted, as Parquet: user_id, rank (from 1), item_id, score, propensity; in flat memory beside the acts.

    Returns:
        Shoppers listed.

    Raises:
        DataError: nobody has acted.
        ConfigError: the rules are none.
        ResourceError: the file cannot be written; then there is none.
    """
    config = config or ListConfig()
    with opened(shop if isinstance(shop, Shop) else Path(shop), None) as origin:
        view = origin.view
        read = shop_rules.read(rules, shelf.kinds(view)) if rules is not None else NONE
        stock, done = shelf.of(view, found, read.columns, now_us), did(view, found.config)
        if not len(done.items):
            raise DataError(
                f"events: no act on an item by a shopper; expected one of {', '.join(found.config.signs)} with item_id and user_id"
            )
        asked, users = done.coded(stock.place)[0], done.shoppers
        lists = _Lists(stock, read, config, shelf.shoppers(view, None, read.asks_who))
    ids = pa.array(stock.found.ids)
    with whole(out) as partial, pq.ParquetWriter(partial, _LISTS) as writer, (progress or Silent()).bar("listing", len(asked)) as moved:
        for begin in range(0, len(asked), BATCH):
            names = users.slice(begin, BATCH)
            made = lists.batch(asked.take(slice(begin, begin + len(names))), names.to_pylist())
            lengths = [len(one.items) for one in made]
            columns = [
                names.take(pa.array(np.repeat(np.arange(len(made)), lengths))),
                pa.array(np.concatenate([np.arange(length) for length in lengths]) + 1 + config.offset),
                ids.take(pa.array(np.concatenate([one.items for one in made]))),
                pa.array(np.concatenate([one.scores for one in made])),
                pa.array(np.concatenate([one.propensities for one in made])),
            ]
            writer.write_table(pa.table(dict(zip(_LISTS.names, columns, strict=True))).cast(_LISTS))
            moved(len(names))
    return len(asked)


_LISTS = pa.schema(
    [("user_id", pa.string()), ("rank", pa.int32()), ("item_id", pa.string()), ("score", pa.float32()), ("propensity", pa.float32())]
)
