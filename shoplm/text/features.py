"""Numbers, categories and lists of words beside the text: fitted on train rows, read as (B, F) float32.

A number is told by its place among the quantiles of the train rows, in a few steps that each rise from 0 to 1 (piecewise
linear encoding, Gorishniy et al., 2022), so that neither its unit nor an outlier matters. A category is one of the
words that train rows had. A list of words is told by how often each of them stands in it (TF-IDF). What is missing reads as the mean of the train rows, and says so in a column of its own where
train rows lacked it too. A feature that is the same in all train rows says nothing and is left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.config import Config
from shoplm.text.render import Prompt

STEPS = 8
"""Steps into which the range of a number is cut, each with as many train rows."""
WORDS = 64
"""Different words of a category that are told apart; rarer ones are "other"."""
FEWEST = 5
"""Train rows that a word needs to be told apart."""

BAG = 1024
"""Different words of a list that are told apart, those of most rows first."""
IN_ROWS = 3
"""Train rows in whose lists a word must stand."""
SPREAD = 2.0
"""Root mean square of a list's columns. Weights move by the learning rate whatever the size of what they weigh, so it says how soon a list
matters: on 704 households of groceries, cross-validated, 1,024 words as long together as 60 told more than as 20, and those more than as 4."""

Columns = Mapping[str, pa.Array]


class Number(Config):
    """How one number is read."""

    knots: tuple[float, ...]
    """Ascending, two at least: the train rows' quantiles, each once."""
    means: tuple[float, ...]
    """Mean height of each step over the train rows that have the number."""
    gaps: bool
    """Whether some train rows lacked it, so that lacking it is told."""


class Category(Config):
    """How one category is read."""

    words: tuple[str, ...]
    shares: tuple[float, ...]
    """Share of each word among the train rows that have the category."""
    gaps: bool


class Bag(Config):
    """How one list of words is read: weights of its words, as long together as ``SPREAD`` times the root of how many words there are."""

    words: tuple[str, ...]
    rarity: tuple[float, ...]
    """The weight of each word standing once: 1 + ln((1 + rows) / (1 + rows that have it)); standing n times it is 1 + ln n of it."""
    means: tuple[float, ...]
    """Mean weight of each word over the train rows that have a list."""


class Features(Config):
    """What train rows told about the features beside the text."""

    numbers: Mapping[str, Number] = {}
    categories: Mapping[str, Category] = {}
    bags: Mapping[str, Bag] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The features that are read, in the order of their columns."""
        return (*self.numbers, *self.categories, *self.bags)

    @property
    def width(self) -> int:
        """F; 0 where there are none."""
        steps = sum(len(one.means) + one.gaps for one in self.numbers.values())
        flags = sum(len(one.words) + one.gaps for one in self.categories.values())
        return steps + flags + sum(len(one.words) for one in self.bags.values())

    @staticmethod
    def fit(columns: Columns) -> Features:
        """What the train rows tell.

        Args:
            columns: (N,) numbers, strings or lists of strings for each feature, null = missing.
        """
        numbers: dict[str, Number] = {}
        categories: dict[str, Category] = {}
        bags: dict[str, Bag] = {}
        for name, column in columns.items():
            if pa.types.is_list(column.type):
                bag = _bag(column)
                if bag is not None:
                    bags[name] = bag
            elif pa.types.is_string(column.type):
                category = _category(column)
                if category is not None:
                    categories[name] = category
            else:
                number = _number(column)
                if number is not None:
                    numbers[name] = number
        return Features(numbers=numbers, categories=categories, bags=bags)

    def encode(self, columns: Columns, rows: int) -> npt.NDArray[np.float32]:
        """(rows, F): every train row's mean is about 0 in each column; a feature that ``columns`` lacks is missing in all rows."""
        blocks: list[npt.NDArray[Any]] = [_steps(one, _numbers(columns.get(name), rows)) for name, one in self.numbers.items()]
        blocks += [_flags(one, _strings(columns.get(name), rows)) for name, one in self.categories.items()]
        blocks += [_weights(one, columns.get(name), rows) for name, one in self.bags.items()]
        return np.concatenate(blocks, axis=1).astype(np.float32) if blocks else np.zeros((rows, 0), np.float32)


def gathered(prompts: Sequence[Prompt], names: Iterable[str]) -> dict[str, pa.Array]:
    """The named features of all prompts, columnar: float64, strings where one is a word, lists where one is a list; null = missing."""
    found = {}
    for name in names:
        values = [prompt.features.get(name) for prompt in prompts]
        if any(isinstance(value, tuple) for value in values):
            found[name] = pa.array([list(value) if isinstance(value, tuple) else None for value in values], pa.list_(pa.string()))
        elif any(isinstance(value, str) for value in values):
            found[name] = pa.array([None if value is None else str(value) for value in values], pa.string())
        else:
            numbers = [value for value in values if not isinstance(value, tuple)]
            found[name] = pa.array([None if value is None or value != value else float(value) for value in numbers], pa.float64())
    return found


def joined(parts: Sequence[Columns]) -> dict[str, pa.Array]:
    """The same columns one part after the other; where one part has words or lists, all are of that kind."""
    found = {}
    for name in parts[0] if parts else ():
        columns = [part[name] for part in parts]
        wordy = any(pa.types.is_string(column.type) for column in columns)
        lists = next((column.type for column in columns if pa.types.is_list(column.type)), None)
        if lists is not None:  # a part without any is a column of nulls
            columns = [column if column.type == lists else pa.nulls(len(column), lists) for column in columns]
        found[name] = pa.concat_arrays([column.cast(pa.string()) for column in columns] if wordy else columns)
    return found


def _number(column: pa.Array) -> Number | None:
    values = _numbers(column, len(column))
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    knots = np.unique(np.quantile(known, np.linspace(0, 1, STEPS + 1)))
    if len(knots) == 1 and known.min() < known.max():  # nearly all rows agree: what differs must still be seen
        knots = np.array([known.min(), known.max()])
    gaps = len(known) < len(values)
    if len(knots) == 1:
        if not gaps:
            return None
        knots = np.array([knots[0], knots[0] + 1.0])
    return Number(knots=tuple(knots.tolist()), means=tuple(_heights(knots, known).mean(0).tolist()), gaps=gaps)


def _category(column: pa.Array) -> Category | None:
    known = column.drop_null()
    gaps = len(known) < len(column)
    counts = {row["values"].as_py(): row["counts"].as_py() for row in pc.value_counts(known)}
    words = sorted((word for word in counts if counts[word] >= FEWEST), key=lambda word: (-counts[word], word))[:WORDS]
    if (len(counts) < 2 and not gaps) or not words:
        return None
    return Category(words=tuple(words), shares=tuple(counts[word] / len(known) for word in words), gaps=gaps)


def _bag(column: pa.Array) -> Bag | None:
    known = [words for words in column.to_pylist() if words]
    rows = Counter(word for words in known for word in set(words))
    chosen = sorted((word for word, count in rows.items() if count >= IN_ROWS), key=lambda word: (-rows[word], word))[:BAG]
    if not chosen:
        return None
    rarity = tuple(1 + math.log((1 + len(known)) / (1 + rows[word])) for word in chosen)
    plain = Bag(words=tuple(chosen), rarity=rarity, means=(0.0,) * len(chosen))
    means = _weights(plain, pa.array(known, pa.list_(pa.string())), len(known)).mean(0, dtype=np.float64)
    return plain.model_copy(update={"means": tuple(means.tolist())})


def _heights(knots: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(N, steps) how far each value has risen through each step, in [0, 1]."""
    found: npt.NDArray[np.float64] = (np.clip(values[:, None], knots[:-1], knots[1:]) - knots[:-1]) / np.diff(knots)
    return found


def _steps(one: Number, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    there = np.isfinite(values)
    heights = _heights(np.array(one.knots), np.where(there, values, 0.0)) - np.array(one.means)
    heights[~there] = 0.0
    return np.concatenate([heights, (~there)[:, None]], axis=1) if one.gaps else heights


def _flags(one: Category, values: pa.Array) -> npt.NDArray[np.float64]:
    places = np.asarray(pc.fill_null(pc.index_in(values, pa.array(one.words, pa.string()), skip_nulls=True), -1), np.int64)
    gone = np.asarray(pc.is_null(values), bool)
    flags = (places[:, None] == np.arange(len(one.words))) - np.array(one.shares)
    flags[gone] = 0.0
    return np.concatenate([flags, gone[:, None]], axis=1) if one.gaps else flags


def _weights(one: Bag, values: pa.Array | None, rows: int) -> npt.NDArray[np.float32]:
    """(rows, words); what the train rows' words do not hold, or an empty list, is missing: it reads as their mean."""
    found = np.zeros((rows, len(one.words)), np.float32)
    if values is None or not pa.types.is_list(values.type):
        return found
    flat, place = pc.list_flatten(values), np.asarray(pc.list_parent_indices(values), np.int64)
    word = np.asarray(pc.fill_null(pc.index_in(flat, pa.array(one.words, pa.string()), skip_nulls=True), -1), np.int64)
    np.add.at(found, (place[word >= 0], word[word >= 0]), 1)
    there = found > 0
    found[there] = 1 + np.log(found[there])
    found *= np.array(one.rarity, np.float32)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    np.divide(found * (SPREAD * math.sqrt(len(one.words))), length, out=found, where=length > 0)
    filled = length[:, 0] > 0
    found[filled] -= np.array(one.means, np.float32)
    return found


def _numbers(column: pa.Array | None, rows: int) -> npt.NDArray[np.float64]:
    """(rows,) NaN where missing or no number."""
    if column is None:
        return np.full(rows, np.nan)
    if pa.types.is_string(column.type):
        return np.array([_read(text) for text in column.to_pylist()], np.float64)
    return np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan), np.float64)


def _read(text: str | None) -> float:
    """A number that a file wrote as text; true and false are 1 and 0."""
    try:
        return float("nan") if text is None else float({"true": "1", "false": "0"}.get(text.strip().lower(), text))
    except ValueError:
        return float("nan")


def _strings(column: pa.Array | None, rows: int) -> pa.Array:
    return pa.nulls(rows, pa.string()) if column is None else column.cast(pa.string())
