"""Who is who, and what a shop holds about one person.

A person is an id and every id that ``same_as`` relations lead to from it, in either direction, undone ones left out. Their rows
are those that name one of these ids, whole conversations and whole orders of theirs, the labels that speak of such rows, and every relation of the ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from shoplm.data import contract
from shoplm.data.convert import name_in_sql, text_in_sql

AT_ONCE = 500
"""Ids in one SQL list."""


@dataclass(frozen=True)
class Person:
    """One person.

    Attributes:
        given: the id that was asked for.
        ids: all ids, the given one first.
        followed: the relations that led to them, as (head, tail).
        beside: devices seen in rows of theirs that no relation ties to them; somebody else may use them, too.
        claims: by table, the columns and values that make a row theirs; one of them is enough.
    """

    given: str
    ids: tuple[str, ...]
    followed: tuple[tuple[str, str], ...]
    beside: tuple[str, ...]
    claims: Mapping[str, Mapping[str, tuple[str, ...]]]

    def condition(self, table: str) -> str | None:
        """An SQL condition that holds for their rows of ``table``; None where there are none."""
        return condition(self.claims.get(table, {}))


def condition(claims: Mapping[str, tuple[str, ...]]) -> str | None:
    """An SQL condition that holds where one of the columns has one of its values; None where there are none."""
    parts = [
        f"{name_in_sql(column)} IN ({', '.join(map(text_in_sql, values[start : start + AT_ONCE]))})"
        for column, values in claims.items()
        for start in range(0, len(values), AT_ONCE)
    ]
    return " OR ".join(parts) or None


class Sight(Protocol):
    """What can be asked: a ``View``, or all versions of a shop at once."""

    def has(self, table: str) -> bool:
        """Has ``table`` any rows?"""
        ...

    def sql(self, query: str) -> pa.Table:
        """The answer to one SELECT."""
        ...


def person(view: Sight, user: str) -> Person:
    """Who ``user`` is in this version of a shop."""
    ids, followed = _same(view, user)
    seen = f"SELECT DISTINCT user_pseudo_id AS v FROM events WHERE {_any('user_id', ids)} AND user_pseudo_id IS NOT NULL ORDER BY 1"
    beside = tuple(name for name in _column(view, "events", seen) if name not in ids)
    return Person(user, ids, followed, beside, claims(view, ids))


def claims(view: Sight, ids: tuple[str, ...]) -> dict[str, dict[str, tuple[str, ...]]]:
    """What makes a row theirs, by table and column, as far as ``view`` sees."""
    found: dict[str, dict[str, tuple[str, ...]]] = {
        "users": {"user_id": ids},
        "events": {"user_id": ids, "user_pseudo_id": ids},
        "reviews": {"user_id": ids},
        "ads": {"user_id": ids},
        "relations": {"head": ids, "tail": ids},
    }
    orders = _values(view, "orders", "order_id", {"user_id": ids})
    found["orders"] = {"user_id": ids, "order_id": orders}
    talks = _values(view, "chats", "conversation_id", {"user_id": ids})
    if orders:
        alone = f"SELECT DISTINCT conversation_id AS v FROM chats WHERE user_id IS NULL AND {_any('order_id', orders)}"
        talks = tuple(sorted({*talks, *_column(view, "chats", alone)}))
    found["chats"] = {"user_id": ids, "conversation_id": talks}
    found["labels"] = {"subject": _subjects(view, ids, found)}
    return {table: {column: values for column, values in columns.items() if values} for table, columns in found.items()}


def rows(view: Sight, who: Person) -> dict[str, pa.Table]:
    """All rows of a person, by table, in the contract's columns."""
    found = {}
    for name in contract.TABLES:
        condition = who.condition(name)
        if condition and view.has(name):
            columns = ", ".join(name_in_sql(column.name) for column in contract.TABLES[name].columns)
            found[name] = view.sql(f"SELECT {columns}, source, ingested_at FROM {name} WHERE {condition}")
    return {name: table for name, table in found.items() if table.num_rows}


def _same(view: Sight, user: str) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    ids, fresh = {user: None}, [user]
    followed: dict[tuple[str, str], None] = {}
    while fresh:
        listed = ", ".join(map(text_in_sql, fresh))
        pairs = (
            view.sql(
                "SELECT head, tail FROM relations WHERE relation = 'same_as' AND NOT coalesce(undone, false) "
                f"AND (head IN ({listed}) OR tail IN ({listed})) ORDER BY 1, 2"
            ).to_pylist()
            if view.has("relations")
            else []
        )
        followed |= {(pair["head"], pair["tail"]): None for pair in pairs}
        fresh = [name for pair in pairs for name in (pair["head"], pair["tail"]) if name not in ids]
        ids |= dict.fromkeys(fresh)
    return tuple(ids), tuple(followed)


def _subjects(view: Sight, ids: tuple[str, ...], claims: Mapping[str, Mapping[str, tuple[str, ...]]]) -> tuple[str, ...]:
    """The subjects of labels that speak of them or of rows of theirs; the live store may hold labels where the shop has none yet."""
    about = set(ids)
    for name in ("reviews", "chats", "orders", "events", "ads"):
        key = "concat_ws('/', " + ", ".join(f"CAST({name_in_sql(part)} AS VARCHAR)" for part in contract.TABLES[name].key) + ")"
        where = " OR ".join(_any(column, values) for column, values in claims[name].items() if values)
        about.update(_column(view, name, f"SELECT {key} AS v FROM {name} WHERE {where}"))
    pairs = " OR ".join(f"starts_with(subject, {text_in_sql(name + '/')}) OR ends_with(subject, {text_in_sql('/' + name)})" for name in ids)
    return tuple(sorted(about | set(_column(view, "labels", f"SELECT DISTINCT subject AS v FROM labels WHERE {pairs}"))))


def _values(view: Sight, table: str, column: str, claims: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    where = " OR ".join(_any(name, values) for name, values in claims.items())
    return tuple(_column(view, table, f"SELECT DISTINCT {column} AS v FROM {table} WHERE {where} ORDER BY 1"))


def _any(column: str, values: Iterable[str]) -> str:
    return f"{column} IN ({', '.join(map(text_in_sql, values))})"


def _column(view: Sight, table: str, query: str) -> list[str]:
    if not view.has(table):
        return []
    found: list[str] = [value for value in view.sql(query)["v"].to_pylist() if value is not None]
    return found
