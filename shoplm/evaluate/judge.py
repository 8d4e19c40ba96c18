"""The judge: chunks of answers in, numbers with intervals out, in flat memory.

Every metric comes with a 95 % interval (paired between two models judged on the same rows), for
all rows and for named slices. Feeding the same rows in other chunks changes nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shoplm.errors import RunError
from shoplm.evaluate.bootstrap import Bootstrap, Estimate, interval
from shoplm.evaluate.calibration import Reliability
from shoplm.evaluate.metrics import AUROC, ECE, Decision, Ranks
from shoplm.evaluate.slices import Slice, SliceSums
from shoplm.task import FloatArray, IntArray, Metric

__all__ = ["Estimate", "Judge", "Judgement", "difference"]


@dataclass(frozen=True)
class Judgement:
    """What was found about one model on one set of rows."""

    rows: int
    """All rows that were fed, also those whose targets are missing."""
    metrics: Mapping[str, Estimate]
    slices: Mapping[str, Mapping[str, Slice]]
    """slice name -> slice value, most rows first, "other" last -> what was found there."""
    confusion: Mapping[str, IntArray]
    """target -> (C, C) counts: truth by row, decision by column."""
    reliability: Mapping[str, Reliability]
    """target -> reliability diagram, for every target that has an ECE."""
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)
    replicates: Mapping[str, FloatArray] = field(default_factory=dict, repr=False)
    """metric -> (R,) what it would have been on resampled rows; for ``difference``."""
    seed: int = 0
    checksums: Mapping[str, int] = field(default_factory=dict)
    """target -> checksum of all its values, in order: equal only when the same rows were judged."""

    def pairs_with(self, other: Judgement) -> bool:
        """Whether both judged the same rows in the same order with the same seed, as far as the targets of both show."""
        shared = self.checksums.keys() & other.checksums.keys()
        same = all(self.checksums[target] == other.checksums[target] for target in shared)
        return bool(shared) and same and (self.seed, self.rows) == (other.seed, other.rows)

    def points(self) -> dict[str, float | None]:
        """The values alone, as ``baselines`` shows them; None where nothing could be counted."""
        return {name: estimate.plain()["value"] for name, estimate in self.metrics.items()}

    def plain(self) -> dict[str, Any]:
        """``rows``, ``metrics`` and ``slices`` as ``evaluate --json`` prints them; NaN becomes None."""
        slices = {
            name: {value: {"rows": found.rows, "metrics": plain(found.metrics)} for value, found in values.items()}
            for name, values in self.slices.items()
        }
        return {"rows": self.rows, "metrics": plain(self.metrics), "slices": slices}


def plain(metrics: Mapping[str, Estimate]) -> dict[str, dict[str, float | None]]:
    return {name: found.plain() for name, found in metrics.items()}


class Judge:
    """Takes chunks of targets and values; ``result`` may be asked at any moment."""

    def __init__(self, metrics: Mapping[str, Metric], classes: Mapping[str, int], seed: int = 0) -> None:
        """A judge of ``metrics``.

        Args:
            metrics: by the name that the result carries.
            classes: for each value of shape (M, C) its C; a value that is not named is a score (M,).
            seed: of the bootstrap; equal seeds make two judgements comparable by ``difference``.
        """
        self._metrics, self._seed = dict(metrics), seed
        self._reads = [pair for metric in metrics.values() for pair in metric.reads]
        self._classes = {value: classes.get(value, 1) for _, value in self._reads}
        sizes = [metric.size(self._classes[metric.value]) for metric in metrics.values()]
        ends = np.cumsum([0, *sizes])
        self._spans = {name: (int(ends[i]), int(ends[i + 1])) for i, name in enumerate(metrics)}
        self._sums = np.zeros(ends[-1])
        self._bootstrap = Bootstrap(int(ends[-1]), seed)
        self._ranks = {name: Ranks() for name, metric in metrics.items() if isinstance(metric, AUROC)}
        decisions: dict[str, Decision] = {}
        for metric in metrics.values():
            if isinstance(metric, Decision):
                decisions.setdefault(metric.target, metric)
        widths = {metric: max(self._classes[metric.value], 2) for metric in decisions.values()}
        self._confusion = {metric: np.zeros((width, width), np.int64) for metric, width in widths.items()}
        self._slices = SliceSums(int(ends[-1]))
        self._rows = 0
        self._checksums: dict[str, int] = dict.fromkeys(sorted({target for target, _ in self._reads}), 0)

    def update(
        self, targets: Mapping[str, Any], values: Mapping[str, FloatArray], slices: Mapping[str, Sequence[str | None] | Any] | None = None
    ) -> None:
        """The next M rows.

        Args:
            targets: (M,) each: int with -1 missing, or float with NaN missing.
            values: (M, C) probabilities or (M,) scores, as a task's ``Answer.values``.
            slices: (M,) strings each (a sequence or an Arrow array, None = "missing"); the same names in every chunk.

        Raises:
            RunError: a value is NaN or infinite.
            ValueError: lengths or widths do not fit.
        """
        rows = self._fitting(targets, values)
        parts = []
        for name, metric in self._metrics.items():
            cells, amounts = metric.counted(targets, values)
            parts.append((np.where(cells >= 0, cells + self._spans[name][0], -1), amounts))
            if isinstance(metric, AUROC):
                self._ranks[name].add(np.asarray(targets[metric.target]), metric.score(np.asarray(values[metric.value])))
        for metric, table in self._confusion.items():
            true, chosen, gone = metric.pair(targets[metric.target], np.asarray(values[metric.value]))
            table += np.bincount((true * len(table) + chosen)[~gone], minlength=table.size).reshape(table.shape)
        cells, amounts = np.concatenate([part[0] for part in parts], 1), np.concatenate([part[1] for part in parts], 1)
        counted = cells >= 0
        self._sums += np.bincount(cells[counted], amounts[counted], len(self._sums))
        self._bootstrap.add(cells, amounts)
        self._slices.add(self._rows, cells, amounts, slices or {})
        for name in self._checksums.keys() & targets.keys():
            kept = np.asarray(targets[name])
            kept = kept.astype("<f8" if kept.dtype.kind == "f" else "<i8")
            self._checksums[name] = zlib.crc32(np.ascontiguousarray(kept).tobytes(), self._checksums[name])
        self._rows += rows

    def _fitting(self, targets: Mapping[str, Any], values: Mapping[str, FloatArray]) -> int:
        there = [(target, value) for target, value in self._reads if target in targets and value in values]
        lengths = {f"target `{target}`": len(targets[target]) for target, _ in there}
        lengths |= {f"value `{value}`": len(values[value]) for _, value in there}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"targets and values of one chunk are equally long, seen {lengths}")
        for name, width in self._classes.items():
            if name not in values:
                continue
            value = np.asarray(values[name])
            if width > 1 and value.shape[1:] != (width,):
                raise ValueError(f"value `{name}`: expected {width} columns, seen shape {value.shape}")
            if not np.isfinite(value).all():
                row = self._rows + int(np.nonzero(~np.isfinite(value.reshape(len(value), -1)).all(1))[0][0])
                raise RunError(f"value `{name}`, row {row}: not a finite number, so nothing can be judged; the model has diverged")
        return next(iter(lengths.values()))

    def result(self) -> Judgement:
        """The judgement of all rows so far."""
        found, replicates = {}, {}
        for name, metric in self._metrics.items():
            binned = float(metric.read(self._sums[slice(*self._spans[name])]))
            value = self._ranks[name].auroc() if name in self._ranks else binned
            replicates[name] = metric.read(self._bootstrap.replicates(*self._spans[name])) + (value - binned)
            found[name] = interval(value, replicates[name])
        tables = {m.target: m.table(self._sums[slice(*self._spans[name])]) for name, m in self._metrics.items() if isinstance(m, ECE)}
        return Judgement(
            rows=self._rows,
            metrics=found,
            slices=self._slices.result(self._metrics, self._spans),
            confusion={metric.target: table.copy() for metric, table in self._confusion.items()},
            reliability=tables,
            higher_is_better={name: metric.higher_is_better for name, metric in self._metrics.items()},
            replicates=replicates,
            seed=self._seed,
            checksums=dict(self._checksums),
        )


def difference(ours: Judgement, theirs: Judgement) -> dict[str, Estimate]:
    """Ours minus theirs, for each metric of both, with a paired 95 % interval.

    An interval that holds 0 is a tie. Mind ``higher_is_better`` when reading the sign.

    Raises:
        ValueError: they were not judged on the same rows, in the same order, with the same seed.
    """
    if not ours.pairs_with(theirs):
        raise ValueError("only judgements of the same rows, order and seed can be paired; these differ")
    return {
        name: interval(ours.metrics[name].value - theirs.metrics[name].value, ours.replicates[name] - theirs.replicates[name])
        for name in ours.metrics
        if name in theirs.metrics
    }
