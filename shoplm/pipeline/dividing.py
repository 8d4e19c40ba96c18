"""Which split each moment falls into, whatever parts the rows; what came of it, and which columns give answers away.

A division by text, shopper or item answers part by part; one by time, last act or source looks at all rows first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data import contract, leaks, split
from shoplm.data.shop import View
from shoplm.data.split import SplitReport, Words
from shoplm.pipeline.config import SplitConfig
from shoplm.task import Moments, Task

_COLUMNS = {"shopper": "user_id", "leave_one_out": "user_id", "cold_items": "item_id", "source": "source"}


class Division:
    """The splits of one task's rows, handed out part by part in the order of ``view.parts``."""

    def __init__(self, config: SplitConfig, whole: Words | None) -> None:
        self._config, self._whole = config, whole
        self._seen: list[tuple[Words, pa.Array, np.ndarray[Any, np.dtype[np.int64]]]] = []
        self._at = 0

    @staticmethod
    def of(view: View, task: Task, settings: Any, config: SplitConfig, where: str | None, rows: int) -> Division:
        """The division that ``config`` asks for.

        Raises:
            DataError: the rows cannot be parted so: no times, one source only.
        """
        if config.kind not in ("time", "leave_one_out", "source"):
            return Division(config, None)
        keys, times = [pa.array([], pa.string())], [np.zeros(0, np.int64)]
        for part in view.parts(task.subject, rows=rows, where=where):
            moments = task.moments(part, settings)
            if len(moments):
                keys.append(_key(config, part, moments))
                times.append(_times(moments))
        key, at_us = pa.concat_arrays(keys), np.concatenate(times)
        if not len(at_us):
            return Division(config, None)
        if config.kind == "time":
            return Division(config, split.by_time(at_us, config.valid, config.test))
        if config.kind == "source":
            return Division(config, split.by_source(key, config.split_seed, config.held_out, config.valid))
        return Division(config, split.leave_one_out(key, at_us))

    def words(self, part: View, moments: Moments) -> Words:
        """(moments,) the splits of the next part."""
        key, config = _key(self._config, part, moments), self._config
        if self._whole is None:
            found = split.assign(moments.split, key, config.split_seed, config.valid, config.test)
        else:
            found = split.obeyed(moments.split, self._whole[self._at : self._at + len(moments)])
            self._at += len(moments)
        self._seen.append((found, pc.cast(_numbered(key), pa.string()), _times(moments)))
        return found

    def report(self) -> SplitReport:
        """Counts and leak check of all that was handed out."""
        words = np.concatenate([one for one, _, _ in self._seen] or [np.array([], "<U5")])
        keys = pa.concat_arrays([key for _, key, _ in self._seen] or [pa.array([], pa.string())])
        return SplitReport.of(words, keys, self._config.kind, np.concatenate([at for _, _, at in self._seen] or [np.zeros(0, np.int64)]))


def _times(moments: Moments) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.asarray(moments.at_us, np.int64)


def _numbered(key: pa.Array) -> pa.Array:
    """64 bits of each key, so that a million long texts need not be kept."""
    return pa.array([None if word is None else hash(word) for word in key.to_pylist()], pa.int64())


def _key(config: SplitConfig, part: View, moments: Moments) -> pa.Array:
    """What may not stand on two sides; a row of nobody is a key of its own."""
    name = _COLUMNS.get(config.kind)
    if name is None or name not in part.table.schema.names:
        found = moments.group
    else:
        found = (
            pc.coalesce(part.table[name], part.table["_id"]).take(moments.row)
            if config.kind in ("shopper", "cold_items")
            else part.table[name].take(moments.row)
        )
    whole = found.cast(pa.string())
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole


LOOKED_AT = 20_000
"""Rows of a table in which a leak is looked for."""


def leaking(view: View, task: Task, settings: Any, where: str | None) -> list[str]:
    """One line for each column of the subject table that gives a target away; the target's own source is not one.

    The task's words are all that its model reads, so such a column does no harm until somebody uses it: as a condition,
    as a feature, or in another task.
    """
    table = contract.TABLES[task.subject]
    own = {*task.fields.values(), *task.defaults, str(getattr(settings, "target", None)), "label", "rating", "intent", "is_oos"} - set(
        task.reads
    )
    found: dict[str, str] = {}
    for part in view.parts(task.subject, rows=LOOKED_AT, where=where):
        moments = task.moments(part, settings)
        rows = part.table.take(moments.row)
        for name, target in moments.targets.items():
            for leak in leaks.suspects(rows, target, name, table, own):
                found.setdefault(leak.column, f"leak: {task.subject}: {leak}; do not use it to choose rows or as a feature")
        break
    return list(found.values())
