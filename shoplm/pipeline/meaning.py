"""What products mean, as vectors: the default backbone reads each product's words once, and keeps what it read beside the shop.

The file knows of every vector which words it was made from, so that after an import only new and changed products are read. It
holds nothing about people and can always be made again; erasing a person removes it with all that is derived.
"""

from __future__ import annotations

import bisect
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shoplm.errors import BundleError
from shoplm.model.backbone import DEFAULT, Backbone, load_backbone
from shoplm.model.network import pool
from shoplm.model.precision import Precision, autocast, faster
from shoplm.pipeline.progress import Progress
from shoplm.retrieve.histories import Float32, Int64
from shoplm.retrieve.index import IndexConfig, VectorIndex
from shoplm.text.render import Prompt, Segment, clean
from shoplm.text.tokenize import TextConfig

LENGTH = 96
"""Tokens that are read of a product: its title, brand, kind and the beginning of its description."""
ROWS = 64
"""Products that are read at once."""
KEPT_EVERY = 4_096
"""Products after which what was read is kept, so that a stop loses a minute and not an hour."""
PROBED = 128
"""Products by which the time is estimated."""
QUICK_SECONDS = 10.0
"""Shorter work is not announced."""


@dataclass(frozen=True)
class Reader:
    """A backbone that turns words into vectors of length 1."""

    backbone: Backbone
    precision: Precision

    @property
    def mark(self) -> str:
        """What vectors of this reader may be compared with: those of the same weights, pooling and length."""
        return f"{self.backbone.digest} {self.backbone.pooling} {LENGTH}"

    def read(self, prompts: Sequence[Prompt], precision: Precision | None = None) -> Float32:
        """(n, D) float32."""
        if not prompts:
            return np.zeros((0, self.backbone.width), np.float32)
        tokens = self.backbone.tokenizer.encode(prompts)
        order = np.argsort(tokens.lengths, kind="stable")
        found = np.zeros((len(prompts), self.backbone.width), np.float32)
        with torch.inference_mode(), autocast(precision or self.precision):
            for begin in range(0, len(order), ROWS):
                rows = order[begin : begin + ROWS]
                batch = tokens.batch(rows, self.backbone.tokenizer.pad)
                ids, mask, part = (torch.from_numpy(one) for one in (batch.ids, batch.mask, batch.part))
                found[rows] = pool(self.backbone(ids, mask, part).float(), mask, self.backbone.pooling).numpy()
        length = np.linalg.norm(found, axis=1, keepdims=True)
        unit: Float32 = (found / np.where(length > 0, length, 1)).astype(np.float32)
        return unit

    def query(self, text: str) -> Float32:
        """(1, D) what a query means; in full precision, since one row gains nothing by less."""
        return self.read([Prompt((Segment(clean(text)),))], "fp32")


def reader(name: str = DEFAULT) -> Reader:
    """The backbone that reads products and queries.

    Raises:
        BackboneError: it is unknown, unreachable or altered.
    """
    return Reader(load_backbone(name, TextConfig(max_length=LENGTH)).eval(), faster())


def told(title: str, brand: str, kind: str, description: str) -> Prompt:
    """A product in words; what is said already is left out."""
    segments: list[Segment] = []
    for text, keep in ((title, 9), (brand, 8), (kind, 7), (description, 1)):
        if text and not any(text.casefold() in one.text.casefold() for one in segments):
            segments.append(Segment(text if text[-1] in ".!?。！？" else f"{text}.", keep))
    return Prompt(tuple(segments))


def refreshed(path: Path, ids: Sequence[str], prompts: Sequence[Prompt], by: Reader, waits: Progress) -> tuple[VectorIndex, int]:
    """The index of N products; only those whose words are new are read.

    Returns:
        The index, its ids in the order of ``ids``, and how many products were read.

    Raises:
        ResourceError: the place cannot be written.
    """
    digests = {
        name: hashlib.sha256(prompt.text().encode("utf-8", "surrogatepass")).hexdigest()[:24]
        for name, prompt in zip(ids, prompts, strict=True)
    }
    index, known = _kept(path, by)
    gone = [name for name in known if digests.get(name) != known[name]]
    if index is not None:
        index.delete(gone)
    fresh = [at for at, name in enumerate(ids) if known.get(name) != digests[name]]
    if index is not None and index.ids == list(ids):
        return index, 0
    known = {name: said for name, said in known.items() if digests.get(name) == said}
    if fresh:
        _announce(len(fresh), [prompts[at] for at in fresh[:: max(1, len(fresh) // PROBED)][:PROBED]], by, waits)
        with waits.bar("reading products", len(fresh)) as moved:
            for begin in range(0, len(fresh), KEPT_EVERY):
                part = fresh[begin : begin + KEPT_EVERY]
                names, vectors = [ids[at] for at in part], []
                for step in range(0, len(part), 8 * ROWS):
                    some = part[step : step + 8 * ROWS]
                    vectors.append(by.read([prompts[at] for at in some]))
                    moved(len(some))
                read = np.concatenate(vectors)
                if index is None:
                    index = VectorIndex.of(names, read, IndexConfig(slow_ms=1e9))
                else:
                    index.add(names, read)
                known |= {name: digests[name] for name in names}
                if begin + KEPT_EVERY < len(fresh):
                    index.save(path, {"reader": by.mark, "texts": known})
    empty = np.zeros((0, by.backbone.width), np.float32)
    done = VectorIndex.of(ids, index.vectors(ids) if index is not None else empty)
    done.save(path, {"reader": by.mark, "texts": known})
    return done, len(fresh)


def _kept(path: Path, by: Reader) -> tuple[VectorIndex | None, dict[str, str]]:
    """What an earlier search kept; nothing where it was read by another backbone or cannot be used."""
    try:
        index, facts = VectorIndex.load(path)
    except BundleError:
        return None, {}
    known: Any = facts.get("texts")
    if facts.get("reader") != by.mark or not isinstance(known, dict):
        return None, {}
    return index, dict(known)


def _announce(count: int, some: Sequence[Prompt], by: Reader, waits: Progress) -> None:
    """Say how long it will take, where that is long: measured on a few of them."""
    if count <= 2 * PROBED:
        return
    begin = time.perf_counter()
    by.read(some)
    seconds = (time.perf_counter() - begin) * count / len(some)
    if seconds > QUICK_SECONDS:
        waits.say(f"{count:,} products are read once, about {seconds / 60:.1f} minutes; without that: --words-only")


@dataclass(frozen=True)
class Close:
    """How close products are to one query: what ``apps.search`` asks."""

    index: VectorIndex
    asked: Float32
    ids: Sequence[str]
    """(N) of the index, ascending."""

    def nearest(self, k: int, open_: Any) -> tuple[Int64, Float32]:
        """The rows of at most ``k`` open products, the closest first, and their cosines."""
        near = self.index.nearest(self.asked, k, None if bool(open_.all()) else open_)[0]
        rows = [bisect.bisect_left(self.ids, name) for name, _ in near]
        return np.array(rows, np.int64), np.array([cosine for _, cosine in near], np.float32)

    def cosines(self, rows: Int64) -> Float32:
        """Those of some rows."""
        vectors = self.index.vectors([self.ids[at] for at in rows])
        found: Float32 = vectors @ self.asked[0]
        return found
