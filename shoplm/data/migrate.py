"""How rows that an older contract wrote become rows of this one: a chain of small steps, one list for each version.

A step says what one version changed in one column. Reading a shop of an older contract applies the chain to what is
read; the next write makes it permanent. To change the contract: change ``contract.py``, raise ``contract.VERSION``
from n to n + 1, and write under ``STEPS[n]`` what changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from shoplm.data import contract, convert
from shoplm.data.convert import name_in_sql


@dataclass(frozen=True)
class Added:
    """A column that is new; ``sql`` is its value in old rows, over their columns."""

    table: str
    column: str
    sql: str = "NULL"


@dataclass(frozen=True)
class Renamed:
    """A column whose name changed from ``old`` to ``new``."""

    table: str
    old: str
    new: str


@dataclass(frozen=True)
class Retyped:
    """A column whose type changed; ``sql`` makes the new value, ``{}`` stands for the old one."""

    table: str
    column: str
    sql: str


Step = Added | Renamed | Retyped

STEPS: dict[int, Sequence[Step]] = {}
"""By version n: what version n + 1 changed."""


def columns(table: contract.Table, stored: Iterable[str], since: int) -> Mapping[str, str]:
    """For each column of ``table``, the SQL expression over rows with the columns ``stored`` that gives it.

    Args:
        table: a table of this contract.
        stored: the columns that the rows have.
        since: the version of the contract that wrote them.
    """
    found = {name: name_in_sql(name) for name in stored}
    if since < contract.VERSION:
        for version in range(since, contract.VERSION):
            for step in STEPS.get(version, ()):
                if step.table == table.name:
                    _apply(step, found)
        kinds = {field.name: convert.SQL_TYPES.get(field.type) for field in table.schema}
        found = {name: f"CAST({sql} AS {kinds[name]})" if kinds.get(name) else sql for name, sql in found.items()}
    return {field.name: found.get(field.name, f"CAST(NULL AS {convert.SQL_TYPES[field.type]})") for field in table.schema}


def _apply(step: Step, found: dict[str, str]) -> None:
    if isinstance(step, Added):
        found[step.column] = step.sql
    elif isinstance(step, Renamed):
        if step.old in found:
            found[step.new] = found.pop(step.old)
    elif step.column in found:
        found[step.column] = "(" + step.sql.format(found[step.column]) + ")"


def touched(table: contract.Table, schema: pa.Schema, since: int) -> bool:
    """Must rows of ``schema``, written by contract ``since``, be written anew to obey this one?"""
    steps = (step for version in range(since, contract.VERSION) for step in STEPS.get(version, ()))
    return any(step.table == table.name for step in steps) or schema != table.schema
