"""recommend: from a shopper's acts to a list of items, each with the reason why it is there.

Sources name candidates: what often follows the last acts (``next``), what the same shoppers act on (``together``), what is worded
alike (``similar``), what is wanted lately (``popular``). Whoever can train networks adds what the order of all acts says
(``sequence``) and which texts go together (``alike``). Where items have brands, kinds or prices, a shopper's tastes in them count
(``tastes``), and where the shop logs its lists, what is clicked when it is looked at (``liked``). A blend weighs them; ``fitting``
learns how each counts and what it weighs.

No shopper is stored: a list follows from the acts that are handed in, so an act of a minute ago changes it.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pydantic
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy import sparse

from shoplm.config import Config
from shoplm.errors import BundleError, DataError
from shoplm.retrieve.blend import Candidates, Popularity, Source, gather, names, ranked
from shoplm.retrieve.following import Following
from shoplm.retrieve.histories import Float32, Histories, Int32, Int64
from shoplm.retrieve.neighbours import MemoryConfig, Neighbours, widened
from shoplm.retrieve.tastes import TasteConfig, Tastes

NAME = "recommend"
SIGNS: Mapping[str, float] = {
    "select_item": 0.3, "view_item": 0.3, "add_to_wishlist": 0.6, "add_to_cart": 0.7, "begin_checkout": 0.8, "purchase": 1.0,
}  # fmt: skip
"""How much an act says of what its shopper wants."""
DAY_US = 86_400_000_000
SIMILAR = "similar"
"""The source that counts nothing."""
VECTORS, FACET = "item vectors", "facet "
"""Names in a source's file."""


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
    seen: Literal["removed", "kept"] | None = None
    """Whether items that a shopper has acted on may be in the list; None = what finds more of what shoppers took next."""
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
    known: int | None = None
    """Items that were there at the training, the first of N; None = all."""

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
        return self.completed(gather(self.sources, asked, max(self.config.most, k), asked if self.seen == "removed" else None, barred))

    def completed(self, found: Candidates) -> Candidates:
        """The same candidates with something said of those that came after the training.

        Of a new item most sources can know nothing, which is no reason to be silent: each is taken to say of it what it says, for this
        shopper, of known items that are as alike (``similar``) to what was done.
        """
        places = list(self.sources)
        fresh = np.zeros(0, bool) if self.known is None else found.items >= self.known
        if not fresh.any() or SIMILAR not in places:
            return found
        by, shoppers, owner = 2 * places.index(SIMILAR), len(found.start) - 1, found.owner
        alike = found.says[:, by]
        counted = ~fresh & (alike > 0)
        total = np.bincount(owner[counted], alike[counted], shoppers)
        says = found.says.copy()
        for place, source in enumerate(self.sources.values()):
            if place != by // 2 and not isinstance(source, Popularity):
                for column in (2 * place, 2 * place + 1):
                    share = np.bincount(owner[counted], says[counted, column], shoppers) / np.maximum(total, 1e-9)
                    says[fresh, column] = np.minimum(share[owner[fresh]] * alike[fresh], 1)
        return replace(found, says=says)

    @property
    def seen(self) -> Literal["removed", "kept"]:
        """Whether items that a shopper has acted on may be in a list."""
        return self.config.seen or "removed"

    def weighing(self, alone: str | None = None) -> Float32:
        """(F) the blend's weights, or those by which the order of one source is taken."""
        if alone is None:
            return self.weights
        return np.array([name == f"{alone} score" for name in names(list(self.sources))], np.float32)

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
        return replace(self, ids=(*self.ids, *ids), counts=counts, sources=sources, known=known if self.known is None else self.known)

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
        if len(history.items) and isinstance(source, Neighbours | Tastes):
            act = int(source.because(history, item).argmax())
        elif isinstance(source, Following) and len(without[best]):
            act = int(source.reads(history)[int((without[best] @ source.vectors[item]).argmin())])
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
            elif isinstance(source, Tastes):
                liked = {} if source.liked is None else {"liked": source.liked}
                save_file(
                    {"counts": source.counts, **liked, **{f"{FACET}{key}": codes for key, codes in source.facets.items()}},
                    folder / f"{name}.safetensors",
                )
                kinds[name] = {"tastes": source.config.plain(), "memory": source.memory.plain()}
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
                if "tastes" in kind:
                    held = load_file(folder / f"{name}.safetensors")
                    facets = {key.removeprefix(FACET): codes for key, codes in held.items() if key.startswith(FACET)}
                    taste, memory = TasteConfig.of(kind["tastes"]), MemoryConfig.of(kind["memory"])
                    sources[name] = Tastes(facets, held["counts"], held.get("liked"), taste, memory)
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


def described(found: Recommender) -> list[str]:
    """What the weights are, one line each, the largest first."""
    pairs = sorted(zip(names(list(found.sources)), found.weights.tolist(), strict=True), key=lambda pair: -pair[1])
    return [f"{name}: {weight:.2f}" for name, weight in pairs]
