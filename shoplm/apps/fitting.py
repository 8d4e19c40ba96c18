"""How ``recommend`` learns: how each source counts, what a shopper's tastes are made of, and what the blend's weights are.

What steers is never among what is counted. Where the shop logs the lists that it showed, the last quarter of them teaches which of the
items *shown* are clicked, so that neither places nor the shop's own policy pass for liking; all else counts only acts before.
Where it logs none, each shopper's last act among those that teach is told from other candidates. Nobody's validation or test act
is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from shoplm.apps.recommend import DAY_US, SIMILAR, RecommendConfig, Recommender
from shoplm.errors import DataError
from shoplm.evaluate.ranking import KINDS, measured
from shoplm.retrieve import exposures
from shoplm.retrieve.blend import Popularity, Source, gather, learn, ranked
from shoplm.retrieve.exposures import Exposures
from shoplm.retrieve.histories import Float32, Histories, Int32, Int64
from shoplm.retrieve.neighbours import CountConfig, MemoryConfig, Neighbours, counted, damped, from_texts
from shoplm.retrieve.tastes import Tastes

ASKED = 10_000
"""Shoppers whose candidates the weights are learnt from, at most: about as many as ``blend.learn`` takes have a wanted one among them."""
JUDGED = 4_000
"""Shoppers that the sources' ways of counting are chosen on, at most."""
LATEST = 0.25
"""Share of the shown lists, the last, that teaches the weights."""
BLOCK = 2_000
"""Shown lists whose candidates are held at once."""
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
RECENCIES = (0.5, 0.7, 0.9)
"""Of the texts' source."""
POPULAR, LIKED, TASTES = "popular", "liked", "tastes"


class Teacher(Protocol):
    """Whoever trains networks, which this floor does not know, into sources."""

    def learn(self, histories: Histories, wanted: Int32) -> Mapping[str, Source]:
        """From what S shoppers did before they took ``wanted``, which may judge and teaches nothing."""
        ...

    def further(self, known: Mapping[str, Source], histories: Histories) -> Mapping[str, Source]:
        """From more acts, beginning with what ``learn`` or ``further`` gave."""
        ...


@dataclass(frozen=True)
class Known:
    """What is known of N items and of the lists that were shown."""

    ids: Sequence[str]
    """(N) all items, acted on or not."""
    texts: Sequence[str] | None = None
    """(N) what each is in words; None = nothing is known in words."""
    facets: Mapping[str, Int32] = field(default_factory=dict)
    """(N) of each facet the code of an item's value, -1 = none."""
    shown: Exposures | None = None
    """Lists that the S shoppers saw; None = none are logged."""


@dataclass(frozen=True)
class _Lesson:
    """What is counted, and the moments that steer, none of them among it."""

    counts: Histories
    at_us: Int64
    asked: Histories
    """(M) of shoppers"""
    wanted: Int32
    """(M) what each took next"""
    shown: Exposures | None
    """Lists that are counted."""
    choices: Exposures
    """L lists to choose from: the latest shown, or stand-ins."""
    before: Histories
    """(L)"""


def fitted(histories: Histories, at_us: Int64, known: Known, config: RecommendConfig, teacher: Teacher | None = None) -> Recommender:
    """Learn from S shoppers.

    Args:
        histories: their acts, oldest first, with weights.
        at_us: (A) when each act was.
        known: of the items and of what was shown.
        config: settings.
        teacher: trains networks as further sources; None = there are none.

    Raises:
        DataError: no shopper has two acts, so nothing follows anything.
    """
    items, near = len(known.ids), None if known.texts is None else from_texts(known.texts)
    lesson = _lesson(histories, at_us, known, config)
    pairs: Pairs = {}
    chosen = _chosen(lesson, items, near, config, pairs)
    inner: dict[str, Source] = {**_counting(lesson.counts, items, near, chosen, pairs)}
    liked = _liked(lesson.shown, items)
    inner |= _of_everybody(lesson.counts, lesson.at_us, items, liked, config)
    tastes = _tastes(lesson.counts, items, known.facets, liked)
    if tastes is not None:
        tastes = tastes.taught(lesson.choices, lesson.before)
        inner[TASTES] = tastes
    taught: Mapping[str, Source] = teacher.learn(lesson.asked, lesson.wanted) if teacher is not None else {}
    inner |= taught
    seen, weights = _weighed(lesson, inner, items, config)
    plain = {name: {"count": count.plain() if count else None, "memory": memory.plain()} for name, (count, memory) in chosen.items()}
    settled = config.model_copy(update={"seen": seen})
    found = Recommender(tuple(known.ids), histories.counts(items), inner, weights, settled, plain)
    return renewed(found, histories, at_us, teacher, known.shown)


def renewed(
    found: Recommender, histories: Histories, at_us: Int64, teacher: Teacher | None = None, shown: Exposures | None = None
) -> Recommender:
    """The same ways of counting, tastes and weights, over more acts.

    A network stays as it is, and reads the new acts when it is asked; with a ``teacher`` it learns from them, too.

    Args:
        found: what was learnt.
        histories: all acts of S shoppers by now.
        at_us: (A) when each was.
        teacher: trains networks.
        shown: all lists that they saw; None = what was known of them before holds.
    """
    items = len(found.ids)
    near = next((source.matrix for name, source in found.sources.items() if name == SIMILAR and isinstance(source, Neighbours)), None)
    chosen = {
        name: (CountConfig.of(said["count"]) if said["count"] else None, MemoryConfig.of(said["memory"]))
        for name, said in found.chosen.items()
    }
    liked, tastes = _liked(shown, items), found.sources.get(TASTES)
    fresh: dict[str, Source] = {
        **_counting(histories, items, near, chosen, {}),
        **_of_everybody(histories, at_us, items, liked, found.config),
    }
    if isinstance(tastes, Tastes):
        now = _tastes(histories, items, tastes.facets, liked)
        assert now is not None
        fresh[TASTES] = replace(now, config=tastes.config, memory=tastes.memory, liked=tastes.liked if now.liked is None else now.liked)
    networks = {name: source for name, source in found.sources.items() if name not in fresh and name != LIKED}
    if teacher is not None and networks:
        networks = dict(teacher.further(networks, histories))
    every = {**found.sources, **fresh, **networks}
    return replace(found, counts=histories.counts(items), sources={name: every[name] for name in found.sources})


Pairs = dict[tuple[int, float], sparse.csr_array]
"""What pairs of acts of one set of histories add up to, by window and decay."""
Chosen = Mapping[str, tuple[CountConfig | None, MemoryConfig]]


def _lesson(histories: Histories, at_us: Int64, known: Known, config: RecommendConfig) -> _Lesson:
    shown = known.shown
    if shown is not None:
        cut = float(np.quantile(shown.at_us, 1 - LATEST))
        early = at_us < cut
        counts = histories.only(early)
        rows = np.flatnonzero((counts.lengths > 0) & (counts.lengths < histories.lengths))
        latest = np.flatnonzero(shown.at_us >= cut)[-exposures.LEARNT :]
        choices = shown.take(latest)
        if len(rows) and choices.clicked.any():
            wanted = histories.items[histories.start[rows] + counts.lengths[rows]]
            before = choices.before(histories, at_us, config.last)
            return _Lesson(
                counts, at_us[early], counts.take(rows), wanted, shown.take(np.flatnonzero(shown.until_us < cut)), choices, before
            )
    short, wanted, rows = histories.without_last()
    if not len(rows):
        raise DataError("recommend: no shopper has two acts on items; give events of shoppers who come back")
    before_last = np.isin(histories.owner, rows)
    before_last[histories.start[1:][rows] - 1] = False
    some = np.linspace(0, len(short) - 1, min(len(short), exposures.LEARNT)).astype(int)
    stand_ins = exposures.drawn(wanted[some], short.counts(len(known.ids)), seed=config.seed)
    return _Lesson(short, at_us[before_last], short, wanted, None, stand_ins, short.take(some))


def _weighed(
    lesson: _Lesson, sources: Mapping[str, Source], items: int, config: RecommendConfig
) -> tuple[Literal["removed", "kept"], Float32]:
    """Whether seen items may be listed, and the weights of the blend."""
    some = np.linspace(0, len(lesson.asked) - 1, min(len(lesson.asked), ASKED)).astype(int)
    asked, wanted = lesson.asked.take(some), lesson.wanted[some]
    shown = _of_shown(lesson, sources, items, config) if lesson.shown is not None else None
    tried: list[tuple[float, int, Literal["removed", "kept"], Float32]] = []
    ways: tuple[Literal["removed", "kept"], ...] = ("removed", "kept") if config.seen is None else (config.seen,)
    for place, seen in enumerate(ways):
        candidates = gather(sources, asked, config.most, asked if seen == "removed" else None)
        weights = learn(candidates, wanted) if shown is None else shown
        lists, _ = ranked(candidates, weights, 10)
        tried.append((_ndcg_of(lists, wanted) if len(ways) > 1 else 0.0, -place, seen, weights))
    _, _, seen, weights = max(tried, key=lambda one: one[:2])
    return seen, weights


def _of_shown(lesson: _Lesson, sources: Mapping[str, Source], items: int, config: RecommendConfig) -> Float32:
    """(F) the weights that tell clicked items from others in the same lists."""
    says = []
    for begin in range(0, len(lesson.choices), BLOCK):
        rows = np.arange(begin, min(begin + BLOCK, len(lesson.choices)))
        says.append(exposures.said(gather(sources, lesson.before.take(rows), config.most), lesson.choices.take(rows), items))
    return exposures.learn_shown(np.concatenate(says), lesson.choices)


def _chosen(lesson: _Lesson, items: int, near: sparse.csr_array | None, config: RecommendConfig, pairs: Pairs) -> Chosen:
    """The best of ``CANDIDATES`` for each source, by its own lists' NDCG at 10 for what each shopper took next."""
    rows = np.linspace(0, len(lesson.asked) - 1, min(len(lesson.asked), JUDGED)).astype(int)
    asked, taken = lesson.asked.take(rows), lesson.wanted[rows]
    found: dict[str, tuple[CountConfig | None, MemoryConfig]] = {}
    for name, ways in CANDIDATES.items():
        scored = []
        for place, (count, memory) in enumerate(ways):
            memory = memory.model_copy(update={"last": config.last})
            source = Neighbours(_counted(lesson.counts, items, count, pairs), memory)
            scored.append((ndcg(source, asked, taken, config), -place, count, memory))
        best = max(scored, key=lambda one: one[:2])
        found[name] = best[2:]
    if near is not None and near.nnz:
        memories = [MemoryConfig(recency=recency, last=config.last) for recency in RECENCIES]
        tried = [(ndcg(Neighbours(near, memory), asked, taken, config), -place, memory) for place, memory in enumerate(memories)]
        found[SIMILAR] = (None, max(tried, key=lambda one: one[:2])[2])
    return found


def _counted(histories: Histories, items: int, count: CountConfig, known: Pairs) -> sparse.csr_array:
    """``neighbours.from_acts``, the pairs themselves counted once for all dampings of them."""
    key = (count.window, count.decay)
    if key not in known:
        known[key] = counted(histories, items, count.window, count.decay)
    pairs = known[key] if count.ordered else sparse.csr_array(known[key] + known[key].T)
    return damped(pairs, histories.counts(items), count, 400)


def _counting(histories: Histories, items: int, near: sparse.csr_array | None, chosen: Chosen, pairs: Pairs) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for name, (count, memory) in chosen.items():
        matrix = near if count is None else _counted(histories, items, count, pairs)
        assert matrix is not None
        found[name] = Neighbours(matrix, memory)
    return found


def _of_everybody(histories: Histories, at_us: Int64, items: int, liked: Float32 | None, config: RecommendConfig) -> dict[str, Source]:
    """What is wanted lately, and where lists are logged what is clicked when it is looked at."""
    lately = _lately(at_us, config)
    weight = lately if histories.weight is None else lately * histories.weight
    found: dict[str, Source] = {POPULAR: Popularity(np.bincount(histories.items, weight, items).astype(np.float32))}
    if liked is not None:
        found[LIKED] = Popularity(liked)
    return found


def _liked(shown: Exposures | None, items: int) -> Float32 | None:
    """(N) clicks for a look at each item; None where no lists are logged."""
    return None if shown is None else exposures.rates(shown, items).items.astype(np.float32)


def _tastes(histories: Histories, items: int, facets: Mapping[str, Int32], liked: Float32 | None) -> Tastes | None:
    if not facets:
        return None
    counts = np.bincount(histories.items, histories.weight, items).astype(np.float32)
    return Tastes(facets, counts, liked)


def ndcg(source: Source, asked: Histories, wanted: Int32, config: RecommendConfig) -> float:
    """NDCG at 10 of a source's own order for what each of S shoppers took next, ``wanted`` (S)."""
    found = gather({"one": source}, asked, 10, None if config.seen == "kept" else asked)
    items, _ = ranked(found, np.array([1, 0], np.float32), 10)
    return _ndcg_of(items, wanted)


def _ndcg_of(lists: npt.NDArray[np.int32], wanted: Int32) -> float:
    """NDCG at 10 of lists, one wanted item a shopper."""
    one = Histories(wanted, np.arange(len(wanted) + 1).astype(np.int64))
    return float(measured(lists, one, 10)[:, KINDS.index("ndcg")].mean())


def _lately(at_us: Int64, config: RecommendConfig) -> Float32:
    """(A) what an act counts for what is popular: half after each half-life before the newest act."""
    ago = (int(at_us.max(initial=0)) - at_us) / (config.half_life_days * DAY_US)
    found: Float32 = np.exp2(-np.minimum(ago, 60)).astype(np.float32)
    return found
