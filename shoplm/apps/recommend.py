"""recommend: from a shopper's acts to a list of items, each with the reason why it is there.

Sources name candidates: what often follows the last acts (``next``), what the same shoppers act on (``together``), what is worded
alike (``similar``), what is wanted lately (``popular``). Whoever can train networks adds what the order of all acts says
(``sequence``) and which texts go together (``alike``). A blend weighs them. How a source counts and what the weights are is
learnt from each shopper's last act among those that teach; nobody's validation or test act is looked at.

No shopper is stored: a list follows from the acts that are handed in, so an act of a minute ago changes it.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pydantic
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy import sparse

from shoplm.config import Config
from shoplm.errors import BundleError, DataError
from shoplm.evaluate.ranking import KINDS, measured
from shoplm.retrieve.blend import Candidates, Popularity, Source, gather, learn, names, ranked
from shoplm.retrieve.following import Following
from shoplm.retrieve.histories import Float32, Histories, Int32, Int64
from shoplm.retrieve.neighbours import CountConfig, MemoryConfig, Neighbours, counted, damped, from_texts, widened

NAME = "recommend"
SIGNS: Mapping[str, float] = {
    "select_item": 0.3, "view_item": 0.3, "add_to_wishlist": 0.6, "add_to_cart": 0.7, "begin_checkout": 0.8, "purchase": 1.0,
}  # fmt: skip
"""How much an act says of what its shopper wants."""
DAY_US = 86_400_000_000
ASKED = 10_000
"""Shoppers whose candidates the weights are learnt from, at most: about as many as ``blend.learn`` takes have a wanted one among them."""
JUDGED = 4_000
"""Shoppers that the sources' ways of counting are chosen on, at most."""
CANDIDATES: Mapping[str, tuple[tuple[CountConfig, MemoryConfig], ...]] = {
    "next": tuple(
        (CountConfig(ordered=True, window=window, decay=decay, common_to=rare), MemoryConfig(recency=recency))
        for window, decay in ((1, 1.0), (4, 0.5), (10, 0.8))
        for rare in (0.0, 0.25)
        for recency in (0.4, 0.7)
    ),
    "together": tuple(
        (CountConfig(ordered=False, window=window, decay=decay, common_to=rare), MemoryConfig(recency=recency))
        for window, decay in ((10, 0.8), (50, 0.95))
        for rare in (0.0, 0.25)
        for recency in (0.7, 0.9)
    ),
}
"""Ways of counting that are tried, of each source; the one whose lists alone have the best NDCG at 10 is taken."""
SIMILAR = "similar"
"""The source that counts nothing."""
VECTORS = "item vectors"
"""Their name in a network's file."""
RECENCIES = (0.5, 0.7, 0.9)
"""Of the texts' source."""


class RecommendConfig(Config):
    """What ``train recommend`` does."""

    signs: Mapping[str, pydantic.PositiveFloat] = SIGNS
    """Acts that count, and how much each says; all others are passed over."""
    last: int = pydantic.Field(default=50, ge=1)
    """Acts of a shopper that are read."""
    most: int = pydantic.Field(default=200, ge=1)
    """Candidates that each source names."""
    half_life_days: float = pydantic.Field(default=30.0, gt=0)
    """After how many days an act counts half for what is popular."""
    seen: Literal["removed", "kept"] = "removed"
    """Whether items that a shopper has acted on may be in the list."""
    sequence: bool = True
    """Train a sequence model and vectors of the items' texts, as sources beside those that count."""
    passes: int = pydantic.Field(default=20, ge=1)
    """Of the sequence model over all acts, at most; it stops where no pass is better any more."""
    further: float = pydantic.Field(default=0.25, gt=0)
    """Share of those passes that are made over all acts once the held-out ones are known, too."""
    width: int = pydantic.Field(default=64, ge=8, multiple_of=2)
    """Of the sequence model."""
    depth: int = pydantic.Field(default=2, ge=1)
    """Of the sequence model."""
    dropout: float = pydantic.Field(default=0.3, ge=0, lt=1)
    """Of the sequence model."""
    sequence_rate: float = pydantic.Field(default=4e-3, gt=0)
    """Highest learning rate of the sequence model."""
    backbone: str = "default"
    """Whose vectors of the items' texts are read."""
    seed: int = pydantic.Field(default=0, ge=0, lt=2**63)
    held_out: bool = True
    """Keep each shopper's last two acts for validation and test; without it all acts teach, and nothing can be judged."""


class Teacher(Protocol):
    """Whoever trains networks, which this floor does not know, into sources."""

    def learn(self, histories: Histories, wanted: Int32) -> Mapping[str, Source]:
        """From what S shoppers did before they took ``wanted``, which may judge and teaches nothing."""
        ...

    def further(self, known: Mapping[str, Source], histories: Histories) -> Mapping[str, Source]:
        """From more acts, beginning with what ``learn`` or ``further`` gave."""
        ...


@dataclass(frozen=True)
class Reason:
    """Why an item is in a list."""

    source: str
    """The source that says most for it."""
    share: float
    """Its part of what all sources say for it, in [0, 1]."""
    act: int | None
    """The place in the history of the act that says most, where the source speaks of acts."""
    shares: Mapping[str, float]
    """Of every source that says something for it."""


@dataclass(frozen=True)
class Among:
    """A source that knows only the first of N items: acts on others pass it by, and it names none of them."""

    source: Source
    known: int
    items: int

    def scores(self, asked: Histories) -> sparse.csr_array:
        """(B, N)"""
        found = self.source.scores(asked.only(asked.items < self.known))
        return sparse.csr_array((found.data, found.indices, found.indptr), shape=(len(asked), self.items))


@dataclass(frozen=True)
class Recommender:
    """What was learnt: N items, sources, and how they are weighed."""

    ids: tuple[str, ...]
    """(N) the items' ids."""
    counts: Int64
    """(N) acts on each among those that taught."""
    sources: Mapping[str, Source]
    weights: Float32
    """(F) as ``blend.names`` calls them."""
    config: RecommendConfig
    chosen: Mapping[str, Any]
    """How each source counts, in plain values."""

    def lists(
        self, asked: Histories, k: int = 10, barred: npt.NDArray[np.bool_] | None = None, alone: str | None = None
    ) -> tuple[Int32, Float32]:
        """The best items of each of B shoppers.

        Args:
            asked: their acts, oldest first.
            k: how many.
            barred: (N) items that are in no list.
            alone: the name of a source whose order is taken instead of the blend's.

        Returns:
            (B, k) codes, -1 behind the last, and scores: the larger the better, comparable within a list.
        """
        return ranked(self.named(asked, k, barred), self.weighing(alone), k)

    def named(self, asked: Histories, k: int, barred: npt.NDArray[np.bool_] | None = None) -> Candidates:
        """What all sources name for B shoppers, enough for lists of ``k`` by any of them."""
        return gather(self.sources, asked, max(self.config.most, k), asked if self.config.seen == "removed" else None, barred)

    def weighing(self, alone: str | None = None) -> Float32:
        """(F) the blend's weights, or those by which the order of one source is taken."""
        if alone is None:
            return self.weights
        return np.array([name == f"{alone} score" for name in names(list(self.sources))], np.float32)

    def on(self, histories: Histories, at_us: Int64, teacher: Teacher | None = None) -> Recommender:
        """The same ways of counting and weights, over more acts: (A) acts of S shoppers and their times.

        A network stays as it is, and reads the new acts when it is asked; with a ``teacher`` it learns from them, too.
        """
        items = len(self.ids)
        near = next((source.matrix for name, source in self.sources.items() if name == SIMILAR and isinstance(source, Neighbours)), None)
        chosen = {
            name: (CountConfig.of(said["count"]) if said["count"] else None, MemoryConfig.of(said["memory"]))
            for name, said in self.chosen.items()
        }
        sources = _sources(histories, _lately(at_us, self.config), items, near, chosen, {})
        taught = {name: source for name, source in self.sources.items() if name not in sources}
        if teacher is not None and taught:
            taught = dict(teacher.further(taught, histories))
        return replace(self, counts=histories.counts(items), sources={**sources, **taught})

    def with_items(self, ids: Sequence[str], texts: Sequence[str]) -> Recommender:
        """The same with M items that came after the training: known by their texts alone, to acts and to lists.

        Args:
            ids: (M) theirs.
            texts: (N + M) all items in words, the known ones first and in the order of ``ids`` here.
        """
        known, items = len(self.ids), len(texts)
        sources: dict[str, Source] = {}
        for name, source in self.sources.items():
            if name == SIMILAR and isinstance(source, Neighbours):
                sources[name] = replace(source, matrix=widened(source.matrix, texts))
            elif isinstance(source, Neighbours):
                start = np.append(source.matrix.indptr, np.full(items - known, source.matrix.indptr[-1]))
                sources[name] = replace(source, matrix=sparse.csr_array((source.matrix.data, source.matrix.indices, start), (items, items)))
            elif isinstance(source, Popularity):
                sources[name] = replace(source, counts=np.append(source.counts, np.zeros(items - known, np.float32)))
            else:
                sources[name] = Among(source, known, items)
        counts = np.append(self.counts, np.zeros(items - known, np.int64))
        return replace(self, ids=(*self.ids, *ids), counts=counts, sources=sources)

    def because(self, history: Histories, items: Sequence[int]) -> list[Reason]:
        """Why each of some items is in the list of ONE shopper."""
        found = gather(self.sources, history, len(self.ids))
        without = {name: source.without(history) for name, source in self.sources.items() if isinstance(source, Following)}
        return [self._reason(history, found, item, without) for item in items]

    def _reason(self, history: Histories, found: Candidates, item: int, without: Mapping[str, Float32]) -> Reason:
        at = np.flatnonzero(found.items == item)
        if not len(at):
            raise DataError(f"recommend: no source names the item `{self.ids[item]}` for this history")
        said = np.maximum(found.says[at[0]] * self.weights, 0).reshape(len(self.sources), -1).sum(1)
        shares = said / max(float(said.sum()), 1e-9)
        order = np.argsort(-shares, kind="stable")
        best = list(self.sources)[order[0]]
        source = self.sources[best]
        act = None
        if len(history.items) and isinstance(source, Neighbours):
            act = int(source.because(history, item).argmax())
        elif len(history.items) and isinstance(source, Following):
            act = int((without[best] @ source.vectors[item]).argmin())
        listed = {list(self.sources)[place]: round(float(shares[place]), 4) for place in order if shares[place] > 0}
        return Reason(best, float(shares[order[0]]), act, listed)

    def save(self, folder: Path) -> None:
        """Write it into an empty folder."""
        (folder / "items.json").write_text(json.dumps(self.ids, ensure_ascii=False), "utf-8")
        np.save(folder / "counts.npy", self.counts)
        kinds: dict[str, Any] = {}
        for name, source in self.sources.items():
            if isinstance(source, Neighbours):
                matrix = source.matrix
                np.savez(folder / f"{name}.npz", data=matrix.data, indices=matrix.indices, indptr=matrix.indptr)
                kinds[name] = {"neighbours": source.memory.plain()}
            elif isinstance(source, Popularity):
                np.savez(folder / f"{name}.npz", counts=source.counts)
                kinds[name] = {"popularity": {"most": source.most}}
            elif isinstance(source, Following):
                save_file({**source.weights, VECTORS: source.vectors}, folder / f"{name}.safetensors")
                kinds[name] = {"following": source.plain()}
        plain = {"settings": self.config.plain(), "weights": self.weights.tolist(), "sources": kinds, "chosen": dict(self.chosen)}
        (folder / "recommend.json").write_text(json.dumps(plain, indent=1, ensure_ascii=False), "utf-8")

    @staticmethod
    def load(folder: Path) -> Recommender:
        """Read what ``save`` wrote.

        Raises:
            BundleError: a file is missing or makes no sense.
        """
        try:
            plain = json.loads((folder / "recommend.json").read_text("utf-8"))
            ids = tuple(json.loads((folder / "items.json").read_text("utf-8")))
            sources: dict[str, Source] = {}
            for name, kind in plain["sources"].items():
                if "following" in kind:
                    weights = load_file(folder / f"{name}.safetensors")
                    sources[name] = Following.of(weights.pop(VECTORS), weights, kind["following"])
                    continue
                with open(folder / f"{name}.npz", "rb") as file, np.load(file, allow_pickle=False) as held:
                    if "neighbours" in kind:
                        matrix = sparse.csr_array((held["data"], held["indices"], held["indptr"]), shape=(len(ids), len(ids)))
                        sources[name] = Neighbours(matrix, MemoryConfig.of(kind["neighbours"]))
                    else:
                        sources[name] = Popularity(held["counts"], kind["popularity"]["most"])
            counts = np.load(folder / "counts.npy", allow_pickle=False)
            config = RecommendConfig.of(plain["settings"])
            return Recommender(ids, counts, sources, np.array(plain["weights"], np.float32), config, plain["chosen"])
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, SafetensorError) as error:
            raise BundleError(f"{folder}: not a recommender that this version reads ({error}); train it again") from None


def fitted(
    histories: Histories, at_us: Int64, ids: Sequence[str], texts: Sequence[str] | None, config: RecommendConfig,
    teacher: Teacher | None = None,
) -> Recommender:  # fmt: skip
    """Learn from S shoppers.

    Args:
        histories: their acts, oldest first, with weights.
        at_us: (A) when each act was.
        ids: (N) all items, acted on or not.
        texts: (N) what each is in words; None = nothing is known in words.
        config: settings.
        teacher: trains networks as further sources; None = there are none.

    Raises:
        DataError: no shopper has two acts, so nothing follows anything.
    """
    short, wanted, rows = histories.without_last()
    if not len(rows):
        raise DataError("recommend: no shopper has two acts on items; give events of shoppers who come back")
    items, near = len(ids), None if texts is None else from_texts(texts)
    pairs: Pairs = {}
    chosen = _chosen(short, wanted, items, near, config, pairs)
    lately = _lately(at_us, config)
    before_last = np.ones(len(histories.items), bool)
    before_last[histories.start[1:][rows] - 1] = False
    inner = _sources(short, lately[before_last & np.isin(histories.owner, rows)], items, near, chosen, pairs)
    taught: Mapping[str, Source] = teacher.learn(short, wanted) if teacher is not None else {}
    inner |= taught
    some = np.linspace(0, len(short) - 1, min(len(short), ASKED)).astype(int)
    asked = short.take(some)
    weights = learn(gather(inner, asked, config.most, asked if config.seen == "removed" else None), wanted[some])
    sources = _sources(histories, lately, items, near, chosen, {})
    if teacher is not None:
        sources |= teacher.further(taught, histories)
    plain = {name: {"count": count.plain() if count else None, "memory": memory.plain()} for name, (count, memory) in chosen.items()}
    return Recommender(tuple(ids), histories.counts(items), sources, weights, config, plain)


Pairs = dict[tuple[int, float], sparse.csr_array]
"""What pairs of acts of one set of histories add up to, by window and decay."""
Chosen = Mapping[str, tuple[CountConfig | None, MemoryConfig]]


def _chosen(short: Histories, wanted: Int32, items: int, near: sparse.csr_array | None, config: RecommendConfig, pairs: Pairs) -> Chosen:
    """The best of ``CANDIDATES`` for each source, by its own lists' NDCG at 10 for what each shopper took last."""
    rows = np.linspace(0, len(short) - 1, min(len(short), JUDGED)).astype(int)
    asked, taken = short.take(rows), wanted[rows]
    found: dict[str, tuple[CountConfig | None, MemoryConfig]] = {}
    for name, ways in CANDIDATES.items():
        scored = []
        for place, (count, memory) in enumerate(ways):
            memory = memory.model_copy(update={"last": config.last})
            source = Neighbours(_counted(short, items, count, pairs), memory)
            scored.append((_ndcg(source, asked, taken, config), -place, count, memory))
        best = max(scored, key=lambda one: one[:2])
        found[name] = best[2:]
    if near is not None and near.nnz:
        memories = [MemoryConfig(recency=recency, last=config.last) for recency in RECENCIES]
        tried = [(_ndcg(Neighbours(near, memory), asked, taken, config), -place, memory) for place, memory in enumerate(memories)]
        found[SIMILAR] = (None, max(tried, key=lambda one: one[:2])[2])
    return found


def _counted(histories: Histories, items: int, count: CountConfig, known: Pairs) -> sparse.csr_array:
    """``neighbours.from_acts``, the pairs themselves counted once for all dampings of them."""
    key = (count.window, count.decay)
    if key not in known:
        known[key] = counted(histories, items, count.window, count.decay)
    pairs = known[key] if count.ordered else sparse.csr_array(known[key] + known[key].T)
    return damped(pairs, histories.counts(items), count, 400)


def _sources(
    histories: Histories, lately: Float32, items: int, near: sparse.csr_array | None, chosen: Chosen, pairs: Pairs
) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for name, (count, memory) in chosen.items():
        matrix = near if count is None else _counted(histories, items, count, pairs)
        assert matrix is not None
        found[name] = Neighbours(matrix, memory)
    weight = lately if histories.weight is None else lately * histories.weight
    found["popular"] = Popularity(np.bincount(histories.items, weight, items).astype(np.float32))
    return found


def _ndcg(source: Source, asked: Histories, wanted: Int32, config: RecommendConfig) -> float:
    """NDCG at 10 of a source's own order, one wanted item a shopper."""
    found = gather({"one": source}, asked, 10, asked if config.seen == "removed" else None)
    items, _ = ranked(found, np.array([1, 0], np.float32), 10)
    one = Histories(wanted, np.arange(len(wanted) + 1).astype(np.int64))
    return float(measured(items, one, 10)[:, KINDS.index("ndcg")].mean())


def _lately(at_us: Int64, config: RecommendConfig) -> Float32:
    """(A) what an act counts for what is popular: half after each half-life before the newest act."""
    ago = (int(at_us.max(initial=0)) - at_us) / (config.half_life_days * DAY_US)
    found: Float32 = np.exp2(-np.minimum(ago, 60)).astype(np.float32)
    return found


def described(found: Recommender) -> list[str]:
    """What the weights are, one line each, the largest first."""
    pairs = sorted(zip(names(list(found.sources)), found.weights.tolist(), strict=True), key=lambda pair: -pair[1])
    return [f"{name}: {weight:.2f}" for name, weight in pairs]
