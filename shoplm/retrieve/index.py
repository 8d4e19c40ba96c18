"""Vectors in, nearest ids out: every vector compared, until that is too slow on this machine, then a graph that is held to it.

How long comparing all takes is measured when the index is made, in CPU time. Where it takes longer than ``slow_ms``, a graph (HNSW,
Malkov & Yashunin, 2018; ``usearch``) is built, and its answers for a sample are held against those of comparing all: the graph is searched
wider until it finds the share of them that ``recall`` asks for; if it never does, it is thrown away. ``how`` says what was chosen and why.

Vectors have length 1, likeness is their cosine. Of equal ones the earlier comes first. The graph is built by one thread, so the same
vectors make the same bytes; the choice is written in the file, so a file answers the same wherever it is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic

from shoplm.config import Config
from shoplm.errors import BundleError
from shoplm.retrieve import packed
from shoplm.retrieve.histories import Float32, Int64

KIND = "vector index 1"
BLOCK = 65_536
"""Vectors that are compared at once: 32 MB at 128 dimensions."""
EXPANSIONS = (64, 128, 256, 512, 1024)
"""How wide a graph is searched, tried in this order."""
AT = 10
"""Neighbours by which recall is measured."""


class IndexConfig(Config):
    """When comparing all gives way to a graph."""

    slow_ms: float = pydantic.Field(default=25.0, ge=0)
    """CPU milliseconds of one question from which a graph is built: about what the backbone takes to read a query."""
    recall: float = pydantic.Field(default=0.95, gt=0, le=1)
    """Share of the true ten nearest that a graph must find."""
    sample: int = pydantic.Field(default=200, ge=1)
    """Vectors by whose neighbours it is measured."""
    connectivity: int = pydantic.Field(default=16, ge=2, le=128)
    """Neighbours of a vector in the graph."""
    expansion_add: int = pydantic.Field(default=128, ge=1)
    """Candidates that are weighed when a vector enters the graph."""


class VectorIndex:
    """N vectors under ids, of which some may be gone.

    Make one with ``VectorIndex.of`` or ``VectorIndex.load``. Not for several threads while one of them adds or deletes.
    """

    def __init__(self, ids: list[str], vectors: Float32, alive: npt.NDArray[np.bool_], config: IndexConfig) -> None:
        self.config = config
        self.how = "every vector is compared"
        self.expansion: int | None = None
        self._ids, self._vectors, self._alive = ids, vectors, alive
        self._place = {name: at for at, name in enumerate(ids) if alive[at]}
        self._graph: Any = None

    @staticmethod
    def of(
        ids: Sequence[str], vectors: Float32, config: IndexConfig | None = None, cpu: Callable[[], float] = time.process_time
    ) -> VectorIndex:
        """An index of N vectors.

        Args:
            ids: N, each once.
            vectors: (N, D), of any length above 0; a vector of zeros is like nothing.
            config: settings.
            cpu: seconds of CPU time so far, for measuring.

        Raises:
            ValueError: shapes that do not fit, an id twice, or a number that is not finite.
        """
        if vectors.ndim != 2 or len(ids) != len(vectors) or len(set(ids)) != len(ids):
            raise ValueError(f"{len(ids)} ids ({len(set(ids))} different) for vectors of shape {vectors.shape}")
        found = VectorIndex(list(ids), _unit(vectors), np.ones(len(ids), bool), config or IndexConfig())
        found._choose(cpu)
        return found

    def __len__(self) -> int:
        return len(self._place)

    @property
    def dimensions(self) -> int:
        """D."""
        return int(self._vectors.shape[1])

    @property
    def ids(self) -> list[str]:
        """The ids that are there, in the order in which they came."""
        return [name for at, name in enumerate(self._ids) if self._alive[at]]

    def vectors(self, ids: Sequence[str]) -> Float32:
        """(n, D) the vectors of some ids; zeros for one that is not there."""
        found = np.zeros((len(ids), self.dimensions), np.float32)
        there = [(row, self._place[name]) for row, name in enumerate(ids) if name in self._place]
        if there:
            rows, places = np.array(there).T
            found[rows] = self._vectors[places]
        return found

    def nearest(self, asked: Float32, k: int, allowed: npt.NDArray[np.bool_] | None = None) -> list[list[tuple[str, float]]]:
        """The nearest ids of each of B vectors.

        Args:
            asked: (B, D).
            k: how many.
            allowed: (N) which of ``ids`` may be answered; None = all.

        Returns:
            For each at most k (id, cosine), the likest first; fewer where fewer are there.

        Raises:
            ValueError: ``asked`` is not (B, D), ``allowed`` not (N), or ``k`` is below 1.
        """
        if asked.ndim != 2 or asked.shape[1] != self.dimensions or k < 1:
            raise ValueError(f"asked for {k} of shape {asked.shape}, expected at least 1 of (B, {self.dimensions})")
        open_ = self._alive
        if allowed is not None:
            if allowed.shape != (len(self),):
                raise ValueError(f"allowed has shape {allowed.shape}, expected ({len(self)},)")
            open_ = self._alive.copy()
            open_[self._alive] = allowed
        places, cosines = self._found(_unit(asked), min(k, max(1, int(open_.sum()))), open_, every=allowed is not None)
        return [
            [(self._ids[at], float(cosine)) for at, cosine in zip(row, said, strict=True) if at >= 0]
            for row, said in zip(places.tolist(), cosines.tolist(), strict=True)
        ]

    def add(self, ids: Sequence[str], vectors: Float32) -> None:
        """Add vectors; one under an id that is there takes its place.

        Raises:
            ValueError: shapes that do not fit, an id twice, or a number that is not finite.
        """
        if vectors.shape != (len(ids), self.dimensions) or len(set(ids)) != len(ids):
            raise ValueError(f"{len(ids)} ids ({len(set(ids))} different) for vectors of shape {vectors.shape}; D is {self.dimensions}")
        fresh = _unit(vectors)
        self.delete(ids)
        begin = len(self._ids)
        self._ids = [*self._ids, *ids]
        self._vectors = np.concatenate([self._vectors, fresh])
        self._alive = np.concatenate([self._alive, np.ones(len(ids), bool)])
        self._place |= {name: begin + at for at, name in enumerate(ids)}
        if self._graph is not None and len(ids):
            self._graph = self._writable()
            self._graph.add(np.arange(begin, begin + len(ids), dtype=np.uint64), fresh, threads=1)

    def delete(self, ids: Sequence[str]) -> int:
        """Take vectors away; how many were there."""
        gone = [self._place.pop(name) for name in dict.fromkeys(ids) if name in self._place]
        if gone:
            self._alive = self._alive.copy()
            self._alive[gone] = False
            if self._graph is not None:
                self._graph = self._writable()
                self._graph.remove(np.array(gone, np.uint64))
        return len(gone)

    def save(self, path: Path, facts: dict[str, Any] | None = None) -> None:
        """Write one file, whole or not at all; what was deleted is not in it.

        Raises:
            ResourceError: the disk is full or the place cannot be written.
        """
        kept = self
        if not self._alive.all():
            kept = VectorIndex(self.ids, np.ascontiguousarray(self._vectors[self._alive]), np.ones(len(self), bool), self.config)
            kept.how = self.how
            if self._graph is not None:  # its places have moved
                kept._choose(time.process_time)
        said = {"settings": self.config.plain(), "how": kept.how, "expansion": kept.expansion, "facts": facts or {}}
        names = "\n".join(kept._ids).encode("utf-8", "surrogatepass")
        arrays: dict[str, npt.NDArray[Any]] = {"vectors": kept._vectors, "ids": np.frombuffer(names, np.uint8)}
        if kept._graph is not None:
            arrays["graph"] = np.frombuffer(kept._graph.save(), np.uint8)
        packed.write(path, KIND, said, arrays)

    @staticmethod
    def load(path: Path) -> tuple[VectorIndex, dict[str, Any]]:
        """What was saved, mapped into memory, and the facts that were saved with it.

        Raises:
            BundleError: the file is missing, cut short, altered or something else, or its graph needs ``usearch``.
        """
        facts, arrays = packed.read(path, KIND)
        try:
            text = arrays["ids"].tobytes().decode("utf-8", "surrogatepass")
            vectors = arrays["vectors"]
            ids = text.split("\n") if len(vectors) else []
            if vectors.ndim != 2 or vectors.dtype != np.float32 or len(ids) != len(vectors):
                raise ValueError("shape")
            found = VectorIndex(ids, vectors, np.ones(len(ids), bool), IndexConfig.of(facts["settings"]))
            found.how, found.expansion = str(facts["how"]), facts["expansion"]
            if "graph" in arrays:
                found._graph = _engine().restore(arrays["graph"].data, view=True)
                found._graph.expansion_search = int(facts["expansion"])
            return found, dict(facts["facts"])
        except ImportError:
            raise BundleError(f"{path}: holds a graph, and the package `usearch` is not installed; install it or remove the file") from None
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise BundleError(f"{path}: cannot be used ({type(error).__name__}); remove it and it is made again") from None

    def _choose(self, cpu: Callable[[], float]) -> None:
        """Measure how long comparing all takes; where that is too long, build a graph and hold it to the bound."""
        self._graph, self.expansion = None, None
        if len(self._ids) <= AT:
            return
        sample = np.linspace(0, len(self._ids) - 1, min(self.config.sample, len(self._ids))).astype(int)
        asked = np.ascontiguousarray(self._vectors[sample])
        took = []
        for row in asked[:5]:
            begin = cpu()
            self._every(row[None], AT, self._alive)
            took.append((cpu() - begin) * 1000)
        spent = min(took)
        if spent <= self.config.slow_ms:
            self.how = (
                f"every vector is compared: {spent:.2f} ms of CPU time for {len(self._ids):,}, a graph pays above {self.config.slow_ms:g}"
            )
            return
        try:
            graph = _engine()(
                ndim=self.dimensions,
                metric="ip",
                dtype="f32",
                connectivity=self.config.connectivity,
                expansion_add=self.config.expansion_add,
            )
        except ImportError:
            self.how = f"every vector is compared, {spent:.1f} ms of CPU time: the package `usearch`, which builds graphs, is not installed"
            return
        graph.add(np.arange(len(self._ids), dtype=np.uint64), self._vectors, threads=1)
        true, _ = self._every(asked, AT + 1, self._alive)
        for expansion in EXPANSIONS:
            graph.expansion_search = expansion
            met = graph.search(asked, AT + 1, threads=1).keys.astype(np.int64)
            reached = _recall(true, met, sample)
            if reached >= self.config.recall:
                self._graph, self.expansion = graph, expansion
                self.how = f"a graph, searched {expansion} wide: finds {reached:.1%} of the ten nearest; comparing all takes {spent:.1f} ms of CPU time"
                return
        self.how = (
            f"every vector is compared, {spent:.1f} ms of CPU time: a graph searched {EXPANSIONS[-1]} wide finds {reached:.1%} of the ten nearest, "
            f"below {self.config.recall:.1%}"
        )

    def _writable(self) -> Any:
        """The graph, copied where it lies in a mapped file."""
        return self._graph.copy()

    def _found(self, asked: Float32, k: int, open_: npt.NDArray[np.bool_], *, every: bool) -> tuple[Int64, Float32]:
        if self._graph is None or every or k > AT * 20:  # of a graph's answers a filter may leave none
            return self._every(asked, k, open_)
        places = np.full((len(asked), k), -1, np.int64)
        cosines = np.zeros((len(asked), k), np.float32)
        for row, vector in enumerate(asked):
            met = self._graph.search(vector, k, threads=1).keys.astype(np.int64)
            said = self._vectors[met] @ vector
            order = np.lexsort((met, -said))
            places[row, : len(met)], cosines[row, : len(met)] = met[order], said[order]
        return places, cosines

    def _every(self, asked: Float32, k: int, open_: npt.NDArray[np.bool_]) -> tuple[Int64, Float32]:
        """(B, k) places, -1 behind the last, and cosines, by comparing all."""
        places = np.full((len(asked), k), -1, np.int64)
        cosines = np.full((len(asked), k), -np.inf, np.float32)
        shut = None if open_.all() else ~open_
        for begin in range(0, len(self._vectors), BLOCK):
            said = asked @ self._vectors[begin : begin + BLOCK].T  # (B, D) (D, n) -> (B, n)
            if shut is not None:
                said[:, shut[begin : begin + BLOCK]] = -np.inf
            for row in range(len(asked)):
                places[row], cosines[row] = _better(places[row], cosines[row], said[row], begin, k)
        return places, np.where(places >= 0, cosines, 0.0).astype(np.float32)


def _better(places: Int64, cosines: Float32, said: Float32, begin: int, k: int) -> tuple[Int64, Float32]:
    """The best k of those so far and of one block's; of equal ones the earlier."""
    least = cosines[-1]
    if len(said) > k:
        least = max(least, np.partition(said, -k)[-k])
    at = np.flatnonzero((said >= least) & (said > -np.inf))
    every, names = np.concatenate([cosines, said[at]]), np.concatenate([places, at + begin])
    order = np.lexsort((np.where(names < 0, np.iinfo(np.int64).max, names), -every))[:k]
    return names[order], every[order]


def _recall(true: Int64, met: Int64, sample: npt.NDArray[np.int64]) -> float:
    """The share of the true neighbours that were met; a vector is no neighbour of itself."""
    found = wanted = 0
    for row, own in enumerate(sample.tolist()):
        near = [at for at in true[row].tolist() if at not in (own, -1)][:AT]
        found += len(set(near) & set(met[row].tolist()))
        wanted += len(near)
    return found / max(wanted, 1)


def _unit(vectors: npt.NDArray[Any]) -> Float32:
    """The same with length 1; a vector of zeros stays."""
    found = np.ascontiguousarray(vectors, np.float32)
    if not np.isfinite(found).all():
        raise ValueError("vectors: a number is not finite")
    largest = np.abs(found).max(1, initial=0, keepdims=True)
    scaled = found / np.where(largest > 0, largest, 1)  # so that no square overflows or vanishes
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    unit: Float32 = (scaled / np.where(length > 0, length, 1)).astype(np.float32)
    return unit


def _engine() -> Any:
    from usearch.index import Index

    return Index
