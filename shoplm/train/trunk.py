"""The frozen trunk's activations: computed once, kept on disk, read again in every epoch.

What always holds: a file is used only under the name made of everything that its numbers depend on
(weights, cut, tokens, precision), so a change of any of them misses it; a half-written file never
carries the name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shoplm.errors import ResourceError
from shoplm.model.network import Network
from shoplm.model.precision import Precision, autocast
from shoplm.text.batch import Batch
from shoplm.text.tokenize import Tokens
from shoplm.train.plan import cut as cut_batches

FILL_TOKENS = 8192
"""Padded tokens of one pass while filling: no gradient is kept, so batches may be large."""


class Trunk:
    """(B, L, D) hidden states at the cut for any rows of one ``Tokens`` store."""

    def __init__(self, network: Network, tokens: Tokens, precision: Precision, folder: Path) -> None:
        self.network = network
        self.tokens = tokens
        self.precision = precision
        self.pooled = network.cut >= network.backbone.depth and network.pools_only
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.starts: npt.NDArray[np.int64] = np.arange(len(tokens) + 1) if self.pooled else tokens.start
        kept = f"pooled {network.backbone.pooling}" if self.pooled else "hidden"
        name = hashlib.sha256(f"{network.backbone.digest} {network.cut} {kept} {precision} {tokens.digest}".encode()).hexdigest()
        self.path = folder / f"{name[:32]}.trunk"
        self._held: Tensor | None = None

    @property
    def bytes(self) -> int:
        """What the file takes."""
        return int(self.starts[-1]) * self.network.backbone.width * self.dtype.itemsize

    @property
    def ready(self) -> bool:
        """Whether the file is there, whole."""
        return self._held is not None or (self.path.is_file() and self.path.stat().st_size == self.bytes)

    def fill(self) -> Iterator[int]:
        """Compute what is missing; yields the rows done after each pass.

        Raises:
            ResourceError: the disk is full or the place cannot be written.
        """
        if self.ready or not len(self.tokens):
            return
        width = self.network.backbone.width
        partial = self.path.with_suffix(".partial")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self.path.parent).free < self.bytes + (64 << 20):
                raise OSError(28, "No space left on device")
            with open(partial, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, self.bytes)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise ResourceError(
                f"{self.path.parent}: {self.bytes >> 20} MiB for the trunk cache cannot be written ({error.strerror}); free space or set cache_mb=0"
            ) from None
        store = torch.from_file(str(partial), shared=True, size=int(self.starts[-1]) * width, dtype=self.dtype).view(-1, width)
        order = np.argsort(self.tokens.lengths, kind="stable").astype(np.int64)
        done = 0
        for rows in cut_batches(order, self.tokens.lengths, 1024, FILL_TOKENS):
            batch = self.tokens.batch(rows, self.network.backbone.tokenizer.pad)
            store[_places(self.starts, rows)] = self._compute(batch)
            done += len(rows)
            yield done
        del store
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, self.path)

    def hidden(self, batch: Batch) -> Tensor:
        """(B, L, D) of the batch's rows, padded with zeros; (B, 1, D) where pooled vectors are kept.

        Read from the file where it was filled, computed anew otherwise: the same numbers to 1e-4, not bit for
        bit, since a matrix product sums in an order that depends on the shape of its batch.
        """
        if not self.ready:
            return self.compute(batch)
        if self._held is None:
            size = int(self.starts[-1]) * self.network.backbone.width
            self._held = torch.from_file(str(self.path), shared=True, size=size, dtype=self.dtype).view(-1, self.network.backbone.width)
        found = self._held[_places(self.starts, batch.rows)]
        if self.pooled:
            return found[:, None]
        padded = torch.zeros(*batch.mask.shape, found.shape[-1], dtype=self.dtype)
        padded[torch.from_numpy(batch.mask.astype(np.bool_))] = found
        return padded

    def compute(self, batch: Batch) -> Tensor:
        """What ``hidden`` reads, from the ids, in the same precision."""
        with autocast(self.precision):
            return self.network.trunk(batch).to(self.dtype)

    def _compute(self, batch: Batch) -> Tensor:
        """(T, D): the real tokens' states end to end."""
        hidden = self.compute(batch)
        if self.pooled:
            return hidden[:, 0]
        return hidden[torch.from_numpy(batch.mask.astype(np.bool_))]


def _places(starts: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> Tensor:
    """Where the vectors of ``rows`` are, end to end."""
    sizes = starts[rows + 1] - starts[rows]
    ends = np.cumsum(sizes)
    return torch.from_numpy(np.repeat(starts[rows] - (ends - sizes), sizes) + np.arange(ends[-1] if len(ends) else 0))
