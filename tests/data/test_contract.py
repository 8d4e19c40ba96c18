"""The contract holds together and its page is current."""

import json
import re
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoplm.data import contract, contract_page
from shoplm.data.shop import Shop
from shoplm.errors import DataError

PAGE = Path(__file__).parents[2] / "docs" / "contract.md"


TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int, "number": (int, float)}
LOOSE = {"$schema", "$id", "title", "description", "format", "readOnly", "x-key", "x-known"}


def kinds(document):
    found = document.get("type", list(TYPES))
    return found if isinstance(found, list) else [found]


def well_formed(document):
    """The part of draft 2020-12 that our documents use, each keyword with the value that the draft asks for."""
    assert isinstance(document, dict)
    assert all(kind in TYPES for kind in kinds(document))
    for name, value in document.items():
        if name in ("properties",):
            for inner in value.values():
                well_formed(inner)
        elif name in ("items", "not"):
            well_formed(value)
        elif name in ("allOf", "anyOf"):
            assert value
            for inner in value:
                well_formed(inner)
        elif name == "required":
            assert len(set(value)) == len(value)
        elif name == "pattern":
            re.compile(value)
        else:
            assert name in LOOSE | {"type", "enum", "minimum", "maximum", "maxLength", "additionalProperties"}, name


def fits(value, document):
    """Does JSON Schema let the value pass? The words of ``well_formed`` only."""
    if not any(isinstance(value, TYPES[kind]) and (not isinstance(value, bool) or kind == "boolean") for kind in kinds(document)):
        return False
    number, text = isinstance(value, int | float) and not isinstance(value, bool), isinstance(value, str)
    checks = [
        "enum" not in document or value in document["enum"],
        not number or document.get("minimum", value) <= value <= document.get("maximum", value),
        not text or len(value) <= document.get("maxLength", len(value)),
        not text or re.search(document.get("pattern", ""), value) is not None,
        not isinstance(value, list) or all(fits(each, document.get("items", {})) for each in value),
        all(fits(value, inner) for inner in document.get("allOf", [])),
        "anyOf" not in document or any(fits(value, inner) for inner in document["anyOf"]),
        "not" not in document or not fits(value, document["not"]),
    ]
    if isinstance(value, dict):
        known = document.get("properties", {})
        checks.append(set(document.get("required", ())) <= set(value))
        checks.append(all(fits(inner, known[key]) for key, inner in value.items() if key in known))
        checks.append(document.get("additionalProperties", True) or set(value) <= set(known))
    return all(checks)


def test_the_docs_page_is_what_the_declarations_say():
    assert PAGE.read_text(encoding="utf-8") == contract_page.markdown()


@pytest.mark.parametrize("table", contract.TABLES.values(), ids=lambda table: table.name)
def test_every_table_names_only_its_own_columns(table):
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)
    assert {*table.key, *table.derived, *(name for name, _ in table.fallback), *(n for group in table.any_of for n in group)} <= set(names)
    assert table.clock is None or table[table.clock].type == contract.TIME
    assert all(table[name].required for name in table.key if (table.name, name) != ("spend", "campaign_id"))  # not every channel is divided
    assert table.updated is None or table[table.updated].type == contract.TIME
    assert all(column.description for column in table.columns)
    assert table.clock or all(column.known in ("always", "later") for column in table.columns)


def test_an_unknown_table_or_column_is_answered_with_the_closest():
    with pytest.raises(DataError, match="did you mean `reviews`"):
        contract.table("review")
    with pytest.raises(DataError, match="did you mean `rating`"):
        contract.REVIEWS["ratng"]


@pytest.mark.parametrize("table", contract.TABLES, ids=str)
def test_every_table_has_a_valid_json_schema_that_names_its_columns(table):
    document = contract_page.json_schema()[table]
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    well_formed(document)
    assert list(document["properties"]) == contract.TABLES[table].schema.names
    assert json.loads((PAGE.parent / "contract.schema.json").read_text("utf-8"))[table] == document


WORDS = st.one_of(
    st.none(),
    st.sampled_from(["", "a", "in_stock", "user", "placed", "person", "web", "new", "EUR", "x" * 300, "EURO"]),
    st.text(max_size=8),
)
NUMBERS = st.one_of(st.sampled_from(["0", "1", "-1", "4.5", "7", "1e400", "nan", "12.34567"]), st.integers(-3, 9).map(str))
TIMES = st.sampled_from(["2024-01-31T09:30:00Z", "2024-01-31", "1700000000", "yesterday", "0001-01-01", None])
VALUES = {contract.TEXT: WORDS, contract.WHOLE: NUMBERS, contract.NUMBER: NUMBERS, contract.MONEY: NUMBERS, contract.TIME: TIMES,
          contract.FLAG: st.sampled_from(["true", "no", "perhaps", None]), contract.LIST: st.sampled_from(["a|b", "", None])}  # fmt: skip


@st.composite
def imports(draw):
    """A table's name and some foreign rows, right and wrong."""
    table = contract.TABLES[draw(st.sampled_from(sorted(contract.TABLES)))]
    optional = [column for column in table.columns if not column.required and column.name != "attributes"]
    columns = [*(c for c in table.columns if c.required), *draw(st.lists(st.sampled_from(optional), unique=True, max_size=6))]
    columns += [table[group[0]] for group in table.any_of if table[group[0]] not in columns]
    n = draw(st.integers(1, 30))
    kind = {column.name: draw(st.lists(VALUES[column.type], min_size=n, max_size=n)) for column in columns}
    return table.name, pa.table({name: pa.array(values, pa.string()) for name, values in kind.items()})


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(imports())
def test_a_row_that_passes_the_import_passes_the_schema(data):
    name, rows = data
    document = contract_page.json_schema()[name]
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder) / "shop", create=True)
        report = shop.upsert(name, rows)
        assert report.read == rows.num_rows == report.inserted + report.updated + report.duplicate + report.quarantined
        for row in shop.view().sql(f"select * from {name}").to_pylist():
            plain = {key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in row.items()}
            plain |= {
                key: float(value)
                for key, value in plain.items()
                if contract.TABLES[name].schema.field(key).type == contract.MONEY and value is not None
            }
            assert fits(plain, document)
            for key in contract.TABLES[name].key:
                assert not fits({**plain, key: {}}, document)  # and the schema says no where the import would
                assert not contract.TABLES[name][key].is_id or not fits({**plain, key: "x" * 300}, document)
