"""Conditions on items and shoppers in words: ``price < 50 and brand != "Acme"``, read into a tree and asked of whole columns.

    condition   either `and`, `or`, `not` and parentheses over the lines below
    compared    NAME < <= > >= VALUE for numbers; NAME == != VALUE for numbers, words, yes and no
    one of      NAME in ("a", "b"), NAME not in (1, 2)
    inside      NAME contains "word": within a text whatever its case, or one of a list of words
    absent      NAME is null, NAME is not null
    yes or no   a NAME that is true or false

A name is a column of the item, or ``shopper.NAME``. Nothing is ever executed: what is not in this grammar is refused at its place.
Where a value is absent a comparison is neither true nor false (as in SQL), and a condition that is not true does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.errors import ConfigError, did_you_mean

Kind = Literal["number", "text", "words", "flag"]
"""A number, a text, a list of words, yes or no."""
Scalar: TypeAlias = float | str | bool
LONGEST = 10_000
"""Characters of a condition."""
DEEPEST = 50
"""Parentheses and `not`s inside one another."""
SHOPPER = "shopper."
"""What the names of a shopper's columns begin with."""
_ORDER = {"<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal"}
_EQUAL = {"==": "equal", "=": "equal", "!=": "not_equal", "<>": "not_equal"}
_WORDS = ("and", "or", "not", "in", "contains", "is", "null", "true", "false")
_TOKEN = re.compile(
    r"""(?P<space>\s+) | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?) | (?P<name>[^\W\d][\w.-]*)
      | (?P<text>"[^"\n]*"|'[^'\n]*') | (?P<sign><=|>=|==|!=|<>|[<>=(),\[\]])""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Column:
    """A column's values."""

    name: str


@dataclass(frozen=True)
class Compared:
    """A column beside a value; ``how`` is Arrow's word: less, equal, …"""

    column: Column
    how: str
    value: Scalar


@dataclass(frozen=True)
class OneOf:
    """Whether a column's value is one of some."""

    column: Column
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Inside:
    """Whether a text holds another, or a list of words a word."""

    column: Column
    word: str
    listed: bool


@dataclass(frozen=True)
class Absent:
    """Whether a column has no value."""

    column: Column


@dataclass(frozen=True)
class Flag:
    """A column that is true or false."""

    column: Column


@dataclass(frozen=True)
class Not:
    """The opposite."""

    of: Condition


@dataclass(frozen=True)
class Both:
    """All hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Either:
    """One holds at least."""

    parts: tuple[Condition, ...]


Condition: TypeAlias = Compared | OneOf | Inside | Absent | Flag | Not | Both | Either


def names(condition: Condition) -> set[str]:
    """The columns that a condition speaks of."""
    if isinstance(condition, Not):
        return names(condition.of)
    if isinstance(condition, Both | Either):
        return set().union(*map(names, condition.parts))
    return {condition.column.name}


def parse(text: str, columns: Mapping[str, Kind], where: str = "condition") -> Condition:
    """The tree of a condition.

    Args:
        text: the condition.
        columns: every name that it may speak of.
        where: what it belongs to, for messages.

    Raises:
        ConfigError: it is none; one line with the place of the token, and the closest name of a column that there is not.
    """
    if len(text) > LONGEST:
        raise ConfigError(f"{where}: {len(text):,} characters, expected at most {LONGEST:,}; make several rules of it")
    reader = _Reader(where, _tokens(text, where), columns)
    found = reader.either(0)
    reader.end()
    return found


def holds(condition: Condition, items: pa.Table, shopper: Mapping[str, Any] | None = None) -> npt.NDArray[np.bool_]:
    """(rows) whether the condition is true of each item.

    Args:
        condition: as ``parse`` made it.
        items: its columns by name.
        shopper: the values of its ``shopper.`` names; one that is not there is absent.
    """
    found: npt.NDArray[np.bool_] = np.asarray(pc.fill_null(_asked(condition, items, shopper or {}), False), bool)
    return found


def _asked(condition: Condition, items: pa.Table, shopper: Mapping[str, Any]) -> pa.Array:
    if isinstance(condition, Not):
        return pc.invert(_asked(condition.of, items, shopper))
    if isinstance(condition, Both | Either):
        found = _asked(condition.parts[0], items, shopper)
        for part in condition.parts[1:]:
            combine = pc.and_kleene if isinstance(condition, Both) else pc.or_kleene
            found = combine(found, _asked(part, items, shopper))
        return found
    name = condition.column.name
    if name.startswith(SHOPPER):
        value = shopper.get(name.removeprefix(SHOPPER))
        column = pa.array([value], pa.list_(pa.string()) if isinstance(value, list) else None)
        known = value is not None or isinstance(condition, Absent)
        answer = _of(condition, column)[0].as_py() if known else None
        return pa.array([answer] * items.num_rows, pa.bool_())
    column = items[name].combine_chunks()
    return _of(condition, column.chunk(0) if isinstance(column, pa.ChunkedArray) else column)


def _of(condition: Compared | OneOf | Inside | Absent | Flag, column: pa.Array) -> pa.Array:
    """(rows) what a line of the grammar says of a column's values, null where nothing can be said."""
    if isinstance(condition, Absent):
        return pc.is_null(column)
    if isinstance(condition, Compared):
        return getattr(pc, condition.how)(column, pa.scalar(condition.value))
    if isinstance(condition, OneOf):
        kind = pa.float64() if isinstance(condition.values[0], float) else None
        within = pc.is_in(column.cast(kind) if kind else column, value_set=pa.array(condition.values, kind))
        return pc.if_else(pc.is_valid(column), within, pa.scalar(None, pa.bool_()))
    if isinstance(condition, Inside) and condition.listed:
        said = [None if words is None else condition.word in words for words in column.to_pylist()]
        return pa.array(said, pa.bool_())
    if isinstance(condition, Inside):
        return pc.match_substring(column, condition.word, ignore_case=True)
    return column.cast(pa.bool_())


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int
    """The column, from 1."""


def _tokens(text: str, where: str) -> list[_Token]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            if text[at] in "\"'":
                raise ConfigError(f"{where}: column {at + 1}: a text begins with {text[at]} and never ends; close it")
            raise ConfigError(
                f"{where}: column {at + 1}: seen {text[at]!r}, expected a name, a number, a text in quotes or one of < <= > >= == != ( )"
            )
        if match.lastgroup != "space":
            found.append(_Token(str(match.lastgroup), match.group(), at + 1))
        at = match.end()
    return [*found, _Token("end", "", len(text) + 1)]


class _Reader:
    """Reads tokens from the left; a token is taken once."""

    def __init__(self, where: str, tokens: list[_Token], columns: Mapping[str, Kind]) -> None:
        self._where, self._tokens, self._columns, self._at = where, tokens, columns, 0

    def end(self) -> None:
        """Nothing may follow."""
        if self._next.kind != "end":
            raise self._wrong("`and`, `or` or the end")

    def either(self, depth: int) -> Condition:
        """``x or y or z``."""
        parts = [self._both(depth)]
        while self._take("or"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self, depth: int) -> Condition:
        parts = [self._one(depth)]
        while self._take("and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _one(self, depth: int) -> Condition:
        if depth > DEEPEST:
            raise ConfigError(
                f"{self._where}: column {self._next.at}: more than {DEEPEST} parentheses or `not`s inside one another; write it flatter"
            )
        if self._take("not"):
            return Not(self._one(depth + 1))
        if self._take("("):
            found = self.either(depth + 1)
            self._need(")")
            return found
        return self._line()

    def _line(self) -> Condition:
        token = self._next
        if token.kind != "name" or token.text.lower() in _WORDS:
            raise self._wrong("a column's name, `not` or (")
        if token.text not in self._columns:
            raise ConfigError(f"{self._where}: column {token.at}: no column `{token.text}`; {did_you_mean(token.text, self._columns)}")
        self._at += 1
        column, kind = Column(token.text), self._columns[token.text]
        if self._take("is"):
            negated = self._take("not")
            self._need("null")
            return Not(Absent(column)) if negated else Absent(column)
        if self._take("contains"):
            if kind not in ("text", "words"):
                raise self._wrong(f"a comparison: `{column.name}` is a {kind}, which contains nothing", back=1)
            value = self._value("text")
            return Inside(column, str(value), kind == "words")
        negated = self._take("not")
        if self._take("in"):
            found: Condition = OneOf(column, self._values(kind))
            return Not(found) if negated else found
        if negated:
            raise self._wrong("`in` after `not`")
        sign = self._next
        how = _ORDER.get(sign.text) or _EQUAL.get(sign.text)
        if sign.kind != "sign" or how is None:
            if kind == "flag":
                return Flag(column)
            raise self._wrong("one of < <= > >= == !=, `in`, `contains` or `is`")
        if sign.text in _ORDER and kind != "number":
            raise self._wrong(f"== or !=: `{column.name}` is a {kind}, which is neither larger nor smaller")
        if kind == "words":
            raise self._wrong(f"`contains`: `{column.name}` is a list of words")
        self._at += 1
        return Compared(column, how, self._value(kind))

    def _values(self, kind: Kind) -> tuple[Scalar, ...]:
        close = ")" if self._take("(") else "]"
        if close == "]":
            self._need("[", "( or [")
        found = [self._value(kind)]
        while self._take(","):
            found.append(self._value(kind))
        self._need(close)
        return tuple(found)

    def _value(self, kind: Kind) -> Scalar:
        token = self._next
        self._at += 1
        if kind == "number" and token.kind == "number":
            return float(token.text)
        if kind in ("text", "words") and token.kind == "text":
            return token.text[1:-1]
        if kind == "flag" and token.text.lower() in ("true", "false"):
            return token.text.lower() == "true"
        self._at -= 1
        raise self._wrong({"number": "a number", "flag": "true or false"}.get(kind, "a text in quotes"))

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, word: str) -> bool:
        token = self._next
        found = token.kind in ("name", "sign") and token.text.lower() == word
        self._at += found
        return found

    def _need(self, word: str, said: str | None = None) -> None:
        if not self._take(word):
            raise self._wrong(said or f"`{word}`")

    def _wrong(self, expected: str, back: int = 0) -> ConfigError:
        token = self._tokens[self._at - back]
        seen = "the end" if token.kind == "end" else f"`{token.text}`"
        return ConfigError(f"{self._where}: column {token.at}: seen {seen}, expected {expected}")
