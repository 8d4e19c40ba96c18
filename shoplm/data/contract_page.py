"""The contract for readers: as a page in words, and as JSON Schema."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from shoplm.data.contract import FLAG, LIST, LONG, MONEY, NUMBER, TABLES, TEXT, TIME, VERSION, WHOLE, Column, Table


def markdown() -> str:
    """The page ``docs/contract.md``."""
    lines = [
        f"# The data contract, version {VERSION}",
        "",
        "<!-- Made by shoplm.data.contract_page.markdown(); do not edit. -->",
        "",
        "`*` marks a required column. Times are stored as UTC microseconds. Columns that the contract does not name go to",
        "`attributes` and can be used in SQL under their own names. Every stored row also carries `source`, `ingested_at` and",
        "`row_digest`. *Known* says from when on a value may be used: always, at the row's own time (`event_time`), when the row was",
        "last updated (`updated_at`), or only `later`, never as an input. A column that a file does not name stays as it was known before;",
        "one that it names overwrites, an empty cell too.",
    ]
    for each in TABLES.values():
        lines += ["", f"## {each.name}", "", each.description, "", f"Key: {', '.join(f'`{name}`' for name in each.key)}."]
        lines[-1] += f" Time: `{each.clock}`." if each.clock else ""
        lines[-1] += "".join(f" At least one of {', '.join(f'`{name}`' for name in group)}." for group in each.any_of)
        if each.derived:
            lines[-1] += f" Made up when the source has none: {', '.join(f'`{name}`' for name in each.derived)}."
        lines += ["", "| column | type | known | meaning |", "|---|---|---|---|"]
        for column in each.columns:
            extra = "; ".join(part for part in (column.unit, "" if column.is_id or column.check is LONG else str(column.check)) if part)
            meaning = column.description + (f" ({extra})" if extra else "")
            lines.append(f"| `{column.name}`{'*' if column.required else ''} | {column.kind} | {column.known} | {meaning} |")
    return "\n".join(lines) + "\n"


_JSON: dict[pa.DataType, dict[str, Any]] = {
    TEXT: {"type": "string"}, WHOLE: {"type": "integer"}, NUMBER: {"type": "number"}, FLAG: {"type": "boolean"},
    MONEY: {"type": ["number", "string"], "pattern": r"^-?[0-9]{1,14}(\.[0-9]{1,4})?$"},
    TIME: {"type": "string", "format": "date-time"}, LIST: {"type": "array", "items": {"type": ["string", "null"]}},
}  # fmt: skip


def json_schema() -> dict[str, Any]:
    """The contract as JSON Schema (draft 2020-12): one document for each table, by name, for rows as the shop holds them.

    Times are RFC 3339, money a number or a decimal in quotes, lists arrays, ``attributes`` an object in a string or plain;
    null says the same as leaving a column out.
    """
    return {name: _document(each) for name, each in TABLES.items()}


def _document(table: Table) -> dict[str, Any]:
    properties = {column.name: _property(column) for column in table.columns}
    stamps = {"source": TEXT, "ingested_at": TIME, "row_digest": WHOLE}
    properties |= {name: {**_JSON[kind], "readOnly": True} for name, kind in stamps.items()}
    document: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:shoplm:contract:{VERSION}:{table.name}",
        "title": table.name,
        "description": table.description,
        "type": "object",
        "properties": properties,
        "required": [column.name for column in table.columns if column.required],
        "additionalProperties": False,
        "x-key": list(table.key),
    }
    groups = [{"anyOf": [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in each]} for each in table.any_of]
    return document | ({"allOf": groups} if groups else {})


def _property(column: Column) -> dict[str, Any]:
    found = dict(_JSON[column.type])
    if column.name == "attributes":
        found = {"type": ["object", "string"]}
    if column.check.one_of:
        found["enum"] = list(column.check.one_of)
    if column.check.low is not None:
        found["minimum"] = column.check.low
    if column.check.high is not None:
        found["maximum"] = column.check.high
    if column.check.longest is not None:
        found["maxLength"] = column.check.longest
    if not column.required:
        kinds = found["type"] if isinstance(found["type"], list) else [found["type"]]
        found["type"] = [*kinds, "null"]
        if "enum" in found:
            found["enum"] = [*found["enum"], None]
    unit = f" ({column.unit})" if column.unit else ""
    return {**found, "description": column.description + unit, "x-known": column.known}
