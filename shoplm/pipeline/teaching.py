"""The networks that ``recommend`` asks beside its counting sources: ``sequence`` and, where items have texts, ``alike``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shoplm.apps.recommend import RecommendConfig
from shoplm.pipeline import alike, following
from shoplm.pipeline.progress import Progress, Silent
from shoplm.pipeline.vectors import encoded
from shoplm.retrieve.blend import Source
from shoplm.retrieve.following import Following
from shoplm.retrieve.histories import Float32, Histories, Int32
from shoplm.retrieve.neighbours import MemoryConfig, Neighbours, from_vectors

SEQUENCE, ALIKE = "sequence", "alike"
MEMORY = MemoryConfig(recency=0.7)
"""How a history is read by ``alike``."""


@dataclass(frozen=True)
class Networks:
    """A ``Teacher``. Training is determined by the seed; one that is broken off begins anew."""

    items: int
    """N"""
    texts: Float32 | None
    """(N, T) vectors of the items' texts; None = nothing is known in words."""
    config: RecommendConfig
    progress: Progress

    def learn(self, histories: Histories, wanted: Int32) -> Mapping[str, Source]:
        """From what shoppers did before they took ``wanted``, which judges and teaches nothing."""
        found = following.learn(histories, wanted, self.items, self.texts, self.config, self.progress)
        if self.texts is None:
            return {SEQUENCE: found}
        vectors = alike.learn(histories, self.texts, self.config, self.progress)
        return {SEQUENCE: found, ALIKE: Neighbours(from_vectors(vectors), MEMORY)}

    def further(self, known: Mapping[str, Source], histories: Histories) -> Mapping[str, Source]:
        """From more acts: the sequence model learns on; which texts go together is known well enough."""
        before = known[SEQUENCE]
        assert isinstance(before, Following)
        return {**known, SEQUENCE: following.further(before, histories, self.texts, self.config, self.progress)}


def networks(
    texts: Sequence[str], config: RecommendConfig, folder: Path | None = None, progress: Progress | None = None
) -> Networks | None:
    """Whoever trains networks over N items; None where the settings want none.

    Args:
        texts: (N) each item in words, empty where nothing is known.
        config: settings.
        folder: where the vectors of texts are kept; None = they are not.
        progress: who waits.

    Raises:
        BackboneError: the backbone cannot be loaded.
        ResourceError: the disk is full or the place cannot be written.
    """
    if not config.sequence:
        return None
    waits = progress or Silent()
    vectors = encoded(texts, config.backbone, folder, waits) if any(texts) else None
    return Networks(len(texts), vectors, config, waits)
