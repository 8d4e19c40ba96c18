"""What stands behind each contract column of a file: a foreign column, a constant, something made up later, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shoplm.data import contract
from shoplm.data.ingest import Chunk
from shoplm.errors import DataError, did_you_mean


@dataclass
class Piece:
    """Rows of one file that follow one another, and what the file names.

    Attributes:
        file: for messages.
        named: contract columns that the file has, or that were given a default; grows until the file ends.
        others: names that it has besides and that go to ``attributes``.
        made: columns that are made up because the file has none.
        lacks: required columns that it has not, so only rows that the shop holds can be meant.
        refusal: how the file is refused if the shop holds none of its rows.
        strict: one row that the shop does not hold refuses everything.
    """

    file: str
    made: frozenset[str]
    lacks: frozenset[str]
    refusal: str
    strict: bool
    named: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Shape:
    """How chunks of one file become rows of a contract table.

    Attributes:
        table: the contract table.
        found: the foreign column behind each contract column that has one.
        unknown: the foreign columns that the contract does not name, by the name under which ``attributes`` keeps each.
        constants: the values of columns that the file has not, or where it has none.
        made: columns that are made up later.
        piece: what the file names so far.
    """

    table: contract.Table
    found: Mapping[str, str]
    unknown: Mapping[str, str]
    constants: Mapping[str, str]
    made: frozenset[str]
    piece: Piece


def match(table: contract.Table, file: str, names: list[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """The foreign column behind each contract column.

    Raises:
        DataError: two columns have the same name, or the map names one that is not there.
    """
    seen: dict[str, str] = {}
    for name in names:
        key = name.strip().lower()
        if key in seen:
            raise DataError(f"{file}: columns `{seen[key]}` and `{name}` have the same name; rename one")
        seen[key] = name
    found = {key: name for key, name in seen.items() if key in table.by_name}
    for ours, theirs in mapping.items():
        table[ours]
        if theirs.strip().lower() not in seen:
            raise DataError(f"{file}: the map {ours}={theirs} names a column that is not there; {did_you_mean(theirs, names)}")
        found[ours] = seen[theirs.strip().lower()]
    return found


def note(piece: Piece, chunk: Chunk, found: Mapping[str, str], defaults: Iterable[str]) -> None:
    """Note what a chunk names."""
    names = chunk.rows.schema.names
    empty = {name for name in names if chunk.sparse and chunk.rows[name].null_count == chunk.rows.num_rows}
    piece.named.update(defaults, (ours for ours, theirs in found.items() if theirs not in empty))
    piece.others.update(kept_as(name) for name in set(names) - set(found.values()))


def kept_as(name: str) -> str:
    """The name under which ``attributes`` keeps a foreign column."""
    return name.strip().lower() or "unnamed"


def missing(table: contract.Table, file: str, names: list[str], absent: frozenset[str], held: bool) -> tuple[frozenset[str], str]:
    """What a row must have and the file has not, and how that is refused; nothing and "" if it has everything.

    Raises:
        DataError: something is missing, and no row of the shop can be meant: the table is not ``held``, or the key is not whole.
    """
    made = made_up(table, absent) | set(fallbacks(table, absent))
    lacks: list[str] = []
    refusal = ""
    for column in table.columns:
        if column.required and column.name in absent and column.name not in made:
            hint = f"{did_you_mean(column.name, names)} Map it with {column.name}=THEIRS or give a default"
            refusal = refusal or f"{file}: table {table.name} needs a column `{column.name}` ({column.description}); {hint}"
            lacks.append(column.name)
    for group in table.any_of:
        if all(name in absent for name in group):
            seen = f"seen {', '.join(names[:20])}"
            one = f"{file}: table {table.name} needs at least one of {', '.join(group)}; {seen}; map one with {group[0]}=THEIRS"
            refusal = refusal or one
            lacks += group
    if refusal and (not held or made.union(lacks) & set(table.key)):
        raise DataError(refusal)
    return frozenset(lacks), refusal


def made_up(table: contract.Table, absent: frozenset[str]) -> frozenset[str]:
    """The absent columns that are made up later."""
    return frozenset(name for name in table.derived if name in absent)


def fallbacks(table: contract.Table, absent: frozenset[str]) -> dict[str, str]:
    """The absent columns that have a value of their own then."""
    return {name: value for name, value in table.fallback if name in absent}
