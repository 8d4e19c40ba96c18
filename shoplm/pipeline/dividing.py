"""Which split each moment falls into, whatever parts the rows; what came of it, and which columns give answers away.

A division by text, shopper or item answers part by part; one by nearly equal texts, time, last act or source looks at
all rows first.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data import contract, leaks, near, split
from shoplm.data.leaks import Crossing
from shoplm.data.shop import View
from shoplm.data.split import Kind, SplitConfig, SplitReport, Words
from shoplm.task import Moments, Task, walked

_COLUMNS = {"shopper": "user_id", "leave_one_out": "user_id", "cold_items": "item_id", "source": "source"}


class Subject(Protocol):
    """Whatever has moments to part: a task, or a mere reading of a table."""

    @property
    def subject(self) -> str:
        """The table whose rows are parted."""
        ...

    def moments(self, view: View, settings: Any) -> Moments:
        """The moments in a chunk of that table."""
        ...


class Division:
    """The splits of one task's rows, handed out part by part in the order of ``view.parts``; one that counts can ``report``."""

    def __init__(self, config: SplitConfig, whole: Words | None, keys: pa.Array | None = None) -> None:
        self._config, self._whole, self._keys = config, whole, keys
        self._seen: list[tuple[Words, pa.Array, np.ndarray[Any, np.dtype[np.int64]]]] | None = None
        self._at = 0
        self._watched: _Watched | None = None

    def counting(self) -> Division:
        """The same, which keeps what it hands out, some 50 bytes a row, for its ``report``."""
        self._seen = []
        return self

    @staticmethod
    def of(view: View, task: Subject, settings: Any, config: SplitConfig, where: str | None, rows: int) -> Division:
        """The division that ``config`` asks for; where it names no kind, a task's own for rows that are put together from a shop.

        Raises:
            DataError: the rows cannot be parted so: no times, one source only.
        """
        if config.kind is None:
            own = task.parted_by if isinstance(task, Task) and not reads_texts(task, view) else "group"
            config = config.model_copy(update={"kind": own})
        if config.kind not in ("near", "time", "leave_one_out", "source"):
            return Division(config, None)
        keys, times, sketches = [pa.array([], pa.string())], [np.zeros(0, np.int64)], []
        table = walked(task, settings) if isinstance(task, Task) else task.subject
        for part in view.parts(table, rows=rows, where=where):
            moments = task.moments(part, settings)
            if len(moments):
                key = _key(config, part, moments)
                if config.kind == "near":
                    sketches.append(near.sketch(key.to_pylist()))
                    key = _digests(key)
                keys.append(key)
                times.append(_times(moments))
        key, at_us = pa.concat_arrays(keys), np.concatenate(times)
        if not len(at_us):
            return Division(config, None)
        if config.kind == "near":
            key = _first_of(key, near.groups(sketches))
            return Division(config, split.assign(None, key, config.split_seed, config.valid, config.test), key)
        if config.kind == "time":
            return Division(config, split.by_time(at_us, config.valid, config.test))
        if config.kind == "source":
            return Division(config, split.by_source(key, config.split_seed, config.held_out, config.valid))
        return Division(config, split.leave_one_out(key, at_us))

    @property
    def kind(self) -> Kind:
        """What parts the rows."""
        return self._config.kind or "group"

    def words(self, part: View, moments: Moments) -> Words:
        """(moments,) the splits of the next part."""
        key, config = _key(self._config, part, moments), self._config
        if self._whole is None:
            found = split.assign(moments.split, key, config.split_seed, config.valid, config.test)
        else:
            key = key if self._keys is None else self._keys.slice(self._at, len(moments))
            found = split.obeyed(moments.split, self._whole[self._at : self._at + len(moments)])
            self._at += len(moments)
        if self._seen is not None:
            # a copy of the times: a view of them would hold all that was read with them
            self._seen.append((found, pc.cast(_numbered(key), pa.string()), _times(moments).copy()))
        if self._watched is not None:
            self._watched.add(part, moments, found)
        return found

    def watch(self) -> None:
        """From now on look for texts that nearly repeat across splits, so that nobody has to read them again for that."""
        self._watched = _Watched()

    def repeats(self, table: str) -> Repeats:
        """What was found since ``watch``; nothing without it. Its time and memory grow with the texts, not with their pairs."""
        return Repeats(table, 0, Crossing(), ()) if self._watched is None else self._watched.found(table)

    def report(self) -> SplitReport:
        """Counts and leak check of all that was handed out since it counts."""
        assert self._seen is not None, "only a division that counts can report"
        words = np.concatenate([one for one, _, _ in self._seen] or [np.array([], "<U5")])
        keys = pa.concat_arrays([key for _, key, _ in self._seen] or [pa.array([], pa.string())])
        return SplitReport.of(words, keys, self.kind, np.concatenate([at for _, _, at in self._seen] or [np.zeros(0, np.int64)]))


def _times(moments: Moments) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.asarray(moments.at_us, np.int64)


def _numbered(key: pa.Array) -> pa.Array:
    """64 bits of each key, so that a million long texts need not be kept."""
    return pa.array([None if word is None else hash(word) for word in key.to_pylist()], pa.int64())


def _digests(texts: pa.Array) -> pa.Array:
    """128 bits of each text, the same in every process."""
    return pa.array(
        [None if text is None else hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in texts.to_pylist()], pa.string()
    )


def _first_of(digests: pa.Array, group: near.Groups) -> pa.Array:
    """For each row the least digest of its group: a group's key, whatever the order of its rows."""
    least = pa.table({"group": group, "key": digests}).group_by("group").aggregate([("key", "min")])
    places = pc.index_in(pa.array(group), value_set=least["group"].combine_chunks())
    return least["key_min"].take(places).combine_chunks()


def _key(config: SplitConfig, part: View, moments: Moments) -> pa.Array:
    """What may not stand on two sides; a row of nobody is a key of its own."""
    name, rows = _COLUMNS.get(config.kind or "group"), moments.subject(part)
    if name is None or name not in rows.schema.names:
        found = moments.group
    else:
        found = (
            pc.coalesce(rows[name], rows["_id"]).take(moments.row)
            if config.kind in ("shopper", "cold_items")
            else rows[name].take(moments.row)
        )
    whole = found.cast(pa.string())
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole


TEXTS = 200_000
"""Texts of a table that are compared; some ten seconds."""
REPEATED = 0.01
"""Share of the rows that steer or judge from which their figures flatter."""


@dataclass(frozen=True)
class Repeats:
    """Texts of one table that stand, nearly the same, in more than one split.

    Attributes:
        table: the table.
        texts: how many were compared.
        found: what crosses.
        examples: pairs of row numbers, from 1 in the order in which the table is read: a text is never shown.
    """

    table: str
    texts: int
    found: Crossing
    examples: tuple[tuple[int, int], ...]

    FIX: ClassVar = "split.kind=near keeps them on one side; where a `split` column parts them, correct it"

    @property
    def many(self) -> bool:
        """Are they so many that what is judged looks better than it is?"""
        return self.found.judged > REPEATED * self.found.of

    def __bool__(self) -> bool:
        return self.found.judged > 0

    def __str__(self) -> str:
        pairs = ", ".join(f"{one:,} and {other:,}" for one, other in self.examples)
        said = f"{self.found.judged:,} of {self.found.of:,} rows that steer or judge nearly repeat a text of another split (rows {pairs})"
        return f"{said}: they may have been learnt by heart" + (f"; only the first {TEXTS:,} were compared" if self.texts == TEXTS else "")


def reads_texts(task: Task, view: View) -> bool:
    """Do the subject's own rows hold what is read? Else it is put together from other tables, and equal texts are no copies."""
    return bool(set(task.reads) & set(view.columns(task.subject)))


class _Watched:
    """Sketches of the first ``TEXTS`` texts, where each stands and in which split."""

    def __init__(self) -> None:
        self._sketches: list[near.Sketches] = []
        self._splits, self._numbers = [np.array([], "<U5")], [np.zeros(0, np.int64)]
        self._start, self.left = 1, TEXTS

    def add(self, part: View, moments: Moments, splits: Words) -> None:
        """The next part of the table; one without moments counts, too."""
        if self.left and len(moments):
            self._splits.append(splits[: self.left])
            self._sketches.append(near.sketch(moments.group.to_pylist()[: self.left]))
            self._numbers.append(np.asarray(moments.row, np.int64)[: self.left] + self._start)
            self.left -= len(self._splits[-1])
        self._start += part.table.num_rows

    def found(self, table: str) -> Repeats:
        """What crosses among them."""
        found, number = leaks.crossing(self._sketches, np.concatenate(self._splits)), np.concatenate(self._numbers)
        return Repeats(table, len(number), found, tuple((int(number[one]), int(number[other])) for one, other in found.examples))


def repeats(view: View, task: Task, settings: Any, config: SplitConfig, where: str | None) -> Repeats:
    """What crosses among the task's texts under ``config``, read for this alone; nothing where the rows hold no texts of their own."""
    if not reads_texts(task, view):
        return Repeats(task.subject, 0, Crossing(), ())
    division = Division.of(view, task, settings, config, where, LOOKED_AT)
    watched = division._watched = _Watched()
    for part in view.parts(walked(task, settings), rows=LOOKED_AT, where=where):
        division.words(part, task.moments(part, settings))
        if not watched.left:
            break
    return division.repeats(task.subject)


LOOKED_AT = 20_000
"""Rows of a table in which a leak is looked for, and which are in memory at once."""


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
    for part in view.parts(walked(task, settings), rows=LOOKED_AT, where=where):
        moments = task.moments(part, settings)
        rows = moments.subject(part).take(moments.row)
        for name, target in moments.targets.items():
            if pa.types.is_nested(target.type):
                continue  # places in a row's own text are no class that another column could stand for
            for leak in leaks.suspects(rows, target, name, table, own | set(moments.targets)):
                found.setdefault(leak.column, f"leak: {task.subject}: {leak}; do not use it to choose rows or as a feature")
        break
    return list(found.values())
