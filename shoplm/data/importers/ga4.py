"""GA4's BigQuery export as JSON Lines into ``events``, a row for each item of an event, and consent into ``users``.

DuckDB reads whole blocks of lines into columns and Arrow spreads parameters and items, two blocks at a time, so no line
becomes a Python object. A visit is (user_pseudo_id, ga_session_id). What an event says as a whole and the contract does not name stands
on its first row only, and so does its worth, so that sums are right.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data import contract
from shoplm.data.ahead import spread
from shoplm.data.convert import JSON_MARK, name_in_sql, text_in_sql
from shoplm.data.importers._drive import check_table
from shoplm.data.importers._lines import COLUMNS, ROWS, Block, line_blocks, opened
from shoplm.data.importers._rows import chunk
from shoplm.data.ingest import SEEN_LENGTH, Chunk, Fault
from shoplm.errors import DataError

SOURCE = "ga4"
BLOCK = 16_000_000
"""Bytes of lines that are read at a time."""

USERS = ("user_id", "consent_analytics", "consent_ads")
BATCH = 1000
"""``event_seq`` is the event's place in its batch times this, plus the item's place; GA4 takes 200 items at most."""

_VALUE = {"string_value": "VARCHAR", "int_value": "BIGINT", "float_value": "DOUBLE", "double_value": "DOUBLE"}
_ITEM_OURS = ("item_id", "price", "quantity", "item_list_name", "item_list_index", "promotion_id")
_SHAPE: dict[str, Any] = {
    **dict.fromkeys(("event_timestamp", "event_name", "user_id", "user_pseudo_id"), "VARCHAR"), "batch_event_index": "BIGINT",
    "event_params": [{"key": "VARCHAR", "value": _VALUE}], "items": [],
    **dict.fromkeys(("privacy_info", "ecommerce", "device", "geo", "traffic_source"), "JSON"),
}  # fmt: skip
"""What is read from every line; all other keys of a line are kept as JSON."""
_LISTS = ("event_params", "items")
_PARAMS = {"ga_session_id": "session", "currency": "currency", "value": "value", "search_term": "search_term", "transaction_id": "transaction_id",
           "item_list_name": "item_list_name"}  # fmt: skip
"""Parameters that the contract names."""
_NOTHING = "('', '(not set)', '(not provided)', '(none)')"


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

    with _Consent() as consent, closing(spread(work, (block for block in line_blocks(file, BLOCK) if len(block.text)))) as done:
        for events, said, faults in done:
            empty = False
            if said is not None and said.num_rows:
                consent.put(said)
            if events is not None:
                yield events
            elif faults:
                yield chunk("users", USERS, [], [], str(file), SOURCE, faults=faults)
        for rows, lines in consent.merged():
            yield Chunk("users", rows, lines, str(file), (), False, SOURCE, sparse=True)
    if empty:
        raise DataError(f"{file}: holds only blank lines; give one JSON object a line")


@dataclass(frozen=True)
class _Read:
    """A block's events in columns; ``others`` are the columns of keys that are not in the shape, and ``more`` those of its items."""

    rows: pa.Table
    lines: np.ndarray[Any, np.dtype[np.int64]]
    others: tuple[str, ...]
    more: tuple[str, ...]
    faults: tuple[Fault, ...]


def _read(con: duckdb.DuckDBPyConnection, file: Path, block: Block) -> _Read:
    text, numbers, faults = block.text, block.numbers, []
    try:
        keys, item_keys = _keys(con, text)
    except duckdb.InvalidInputException:  # some line is no JSON: only then is each line asked
        valid = _ask(con, text, "json_valid(t)")
        for i in np.flatnonzero(~valid):
            faults.append(_fault(text, numbers, int(i), "", "is not JSON", "write one exported row a line"))
        kept = pa.array(np.flatnonzero(valid))
        text, numbers = text.take(kept), numbers[valid]
        keys, item_keys = _keys(con, text)
    if len(keys) + len(item_keys) > COLUMNS:
        raise DataError(f"{file}, near line {numbers[0]}: more than {COLUMNS} different keys; is this GA4's export?")
    plain, odd = _apart(keys, _SHAPE)
    item_plain, item_odd = _apart(item_keys, dict.fromkeys(_ITEM_OURS))
    if item_odd:
        raise DataError(
            f"{file}, near line {numbers[0]}: an item has two keys that differ in case only, such as `{item_odd[0]}`; is this GA4's export?"
        )
    item = {**dict.fromkeys(_ITEM_OURS, "VARCHAR"), **dict.fromkeys(item_plain, "JSON")}
    shape = json.dumps({**_SHAPE, "items": [item], **dict.fromkeys(plain, "JSON")}, ensure_ascii=False)
    others = [f"v.{name_in_sql(name)} AS o{place}" for place, name in enumerate(plain)]
    others += [f"json_extract(t, {text_in_sql(_pointer(name))}) AS o{place}" for place, name in enumerate(odd, len(plain))]
    con.register("_lines", pa.table({"t": text}))
    # materialized, or every column that is selected parses its line again
    read = f"WITH _read AS MATERIALIZED (SELECT t, from_json(t, {text_in_sql(shape)}) AS v FROM _lines) "
    rows = con.sql(read + _SELECT + "".join(f", {other}" for other in others) + " FROM _read").to_arrow_table()
    con.unregister("_lines")
    wrong = rows["nothing"].to_numpy().astype(bool)
    for i in np.flatnonzero(wrong):
        faults.append(_fault(text, numbers, int(i), "", "is not a JSON object", "write one exported row a line"))
    for name in _LISTS:
        kinds, inner = rows[f"{name}_type"], rows[name].combine_chunks()
        bad = pc.fill_null(pc.not_equal(kinds, "NULL"), False).to_numpy(zero_copy_only=False).copy()
        name_of = inner.flatten().field("key" if name == "event_params" else "item_id")
        if name_of.null_count:  # an element that is no object has no name, but so has an item without an id
            asked = np.unique(pc.list_parent_indices(inner).filter(pc.is_null(name_of)).to_numpy())
            not_objects = f"len(list_filter(json_type(t, '$.{name}[*]'), lambda k: k <> 'OBJECT')) > 0"
            bad[asked[_ask(con, text.take(pa.array(asked)), not_objects)]] = True
        for i in np.flatnonzero(bad & ~wrong):
            faults.append(_fault(text, numbers, int(i), name, "is not a list of objects", "write the row as BigQuery exports it"))
        wrong |= bad
    late = pc.and_(pc.is_valid(rows["stamp"]), pc.is_null(rows["event_time"])).to_numpy(zero_copy_only=False) & ~wrong
    for i in np.flatnonzero(late):
        seen = rows["stamp"][i].as_py()[:SEEN_LENGTH]
        faults.append(Fault(int(numbers[i]), "event_timestamp", seen, "is not a time in microseconds", "write the microseconds since 1970"))
    wrong |= late
    if wrong.any():
        rows, numbers = rows.filter(pa.array(~wrong)), numbers[~wrong]
    return _Read(rows, numbers, (*plain, *odd), tuple(item_plain), tuple(sorted(faults, key=lambda fault: fault.line)))


_TEXT = "CASE WHEN v.{0} NOT IN " + _NOTHING + " THEN v.{0} END AS {0}"
_SELECT = (
    "SELECT v IS NULL AS nothing, v.event_timestamp AS stamp, CASE WHEN TRY_CAST(v.event_timestamp AS BIGINT) BETWEEN -62135596800000000 AND 253402300799999999 "
    "THEN make_timestamp(TRY_CAST(v.event_timestamp AS BIGINT)) END AS event_time, "
    "CASE v.event_name WHEN 'view_search_results' THEN 'search' ELSE v.event_name END AS event_name, "
    + ", ".join(_TEXT.format(name) for name in ("user_id", "user_pseudo_id"))
    + ", v.batch_event_index AS batch, v.event_params AS event_params, v.items AS items, "
    + ", ".join(f"CASE WHEN v.{name} IS NULL THEN json_type(t, '$.{name}') END AS {name}_type" for name in _LISTS)
    + ", json_extract_string(v.ecommerce, '$.transaction_id') AS transaction_id, json_extract_string(v.ecommerce, '$.purchase_revenue') AS revenue, "
    "json_extract_string(v.ecommerce, '$.refund_value') AS refund, json_extract_string(v.device, '$.category') AS device, "
    "json_extract_string(v.geo, '$.country') AS country, json_extract_string(v.traffic_source, '$.source') AS channel, "
    "v.ecommerce AS more_ecommerce, v.device AS more_device, v.geo AS more_geo, v.traffic_source AS more_traffic_source, v.privacy_info AS more_privacy_info"
)
_WHOLE = {
    "ecommerce": "ecommerce",
    "device": "device_info",
    "geo": "geo",
    "traffic_source": "traffic_source",
    "privacy_info": "privacy_info",
}
"""Objects of which the contract names a part, and the attribute that keeps each of them whole."""


def _keys(con: duckdb.DuckDBPyConnection, text: pa.StringArray) -> tuple[list[str], list[str]]:
    """The keys of all lines, and of all items, in order."""
    con.register("_lines", pa.table({"t": text}))
    try:
        found = con.sql("SELECT DISTINCT json_keys(t) AS k, json_keys(t, '$.items[*]') AS m FROM _lines").fetchall()
    finally:
        con.unregister("_lines")
    top = {key for keys, _ in found for key in keys or ()}
    items = {key for _, lists in found for keys in lists or () for key in keys or ()}
    return sorted(top), sorted(items)


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
    con.register("_lines", pa.table({"t": text}))
    answer = con.sql(f"SELECT {what} AS a FROM _lines").to_arrow_table()["a"]
    con.unregister("_lines")
    found: np.ndarray[Any, np.dtype[np.bool_]] = answer.to_numpy().astype(bool)
    return found


def _fault(text: pa.StringArray, numbers: np.ndarray[Any, np.dtype[np.int64]], i: int, column: str, reason: str, fix: str) -> Fault:
    return Fault(int(numbers[i]), column, text[i].as_py().strip()[:SEEN_LENGTH], reason, fix)


_LAST = "(coalesce(event_time, TIMESTAMP '-infinity'), line)"
_LAST_SAID = (
    "SELECT user_id, "
    + ", ".join(f"arg_max({name}, {_LAST}) FILTER ({name} IS NOT NULL) AS {name}" for name in USERS[1:])
    + f", max(coalesce(event_time, TIMESTAMP '-infinity')) AS event_time, arg_max(line, {_LAST}) AS line"
)
"""Of each shopper the last word for every choice, and where the last of all was said; what has no time was said before all times."""


def _consent(con: duckdb.DuckDBPyConnection, found: _Read) -> pa.Table:
    """What the shoppers of a block allow: ``USERS``, event_time, line."""
    rows = found.rows.select(["user_id", "user_pseudo_id", "event_time", "more_privacy_info"]).append_column("line", pa.array(found.lines))
    con.register("_rows", rows.filter(pc.is_valid(rows["more_privacy_info"])))
    said = con.sql(
        f"{_LAST_SAID} FROM (SELECT coalesce(user_id, user_pseudo_id) AS user_id, event_time, line, "
        + ", ".join(
            f"CASE WHEN json_extract_string(more_privacy_info, '$.{theirs}') IN ('Yes', 'No') THEN json_extract_string(more_privacy_info, '$.{theirs}') "
            f"END AS {ours}"
            for theirs, ours in _ALLOWED.items()
        )
        + " FROM _rows) WHERE user_id IS NOT NULL AND (consent_analytics IS NOT NULL OR consent_ads IS NOT NULL) GROUP BY user_id"
    ).to_arrow_table()
    con.unregister("_rows")
    return said


_ALLOWED = {"analytics_storage": "consent_analytics", "ads_storage": "consent_ads"}


class _Consent:
    """What shoppers allow, in a DuckDB file of its own until the export ends; leave it (``with``) and the file is gone."""

    def __init__(self) -> None:
        self._left = ExitStack()
        self._con: duckdb.DuckDBPyConnection | None = None

    def __enter__(self) -> _Consent:
        return self

    def __exit__(self, *_: object) -> None:
        self._left.close()

    def put(self, said: pa.Table) -> None:
        """Keep what a block said (see ``_consent``)."""
        if self._con is None:
            folder = Path(self._left.enter_context(tempfile.TemporaryDirectory(prefix="shoplm-")))
            limits = {"temp_directory": str(folder / "spill"), "memory_limit": "256MB", "threads": "1"}
            self._con = self._left.enter_context(duckdb.connect(str(folder / "said.duckdb"), config=limits))
            self._con.execute(
                "CREATE TABLE said (user_id VARCHAR, consent_analytics VARCHAR, consent_ads VARCHAR, event_time TIMESTAMP, line BIGINT)"
            )
        self._con.register("_said", said)
        self._con.execute("INSERT INTO said SELECT * FROM _said")
        self._con.unregister("_said")

    def merged(self) -> Iterator[tuple[pa.Table, np.ndarray[Any, np.dtype[np.int64]]]]:
        """A row for each shopper, in pieces, and the line on which the last word was said."""
        if self._con is None:
            return
        for batch in self._con.sql(f"{_LAST_SAID} FROM said GROUP BY user_id ORDER BY user_id").to_arrow_reader(ROWS):
            table = pa.Table.from_batches([batch])
            yield table.select(USERS), table["line"].to_numpy()


def _events(file: Path, found: _Read) -> Chunk:
    """Spread parameters over columns and items over rows."""
    rows = found.rows
    items = rows["items"].combine_chunks()
    counts = pc.fill_null(pc.list_value_length(items), 0).to_numpy().astype(np.int64)
    repeats = np.maximum(counts, 1)
    event = np.repeat(np.arange(len(counts)), repeats)
    within = np.arange(len(event)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    starts = np.cumsum(counts) - counts  # flatten() leaves out what nulls hide
    has = counts[event] > 0
    item = pa.array(starts[event] + within, mask=~has)
    whole = pa.array(event)
    once = pa.array(event, mask=within > 0)
    flat = items.flatten()
    param = _params(rows["event_params"].combine_chunks(), len(counts))

    def of_event(name: str) -> Any:
        return rows[name].combine_chunks().take(whole)

    def of_item(name: str) -> Any:
        return _meant(flat.field(name).take(item))

    def of_param(name: str) -> Any:
        column, mark = param.pop(name, (pa.nulls(len(counts), pa.string()), False))
        text = column if pa.types.is_string(column.type) else column.cast(pa.string())
        return _meant(pc.if_else(pc.starts_with(text, '"'), pc.utf8_trim(text, '"'), text) if mark else text)

    session = of_param("ga_session_id")
    visit = pc.binary_join_element_wise(rows["user_pseudo_id"].combine_chunks(), session, "/")
    value = pc.coalesce(_meant(rows["revenue"].combine_chunks()), _meant(rows["refund"].combine_chunks()), of_param("value"))
    batch = pc.fill_null(rows["batch"], 0).to_numpy().astype(np.int64)
    order = pc.coalesce(_meant(rows["transaction_id"].combine_chunks()), of_param("transaction_id"))
    columns: dict[str, Any] = {
        "event_time": of_event("event_time"), "event_seq": pa.array(batch[event] * BATCH + within), "event_name": of_event("event_name"),
        "user_id": of_event("user_id"), "user_pseudo_id": of_event("user_pseudo_id"), "session_id": visit.take(whole), "item_id": of_item("item_id"),
        "price": of_item("price"), "quantity": of_item("quantity"), "currency": of_param("currency").take(whole), "event_value": value.take(once),
        "item_list_name": pc.coalesce(of_item("item_list_name"), of_param("item_list_name").take(whole)), "index": of_item("item_list_index"),
        "search_term": of_param("search_term").take(whole), "transaction_id": order.take(whole), "promotion_id": of_item("promotion_id"),
        **{name: _meant(of_event(name)) for name in ("device", "channel", "country")},
    }  # fmt: skip
    fields = [pa.field(name, column.type) for name, column in columns.items()]
    arrays = list(columns.values())
    more = [(name, column.take(once), mark) for name, (column, mark) in param.items()]
    more += [(ours, rows[f"more_{theirs}"].combine_chunks().take(once), True) for theirs, ours in _WHOLE.items()]
    more += [(name, rows[f"o{place}"].combine_chunks().take(once), True) for place, name in enumerate(found.others)]
    more += [(name, flat.field(name).take(item), True) for name in found.more]
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


def _params(lists: Any, events: int) -> dict[str, tuple[Any, bool]]:
    """A column for each parameter, an entry for each event, in the parameter's own type or (then True) as JSON."""
    flat = lists.flatten()
    if not len(flat):
        return {}
    keys = flat.field("key").dictionary_encode()
    code = pc.fill_null(keys.indices, -1).to_numpy().astype(np.int64)
    parent = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
    order = np.argsort(code, kind="stable")
    bounds = np.searchsorted(code[order], np.arange(len(keys.dictionary) + 1))
    values = flat.field("value")
    kinds = {name: values.field(name) for name in _VALUE}
    found: dict[str, tuple[Any, bool]] = {}
    for place, key in enumerate(keys.dictionary.to_pylist()):
        at = order[bounds[place] : bounds[place + 1]]
        index = np.full(events, -1, np.int64)
        index[parent[at]] = at
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
