"""Leaks by name: columns that give the answer away, and texts that stand on both sides of a split.

A column is suspect when it alone says the target nearly always on rows that it did not learn from, when it is a
copy or a recoding of the target, when it holds times after the row's own, or when it holds only since such a time (a
status of the day of the export beside the day of the order). Columns that the contract calls known
``later`` are no news: ``context.as_of`` never shows them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data import contract, near
from shoplm.data.context import known
from shoplm.data.order import micros

Codes = np.ndarray[Any, np.dtype[np.int64]]

FEWEST = 50
"""Fewer rows with a value prove nothing."""
TOO_WELL = 0.9
"""Share of the way from always saying the commonest to always being right, at the low end of its interval."""
BINS = 32
AFTER = 0.5
"""Share of a column's times after the row's own from which it counts as known later."""
_STAMPS = ("source", "ingested_at", "row_digest", "split")


@dataclass(frozen=True)
class Leak:
    """One suspect column.

    Attributes:
        column: its name.
        kind: a copy or recoding of the target, one that predicts it too well, or one that is known later.
        share: rows told rightly by it, or rows in which it is later, in [0, 1].
        by_chance: rows told rightly by always saying the commonest.
        rows: rows looked at.
        target: what it gives away.
        since: the column that says since when it holds, where that is what is later.
    """

    column: str
    kind: Literal["copy", "predicts", "later"]
    share: float
    by_chance: float
    rows: int
    target: str
    since: str = ""

    def __str__(self) -> str:
        if self.since:
            return f"`{self.column}` holds only since `{self.since}`, after the row's own time in {self.share:.0%} of {self.rows:,} rows: it was known only later"
        if self.kind == "later":
            return f"`{self.column}` holds times after the row's own in {self.share:.0%} of {self.rows:,} rows: it was known only later"
        what = f"is a copy or recoding of `{self.target}`" if self.kind == "copy" else f"alone says `{self.target}`"
        return f"`{self.column}` {what}: right in {self.share:.1%} of {self.rows:,} rows it did not learn from, {self.by_chance:.1%} by always saying the commonest"


def suspects(
    rows: pa.Table, target: pa.Array | pa.ChunkedArray, name: str, table: contract.Table, ignore: Collection[str] = ()
) -> list[Leak]:
    """The columns of ``rows`` that give ``target`` away or are known later than the row, strongest first.

    Args:
        rows: a sample of ``table``, attributes as columns; some ten thousand rows are plenty.
        target: (rows,) what is to be predicted, null = unknown.
        name: its name, for the message and to leave it out.
        table: the contract table.
        ignore: columns that are the target's own source.
    """
    answer = _coded(target)
    told = answer >= 0
    found = []
    for column in rows.schema.names:
        if column == name or column in ignore or column in _STAMPS or column.startswith("_") or known(table, column) == "later":
            continue
        values = rows[column]
        if pa.types.is_nested(values.type) or column == "attributes":
            continue
        late = _later(rows, column, table)
        if late is not None:
            since = table.updated if table.updated and column in table.by_name else ""
            found.append(Leak(column, "later", late[0], 0.0, late[1], name, since or ""))
        elif column not in table.key and (given := _predicts(_coded(values)[told], answer[told])) is not None:
            share, chance, recoded = given
            found.append(Leak(column, "copy" if recoded else "predicts", share, chance, int(told.sum()), name))
    return sorted(found, key=lambda leak: (-leak.share, leak.column))


def _later(rows: pa.Table, column: str, table: contract.Table) -> tuple[float, int] | None:
    """(share, rows) of the column's times that are after the row's own clock, where that is too large."""
    if table.clock is None or table.clock not in rows.schema.names or column in (table.clock, table.updated):
        return None
    values = rows[column]
    if column in table.by_name and known(table, column) == "updated_at" and table.updated in rows.schema.names:
        values = pc.if_else(pc.is_valid(values), rows[table.updated], pa.scalar(None, contract.TIME))  # as old as what it says
    elif column in table.by_name or not (pa.types.is_timestamp(values.type) or pa.types.is_string(values.type)):
        return None  # the contract's own times are judged by what it says of them
    kind = values.type
    if pa.types.is_string(values.type):
        sample = values.drop_null().slice(0, 20).to_pylist()
        if not sample or not all(len(word) >= 10 and word[:4].isdigit() and word[4] == "-" and word[7] == "-" for word in sample):
            return None
        try:
            values, kind = pc.cast(pc.utf8_slice_codeunits(values, 0, 10), pa.date32()).cast(pa.timestamp("us", tz="UTC")), pa.date32()
        except pa.ArrowInvalid:
            return None
    both = pc.and_(pc.is_valid(values), pc.is_valid(rows[table.clock]))
    count = int(pc.sum(both).as_py() or 0)
    if count < FEWEST:
        return None
    day_us = 86_400_000_000
    after = pc.greater(pc.subtract(micros(values), micros(rows[table.clock])), day_us if pa.types.is_date(kind) else 0)
    share = int(pc.sum(pc.fill_null(after, False)).as_py() or 0) / count
    return (share, count) if share >= AFTER else None


def _predicts(column: Codes, answer: Codes) -> tuple[float, float, bool] | None:
    """(share right, share right by chance, is it a recoding) where a column says the answer too well; else None.

    Half of the rows learn the commonest answer for each value, the other half judge it, and the other way round:
    an id that never comes twice says nothing then.
    """
    count = len(answer)
    if count < FEWEST:
        return None
    classes, values = int(answer.max()) + 1, column + 1
    commonest = np.bincount(answer, minlength=classes).max() / count
    if commonest == 1.0:
        return None
    fold = np.random.default_rng(0).permutation(count) % 2
    right = 0
    for side in (0, 1):
        here, there = fold != side, fold == side
        keys, counts = np.unique(values[here] * classes + answer[here], return_counts=True)
        order = np.lexsort((counts, keys // classes))
        last = np.append(np.diff(keys[order] // classes) != 0, True)
        best = np.full(int(values.max()) + 1, int(np.bincount(answer[here], minlength=classes).argmax()))
        best[keys[order][last] // classes] = keys[order][last] % classes
        right += int((best[values[there]] == answer[there]).sum())
    share = right / count
    low = share - 1.96 * np.sqrt(max(share * (1 - share), 1 / count) / count)
    if (low - commonest) / (1 - commonest) < TOO_WELL:
        return None
    pairs = np.unique(values * classes + answer, return_counts=True)
    often = pairs[0][pairs[1] > max(1, count // 1000)]
    one_to_one = len(np.unique(often // classes)) == len(often) == len(np.unique(often % classes))
    return share, float(commonest), bool(one_to_one)


def _coded(values: pa.Array | pa.ChunkedArray) -> Codes:
    """(rows,) whole numbers from 0, -1 for null: each value one number, many-valued numbers in equal parts."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    kind = whole.type
    if pa.types.is_decimal(kind) or pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_timestamp(kind):
        numbers = whole.cast(pa.int64()) if pa.types.is_timestamp(kind) else whole
        plain = np.asarray(pc.fill_null(numbers.cast(pa.float64(), safe=False), np.nan), float)
        there = np.isfinite(plain)
        if len(np.unique(plain[there])) > BINS:
            edges = np.unique(np.quantile(plain[there], np.linspace(0, 1, BINS + 1)[1:-1]))
            return np.where(there, np.searchsorted(edges, plain, side="right"), -1).astype(np.int64)
    return np.asarray(pc.fill_null(whole.dictionary_encode().indices, -1), np.int64)


@dataclass(frozen=True)
class Crossing:
    """Texts that stand, nearly the same, in more than one split.

    Attributes:
        rows: all such rows.
        judged: those of them outside train, of which the answer may have been learnt by heart.
        of: all rows outside train.
        examples: pairs of places, from 0, of a row and its repeat outside train; at most two.
    """

    rows: int = 0
    judged: int = 0
    of: int = 0
    examples: tuple[tuple[int, int], ...] = ()


def crossing(sketches: Iterable[near.Sketches], split: np.ndarray[Any, np.dtype[np.str_]]) -> Crossing:
    """What crosses, by the sketches of all texts in order and the (texts,) split of each; one sort of the texts a band."""
    group = near.groups(sketches)
    side = np.unique(split, return_inverse=True)[1]
    places = np.unique(group * 3 + side) // 3
    numbers, sides = np.unique(places, return_counts=True)
    crosses = np.isin(group, numbers[sides > 1])
    judged = crosses & (split != "train")
    _, first = np.unique(group[judged], return_index=True)
    examples = []
    for there in np.sort(np.flatnonzero(judged)[first])[:2].tolist():
        other = np.flatnonzero((group == group[there]) & (split != split[there]))
        taught = other[split[other] == "train"]
        examples.append((int((taught if len(taught) else other)[0]), there))
    return Crossing(int(crosses.sum()), int(judged.sum()), int((split != "train").sum()), tuple(examples))
