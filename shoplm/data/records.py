"""What a live server writes one by one, as typed records that become contract rows.

A record is checked by the contract when it enters: what was acknowledged is never turned away later, when it moves into
the shop. Each has an id that its client gives, so that sending it again changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, TypeVar

import pyarrow as pa

from shoplm.data import contract
from shoplm.data.contract import FLAG, LIST, MONEY, NUMBER, TEXT, TIME, WHOLE, Column
from shoplm.errors import DataError

SOURCE = "live"
"""What ``source`` says of rows that came through the store."""

_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999  # the years 1 to 9999
_SEEN_LENGTH = 80

Attributes = Mapping[str, Any]
_N = TypeVar("_N", int, float, Decimal)
Amount = Decimal | int | float | str


@dataclass(frozen=True)
class Act:
    """Something that a shopper did; the columns are those of ``events``, ``event_time_us`` in UTC microseconds."""

    event_id: str
    event_time_us: int
    event_name: str
    user_id: str | None = None
    user_pseudo_id: str | None = None
    event_seq: int | None = None
    session_id: str | None = None
    item_id: str | None = None
    price: Amount | None = None
    quantity: float | None = None
    currency: str | None = None
    event_value: float | None = None
    item_list_name: str | None = None
    index: int | None = None
    search_term: str | None = None
    transaction_id: str | None = None
    recommendation_id: str | None = None
    impression: Sequence[str] | None = None
    propensity: float | None = None
    policy: str | None = None
    promotion_id: str | None = None
    device: str | None = None
    channel: str | None = None
    country: str | None = None
    attributes: Attributes | None = None


@dataclass(frozen=True)
class Served:
    """A list that the shop showed a shopper: an event ``view_item_list`` whose id is the recommendation's.

    Attributes:
        recommendation_id: names it; a later act may refer to it.
        at_us: when, UTC microseconds.
        items: ids of the items shown, first place first.
        propensities: for each item, the chance in [0, 1] that the policy showed it there; None where it is not known.
        policy: what chose the list.
    """

    recommendation_id: str
    at_us: int
    items: Sequence[str]
    user_id: str | None = None
    user_pseudo_id: str | None = None
    propensities: Sequence[float] | None = None
    policy: str | None = None
    item_list_name: str | None = None
    session_id: str | None = None
    attributes: Attributes | None = None


@dataclass(frozen=True)
class Turn:
    """One turn of a support conversation; the columns are those of ``chats``, ``created_at_us`` in UTC microseconds."""

    conversation_id: str
    turn: int
    role: str
    content: str
    created_at_us: int
    channel: str | None = None
    user_id: str | None = None
    order_id: str | None = None
    item_id: str | None = None
    intent: str | None = None
    action: str | None = None
    resolved: bool | None = None
    csat: float | None = None
    language: str | None = None
    attributes: Attributes | None = None


@dataclass(frozen=True)
class Label:
    """A judgement on a row; the columns are those of ``labels``, ``at_us`` in UTC microseconds. A later one replaces it."""

    task: str
    subject: str
    name: str
    value: str
    by: str
    at_us: int
    split: str | None = None
    weight: float | None = None
    attributes: Attributes | None = None


Record = Act | Served | Turn | Label


@dataclass(frozen=True)
class Entry:
    """A record as the store holds it.

    Attributes:
        table: the contract table that its row goes into.
        name: 16 bytes that name the record: a digest of its id, which tells nothing about a person.
        says: 8 bytes of what it says, to tell a retry from another record under the same id.
        at_us, place: when, and the order within equal times.
        key: the row's key, its parts joined by ``/``.
        user_id, pseudo_id, conversation_id: whose it is.
        body: the contract row as JSON.
    """

    table: str
    name: bytes
    says: bytes
    at_us: int
    place: int
    key: str
    user_id: str | None
    pseudo_id: str | None
    conversation_id: str | None
    body: str


def entry(record: Record) -> Entry:
    """The record, checked.

    Raises:
        DataError: a value breaks the contract; one line names the record, the column, what was seen and what to write.
    """
    match record:
        case Act():
            row = _row(contract.EVENTS, record)
            return _entry(contract.EVENTS, row, (row["event_id"],), row["event_time"], row.get("event_seq") or 0)
        case Served():
            row = _row(contract.EVENTS, _shown(record))
            return _entry(contract.EVENTS, row, (row["event_id"],), row["event_time"], 0)
        case Turn():
            row = _row(contract.CHATS, record)
            return _entry(contract.CHATS, row, (row["conversation_id"], row["turn"]), row["created_at"], row["turn"])
        case Label():
            row = _row(contract.LABELS, record)
            # who judges again says something new: the time is part of the id, the newest stays in the shop
            return _entry(contract.LABELS, row, (row["task"], row["subject"], row["name"], row["by"], row["at"]), row["at"], 0)
    raise DataError(f"expected an Act, Served, Turn or Label, seen {type(record).__name__}")


def rows(table: contract.Table, bodies: Iterable[str]) -> pa.Table:
    """Bodies of entries as rows of the table's schema, in their order; ``source`` is ``live``, the other stamps null."""
    found: list[dict[str, Any]] = [json.loads(body) for body in bodies]
    arrays = []
    for field in table.schema:
        values = [row.get(field.name) for row in found]
        if field.type == MONEY:
            values = [None if value is None else Decimal(value) for value in values]
        if field.name == "source":
            values = [SOURCE] * len(found)
        arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=table.schema)


def identity(kind: str, key: object, body: str) -> tuple[bytes, bytes]:
    """16 bytes that name a record and 8 bytes of what it says; neither gives away anything readable."""
    name = hashlib.blake2b(json.dumps([kind, key]).encode(), digest_size=16).digest()
    return name, hashlib.blake2b(body.encode(), digest_size=8).digest()


def patch(key: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Some columns of one product, checked, as JSON holds them; None and blank are left out.

    Raises:
        DataError: a value breaks the contract of ``products``.
    """
    found = {}
    for name, value in {"id": key, **values}.items():
        checked = None if value is None else _checked(f"product {_seen(key)}", contract.PRODUCTS[name], value)
        if checked is not None:
            found[name] = checked
    if found.pop("id", None) != key:
        raise DataError(f"product {_seen(key)}: `id` is no id; give the product's id without outer spaces")
    return found


def _entry(table: contract.Table, row: dict[str, Any], key: tuple[str | int, ...], at_us: int, place: int) -> Entry:
    body = json.dumps(row, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    name, says = identity(table.name, key, body)
    joined = "/".join(str(part) for part in key)
    return Entry(
        table.name, name, says, at_us, place, joined, row.get("user_id"), row.get("user_pseudo_id"), row.get("conversation_id"), body
    )


def _named(served: Served) -> str:
    return f"served list {_seen(served.recommendation_id)}"


def _shown(served: Served) -> Act:
    if isinstance(served.items, str) or not isinstance(served.items, Sequence) or not served.items:
        raise DataError(
            f"{_named(served)}: expected a list of item ids, seen {_seen(served.items)}; store only lists that showed something"
        )
    items = list(served.items)
    attributes = served.attributes
    if served.propensities is not None:
        chances = list(served.propensities) if isinstance(served.propensities, Sequence) else []
        right = all(isinstance(chance, int | float) and not isinstance(chance, bool) and 0 <= chance <= 1 for chance in chances)
        if len(chances) != len(items) or not right or not isinstance(attributes or {}, Mapping):
            raise DataError(
                f"{_named(served)}: {len(items)} items and propensities {_seen(served.propensities)}; give one number in [0, 1] for each item"
            )
        attributes = {**(attributes or {}), "propensities": [float(chance) for chance in chances]}
    return Act(
        served.recommendation_id, served.at_us, "view_item_list", served.user_id, served.user_pseudo_id, session_id=served.session_id,
        item_list_name=served.item_list_name, recommendation_id=served.recommendation_id, impression=items, policy=served.policy,
        attributes=attributes,
    )  # fmt: skip


def _row(table: contract.Table, record: Act | Turn | Label) -> dict[str, Any]:
    values: dict[str, Any] = dict(vars(record))
    where = f"{table.name} record {_seen(values[table.key[0]])}"
    row: dict[str, Any] = {}
    for column in table.columns:
        value = values[column.name + "_us" if column.type == TIME else column.name]
        if value is not None:
            value = _checked(where, column, value)
        if value is not None:
            row[column.name] = value
        elif column.required:
            raise DataError(f"{where}: `{column.name}` is missing; give {column.kind}: {column.description}")
    for group in table.any_of:
        if not any(name in row for name in group):
            raise DataError(f"{where}: {' and '.join(f'`{name}`' for name in group)} are missing; give one of them")
    return row


def _checked(where: str, column: Column, value: Any) -> Any:
    try:
        return _value(column, value)
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        why = str(error) if type(error) is ValueError else f"is not a {column.kind}"
        raise DataError(f"{where}: `{column.name}` {why}, seen {_seen(value)}; write {str(column.check) or column.kind}") from None


def _seen(value: object) -> str:
    try:
        return ascii(value)[:_SEEN_LENGTH]
    except (ValueError, RecursionError):  # a number of thousands of digits, a value that holds itself
        return type(value).__name__


def _value(column: Column, value: Any) -> Any:
    """The value as JSON holds it, None if it is blank; a ValueError says what is wrong with it."""
    kind = column.type
    if column.name == "attributes":
        return _attributes(value)
    if kind == TEXT:
        return _text(column, value)
    if kind == LIST:
        if isinstance(value, str):
            raise ValueError("is one text, not a list of texts")
        return [text for text in (clean(each).strip() for each in value) if text] or None
    if kind == FLAG:
        if not isinstance(value, bool):
            raise ValueError("is not true or false")
        return value
    if isinstance(value, bool):
        raise ValueError(f"is not a {column.kind}")
    if kind in (TIME, WHOLE):
        return _within(column, int(value.__index__()))
    if kind == NUMBER:
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError("is not a finite number")
        return _bounded(column, float(value))
    if kind == MONEY:
        amount = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
        if not amount.is_finite() or abs(amount) >= 10**14:
            raise ValueError("is not an amount below 10**14")
        return str(_bounded(column, amount.quantize(Decimal("0.0001"), ROUND_HALF_UP)))
    raise AssertionError(kind)


def clean(value: object) -> str:
    """The text, if any database and any file can hold it; a ValueError says why not."""
    if not isinstance(value, str):
        raise ValueError("is not text")
    if "\0" in value:
        raise ValueError("holds a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair") from None
    return str(value)


def _text(column: Column, value: object) -> str | None:
    text = clean(value)
    if column.is_id:
        text = text.strip()
        if not text.isprintable():
            raise ValueError("holds a control character")
    if not text.strip() or not any(each.isprintable() and not each.isspace() for each in text):
        return None
    if column.check.one_of and text not in column.check.one_of:
        raise ValueError("is not an allowed word")
    if column.check.longest is not None and len(text) > column.check.longest:
        raise ValueError(f"has {len(text)} characters")
    return text


def _within(column: Column, value: int) -> int:
    low, high = (_FIRST_US, _LAST_US) if column.type == TIME else (-(2**63), 2**63 - 1)
    if not low <= value <= high:
        raise ValueError("is out of range")
    return _bounded(column, value)


def _bounded(column: Column, value: _N) -> _N:
    low, high = column.check.low, column.check.high
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError("is out of range")
    return value


def _attributes(value: object) -> str | None:
    if not isinstance(value, Mapping):
        raise ValueError("is not a mapping of names to JSON values")
    kept = _without_nulls(value)
    return clean(json.dumps(kept, ensure_ascii=False, separators=(",", ":"), allow_nan=False)) if kept else None


def _without_nulls(value: Mapping[Any, Any]) -> dict[str, Any]:
    # as the shop's import does: an absent attribute and a null one are the same
    found: dict[str, Any] = {}
    for name, inner in value.items():
        if inner is not None:
            found[clean(name)] = _without_nulls(inner) if isinstance(inner, Mapping) else inner
    return found
