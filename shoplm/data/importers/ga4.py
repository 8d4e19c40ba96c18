"""GA4's BigQuery export as JSON Lines into ``events``, a row for each item of an event, and consent into ``users``.

DuckDB reads whole blocks of lines into columns and Arrow spreads parameters and items, two blocks at a time, so no line
becomes a Python object. A visit is (user_pseudo_id, ga_session_id). What an event says as a whole and the contract does not name stands
on its first row only, and so does its worth, so that sums are right.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data import contract
from shoplm.data.ahead import spread
from shoplm.data.convert import JSON_MARK, text_in_sql
from shoplm.data.direct import FIRST_US, LAST_US
from shoplm.data.importers._aside import Aside
from shoplm.data.importers._drive import check_table
from shoplm.data.importers._lines import COLUMNS, Block, line_blocks, opened
from shoplm.data.importers._rows import chunk
from shoplm.data.ingest import SEEN_LENGTH, Chunk, Fault
from shoplm.errors import DataError

SOURCE = "ga4"
BLOCK = 16_000_000
"""Bytes of lines that are read at a time."""

Places = np.ndarray[Any, np.dtype[np.int64]]

USERS = ("user_id", "consent_analytics", "consent_ads")
BATCH = 1000
"""``event_seq`` is the event's place in its batch times this, plus the item's place; GA4 takes 200 items at most."""

_VALUE = {"string_value": "VARCHAR", "int_value": "BIGINT", "float_value": "DOUBLE", "double_value": "DOUBLE"}
_PARAM = {"key": "VARCHAR", "value": _VALUE}
_ITEM = dict.fromkeys(("item_id", "price", "quantity", "item_list_name", "item_list_index", "promotion_id"), "VARCHAR")
_SHAPE: dict[str, Any] = {
    **dict.fromkeys(("event_timestamp", "event_name", "user_id", "user_pseudo_id"), "VARCHAR"), "batch_event_index": "BIGINT",
    "event_params": ["JSON"], "items": ["JSON"],
    **dict.fromkeys(("privacy_info", "ecommerce", "device", "geo", "traffic_source"), "JSON"),
}  # fmt: skip
"""What is read from every line; all other keys of a line are kept as JSON."""
_LISTS = ("event_params", "items")
_PARTS = {
    "transaction_id": ("ecommerce", "transaction_id"), "revenue": ("ecommerce", "purchase_revenue"), "refund": ("ecommerce", "refund_value"),
    "device": ("device", "category"), "country": ("geo", "country"), "channel": ("traffic_source", "source"),
    "consent_analytics": ("privacy_info", "analytics_storage"), "consent_ads": ("privacy_info", "ads_storage"),
}  # fmt: skip
"""What the contract names of objects: the object, and the key in it."""


def read(files: Sequence[Path], table: str | None = None) -> Iterator[Chunk]:
    """Events, and consent where it is said, of files of exported rows.

    Raises:
        DataError: a file cannot be read, or ``table`` is neither ``events`` nor ``users``.
    """
    only = check_table(table, ["events", "users"], SOURCE)
    for file in files:
        with opened(file):
            yield from _chunks(file, only)


def _chunks(file: Path, only: Sequence[str]) -> Iterator[Chunk]:
    empty = True
    mine = threading.local()

    def work(block: Block) -> tuple[Chunk | None, pa.Table | None, tuple[Fault, ...]]:
        if not hasattr(mine, "con"):  # a connection serves one thread
            mine.con = duckdb.connect(config={"threads": "1"})
            mine.con.execute("SET python_enable_replacements=false")
        found = _read(mine.con, file, block)
        said = _consent(mine.con, found) if "users" in only else None
        return _events(file, found) if "events" in only else None, said, found.faults

    with Aside(_SAID) as consent, closing(spread(work, (block for block in line_blocks(file, BLOCK) if len(block.text)))) as done:
        for events, said, faults in done:
            empty = False
            if said is not None and said.num_rows:
                consent.put(said)
            if events is not None:
                yield events
            elif faults:
                yield chunk("users", USERS, [], [], str(file), SOURCE, faults=faults)
        for rows, lines in _merged(consent):
            yield Chunk("users", rows, lines, str(file), (), False, SOURCE, sparse=True)
    if empty:
        raise DataError(f"{file}: holds only blank lines; give one JSON object a line")


@dataclass(frozen=True)
class _Elements:
    """The elements of a list of each event: most say again what others said, so each saying is read once.

    Attributes:
        counts: (events,) how many each has.
        said: (elements,) which of the sayings each one is.
        sayings: the different ones, as structs.
        more: keys that the shape did not name.
    """

    counts: Places
    said: Places
    sayings: Any
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Read:
    """A block's events in columns; ``others`` are the columns of keys that are not in the shape."""

    rows: pa.Table
    lines: Places
    params: _Elements
    items: _Elements
    others: tuple[str, ...]
    faults: tuple[Fault, ...]


def _read(con: duckdb.DuckDBPyConnection, file: Path, block: Block) -> _Read:
    text, numbers, faults = block.text, block.numbers, []
    try:
        keys = _keys(con, text)
    except duckdb.InvalidInputException:  # some line is no JSON: only then is each line asked
        valid = _ask(con, text, "json_valid(t)")
        for i in np.flatnonzero(~valid):
            faults.append(_fault(text, numbers, int(i), "", "is not JSON", "write one exported row a line"))
        kept = pa.array(np.flatnonzero(valid))
        text, numbers = text.take(kept), numbers[valid]
        keys = _keys(con, text)
    plain, odd = _apart(keys, _SHAPE)
    shape = json.dumps({**_SHAPE, **dict.fromkeys(plain, "JSON")}, ensure_ascii=False)
    found = _answer(con, text, f"SELECT from_json(t, {text_in_sql(shape)}) AS v FROM _texts")["v"].combine_chunks()
    wrong = pc.is_null(found).to_numpy(zero_copy_only=False).copy()
    for i in np.flatnonzero(wrong):
        faults.append(_fault(text, numbers, int(i), "", "is not a JSON object", "write one exported row a line"))
    rows = pa.Table.from_arrays(found.flatten(), names=[*_SHAPE, *(f"o{place}" for place in range(len(plain)))])
    for place, name in enumerate(odd, len(plain)):
        rows = rows.append_column(
            f"o{place}", _answer(con, text, f"SELECT json_extract(t, {text_in_sql(_pointer(name))}) AS v FROM _texts")["v"]
        )
    for name in _LISTS:
        inner, bad = rows[name].combine_chunks(), np.zeros(len(text), bool)
        none = np.flatnonzero(pc.is_null(inner).to_numpy(zero_copy_only=False) & ~wrong)
        if len(none):
            bad[none[_ask(con, text.take(pa.array(none)), f"coalesce(json_type(t, '$.{name}'), 'NULL') <> 'NULL'")]] = True
        objects = pc.fill_null(pc.starts_with(inner.flatten(), "{"), False)
        if not pc.all(objects, min_count=0).as_py():
            bad[pc.list_parent_indices(inner).filter(pc.invert(objects)).to_numpy()] = True
        for i in np.flatnonzero(bad & ~wrong):
            faults.append(_fault(text, numbers, int(i), name, "is not a list of objects", "write the row as BigQuery exports it"))
        wrong |= bad
    times = _times(con, rows["event_timestamp"])
    late = pc.and_(pc.is_valid(rows["event_timestamp"]), pc.is_null(times)).to_numpy(zero_copy_only=False) & ~wrong
    for i in np.flatnonzero(late):
        seen = rows["event_timestamp"][i].as_py()[:SEEN_LENGTH]
        faults.append(Fault(int(numbers[i]), "event_timestamp", seen, "is not a time in microseconds", "write the microseconds since 1970"))
    wrong |= late
    rows = rows.append_column("event_time", times)
    for name in ("user_id", "user_pseudo_id"):
        rows = rows.set_column(rows.schema.get_field_index(name), name, _meant(rows[name]))
    acts = rows["event_name"]
    acts = pc.if_else(pc.equal(acts, "view_search_results"), "search", acts)
    rows = rows.set_column(rows.schema.get_field_index("event_name"), "event_name", acts)
    if wrong.any():
        rows, numbers = rows.filter(pa.array(~wrong)), numbers[~wrong]
    params, items = _elements(con, rows["event_params"], _PARAM), _elements(con, rows["items"], _ITEM, whole=True)
    if items is None:
        raise DataError(f"{file}, near line {block.numbers[0]}: an item has two keys that differ in case only; is this GA4's export?")
    assert params is not None
    if len(keys) + len(items.more) > COLUMNS:
        raise DataError(f"{file}, near line {block.numbers[0]}: more than {COLUMNS} different keys; is this GA4's export?")
    for whole in {whole for whole, _ in _PARTS.values()}:
        rows = _with_parts(con, rows, whole)
    return _Read(rows, numbers, params, items, (*plain, *odd), tuple(sorted(faults, key=lambda fault: fault.line)))


def _elements(con: duckdb.DuckDBPyConnection, lists: pa.ChunkedArray, shape: Mapping[str, Any], *, whole: bool = False) -> _Elements | None:
    """The elements of lists of JSON objects; ``whole``: with the keys that ``shape`` does not name. None if two keys differ in case only."""
    inner = lists.combine_chunks()
    counts = pc.fill_null(pc.list_value_length(inner), 0).to_numpy().astype(np.int64)
    said = inner.flatten().dictionary_encode()
    more: list[str] = []
    if whole:
        keys = {key for (found,) in _sql(con, said.dictionary, "SELECT DISTINCT json_keys(t) FROM _texts").fetchall() for key in found}
        more, odd = _apart(sorted(keys), shape)
        if odd:
            return None
    wanted = json.dumps({**shape, **dict.fromkeys(more, "JSON")}, ensure_ascii=False)
    sayings = _answer(con, said.dictionary, f"SELECT from_json(t, {text_in_sql(wanted)}) AS v FROM _texts")["v"].combine_chunks()
    return _Elements(counts, said.indices.to_numpy().astype(np.int64), sayings, tuple(more))


def _with_parts(con: duckdb.DuckDBPyConnection, rows: pa.Table, whole: str) -> pa.Table:
    """The rows with what the contract names of one of their objects; an object that came before is not read again."""
    said = rows[whole].combine_chunks().dictionary_encode()
    names = [name for name, (of, _) in _PARTS.items() if of == whole]
    parts = ", ".join(f"json_extract_string(t, '$.{_PARTS[name][1]}') AS {name}" for name in names)
    found = _answer(con, said.dictionary, f"SELECT {parts} FROM _texts")
    for name in names:
        rows = rows.append_column(_part(name), found[name].combine_chunks().take(said.indices))
    return rows


def _times(con: duckdb.DuckDBPyConnection, stamps: pa.ChunkedArray) -> pa.ChunkedArray:
    """Counts of microseconds since 1970 as times, null for what is none."""
    try:
        if pc.any(pc.match_substring(stamps, "x"), min_count=0).as_py():
            raise pa.ArrowInvalid("Arrow would read 0x1f as 31")
        micros = stamps.cast(pa.int64())
    except pa.ArrowInvalid:  # some word among them
        found = _answer(con, stamps.combine_chunks(), "SELECT TRY_CAST(t AS BIGINT) AS v FROM _texts")["v"]
        micros = found.cast(pa.int64())
    within = pc.and_(pc.greater_equal(micros, FIRST_US), pc.less_equal(micros, LAST_US))
    return pc.if_else(within, micros, None).cast(pa.timestamp("us"))


_WHOLE = {
    "ecommerce": "ecommerce",
    "device": "device_info",
    "geo": "geo",
    "traffic_source": "traffic_source",
    "privacy_info": "privacy_info",
}
"""Objects of which the contract names a part, and the attribute that keeps each of them whole."""


def _part(name: str) -> str:
    """The column of a part of an object."""
    return f"part_{name}"


def _keys(con: duckdb.DuckDBPyConnection, text: pa.StringArray) -> list[str]:
    """The keys of all lines, in order."""
    return sorted({key for (keys,) in _sql(con, text, "SELECT DISTINCT json_keys(t) FROM _texts").fetchall() for key in keys or ()})


def _apart(keys: Sequence[str], known: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The keys that are not known: those that DuckDB can hold beside all others, and those that differ from one in case only."""
    taken = {name.lower() for name in known}
    plain: list[str] = []
    odd: list[str] = []
    for key in keys:
        if key in known:
            continue
        (odd if key.lower() in taken or not key else plain).append(key)
        taken.add(key.lower())
    return plain, odd


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _ask(con: duckdb.DuckDBPyConnection, text: pa.StringArray, what: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    found: np.ndarray[Any, np.dtype[np.bool_]] = _answer(con, text, f"SELECT {what} AS a FROM _texts")["a"].to_numpy().astype(bool)
    return found


def _sql(con: duckdb.DuckDBPyConnection, texts: pa.StringArray, query: str) -> duckdb.DuckDBPyRelation:
    con.register("_texts", pa.table({"t": texts}))
    return con.sql(query)


def _answer(con: duckdb.DuckDBPyConnection, texts: pa.StringArray, query: str) -> pa.Table:
    """What ``query`` says of ``_texts``, whose column ``t`` they are."""
    return _sql(con, texts, query).to_arrow_table()


def _fault(text: pa.StringArray, numbers: Places, i: int, column: str, reason: str, fix: str) -> Fault:
    return Fault(int(numbers[i]), column, text[i].as_py().strip()[:SEEN_LENGTH], reason, fix)


_LAST = "(coalesce(event_time, TIMESTAMP '-infinity'), line)"
_LAST_SAID = (
    "SELECT user_id, "
    + ", ".join(f"arg_max({name}, {_LAST}) FILTER ({name} IS NOT NULL) AS {name}" for name in USERS[1:])
    + f", max(coalesce(event_time, TIMESTAMP '-infinity')) AS event_time, arg_max(line, {_LAST}) AS line"
)
"""Of each shopper the last word for every choice, and where the last of all was said; what has no time was said before all times."""


_SAID = {**dict.fromkeys(USERS, "VARCHAR"), "event_time": "TIMESTAMP", "line": "BIGINT"}


def _consent(con: duckdb.DuckDBPyConnection, found: _Read) -> pa.Table:
    """What the shoppers of a block allow: ``USERS``, event_time, line."""
    rows = found.rows
    said = {name: rows[_part(name)] for name in USERS[1:]}
    said = {name: pc.if_else(pc.is_in(values, pa.array(["Yes", "No"])), values, None) for name, values in said.items()}
    who = pc.coalesce(rows["user_id"], rows["user_pseudo_id"])
    whole = pa.table({"user_id": who, **said, "event_time": rows["event_time"], "line": found.lines})
    some = pc.or_(*(pc.is_valid(values) for values in said.values()))
    con.register("_rows", whole.filter(pc.and_(pc.is_valid(who), some)))
    answer = con.sql(f"{_LAST_SAID} FROM _rows GROUP BY user_id").to_arrow_table()
    con.unregister("_rows")
    return answer


def _merged(said: Aside) -> Iterator[tuple[pa.Table, Places]]:
    """A row for each shopper, in pieces, and the line on which the last word was said."""
    for batch in said.ask(f"{_LAST_SAID} FROM said GROUP BY user_id ORDER BY user_id"):
        table = pa.Table.from_batches([batch])
        yield table.select(USERS), table["line"].to_numpy()


def _events(file: Path, found: _Read) -> Chunk:
    """Spread parameters over columns and items over rows."""
    rows = found.rows
    items, counts = found.items, found.items.counts
    repeats = np.maximum(counts, 1)
    event = np.repeat(np.arange(len(counts)), repeats)
    within = np.arange(len(event)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    starts = np.cumsum(counts) - counts
    has = counts[event] > 0
    said = np.zeros(len(event), np.int64)
    said[has] = items.said[(starts[event] + within)[has]]
    item = pa.array(said, mask=~has)
    whole = pa.array(event)
    once = pa.array(event, mask=within > 0)
    param = _params(found.params, len(counts))

    def of_event(name: str) -> Any:
        return rows[name].combine_chunks().take(whole)

    def of_item(name: str) -> Any:
        return _meant(items.sayings.field(name).take(item))

    def of_param(name: str) -> Any:
        column, mark = param.pop(name, (pa.nulls(len(counts), pa.string()), False))
        text = column if pa.types.is_string(column.type) else column.cast(pa.string())
        return _meant(pc.if_else(pc.starts_with(text, '"'), pc.utf8_trim(text, '"'), text) if mark else text)

    session = of_param("ga_session_id")
    visit = pc.binary_join_element_wise(rows["user_pseudo_id"].combine_chunks(), session, "/")
    value = pc.coalesce(_meant(rows[_part("revenue")].combine_chunks()), _meant(rows[_part("refund")].combine_chunks()), of_param("value"))
    batch = pc.fill_null(rows["batch_event_index"], 0).to_numpy().astype(np.int64)
    order = pc.coalesce(_meant(rows[_part("transaction_id")].combine_chunks()), of_param("transaction_id"))
    columns: dict[str, Any] = {
        "event_time": of_event("event_time"), "event_seq": pa.array(batch[event] * BATCH + within), "event_name": of_event("event_name"),
        "user_id": of_event("user_id"), "user_pseudo_id": of_event("user_pseudo_id"), "session_id": visit.take(whole), "item_id": of_item("item_id"),
        "price": of_item("price"), "quantity": of_item("quantity"), "currency": of_param("currency").take(whole), "event_value": value.take(once),
        "item_list_name": pc.coalesce(of_item("item_list_name"), of_param("item_list_name").take(whole)), "index": of_item("item_list_index"),
        "search_term": of_param("search_term").take(whole), "transaction_id": order.take(whole), "promotion_id": of_item("promotion_id"),
        **{name: _meant(of_event(_part(name))) for name in ("device", "channel", "country")},
    }  # fmt: skip
    fields = [pa.field(name, column.type) for name, column in columns.items()]
    arrays = list(columns.values())
    more = [(name, column.take(once), mark) for name, (column, mark) in param.items()]
    more += [(ours, rows[theirs].combine_chunks().take(once), True) for theirs, ours in _WHOLE.items()]
    more += [(name, rows[f"o{place}"].combine_chunks().take(once), True) for place, name in enumerate(found.others)]
    more += [(name, items.sayings.field(name).take(item), True) for name in items.more]
    taken = set(contract.EVENTS.by_name)
    for name, column, mark in more:
        if column.null_count == len(column):
            continue
        shown = name.strip() or "unnamed"
        while shown.lower() in taken:
            shown = f"their.{shown}"
        taken.add(shown.lower())
        column, mark = _unquoted(column.cast(pa.string())) if mark else (column, False)
        arrays.append(column)
        fields.append(pa.field(shown, column.type, metadata=JSON_MARK if mark else None))
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    return Chunk("events", table, found.lines[event], str(file), found.faults, False, SOURCE)


def _unquoted(documents: Any) -> tuple[Any, bool]:
    """JSON documents that are all plain texts as these texts, others as they are (then True)."""
    if pc.all(pc.starts_with(documents, '"')).as_py() and not pc.any(pc.match_substring(documents, "\\")).as_py():
        return pc.utf8_trim(documents, '"'), False
    return documents, True


def _meant(texts: Any) -> Any:
    """Texts without GA4's words for nothing."""
    return pc.if_else(pc.is_in(texts, _WORDS), None, texts)


_WORDS = pa.array(["", "(not set)", "(not provided)", "(none)"])


def _params(elements: _Elements, events: int) -> dict[str, tuple[Any, bool]]:
    """A column for each parameter, an entry for each event, in the parameter's own type or (then True) as JSON."""
    if not len(elements.said):
        return {}
    keys = elements.sayings.field("key").dictionary_encode()
    code = pc.fill_null(keys.indices, -1).to_numpy().astype(np.int64)[elements.said]
    parent = np.repeat(np.arange(events), elements.counts)
    order = np.argsort(code, kind="stable")
    bounds = np.searchsorted(code[order], np.arange(len(keys.dictionary) + 1))
    values = elements.sayings.field("value")
    kinds = {name: values.field(name) for name in _VALUE}
    found: dict[str, tuple[Any, bool]] = {}
    for place, key in enumerate(keys.dictionary.to_pylist()):
        at = order[bounds[place] : bounds[place + 1]]
        index = np.full(events, -1, np.int64)
        index[parent[at]] = elements.said[at]
        taken = pa.array(index, mask=index < 0)
        parts = {name: part for name, values_of in kinds.items() if (part := values_of.take(taken)).null_count < events}
        found[key] = _one(parts, events)
    return found


def _one(parts: Mapping[str, Any], events: int) -> tuple[Any, bool]:
    """The four kinds of value as one column."""
    if not parts:
        return pa.nulls(events, pa.string()), False
    if len(parts) == 1:
        return next(iter(parts.values())), False
    if "string_value" not in parts:
        return pc.coalesce(*(part.cast(pa.float64(), safe=False) for part in parts.values())), False
    words = pc.coalesce(*(part if name != "string_value" else _quoted(part) for name, part in _texts(parts).items()))
    return words, True


def _texts(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part if name == "string_value" else part.cast(pa.string()) for name, part in parts.items()}


def _quoted(texts: Any) -> Any:
    return pa.array([None if text is None else json.dumps(text, ensure_ascii=False) for text in texts.to_pylist()], pa.string())
