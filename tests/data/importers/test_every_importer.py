"""What every importer owes: the rows that the contract says, nothing dropped in silence, twice is once, no bytes that break it.

``golden/<format>`` holds small files of our own with broken rows in them, and ``expected.json``: the contract's rows
(without made-up ids), the faults as file, line and column, and the values kept as attributes.
"""

import datetime
import decimal
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoplm.data import contract
from shoplm.data.importers import importer, names
from shoplm.data.shop import Shop
from shoplm.errors import DataError

GOLDEN = Path(__file__).parent / "golden"
FORMATS = sorted(set(names()) - {"table", "postgres"})  # table has no shape of its own, postgres no files


def files_of(name):
    return sorted(file for file in (GOLDEN / name).iterdir() if file.name != "expected.json")


def expected_of(name):
    return json.loads((GOLDEN / name / "expected.json").read_text())


def plain(row, columns):
    found = {}
    for name in columns:
        value = row[name]
        if isinstance(value, datetime.datetime):
            value = value.isoformat()
        elif isinstance(value, decimal.Decimal):
            value = float(value)
        elif name == "attributes" and value is not None:
            value = json.loads(value)
        if value is not None:
            found[name] = value
    return found


def rows_of(shop, table):
    names = list(contract.table(table).by_name)
    return [plain(row, names) for row in shop.view().sql(f"select * from {table}").to_pylist()]


def in_order(rows):
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))


def quarantine_of(report):
    return [
        json.loads(line) for table in report.tables.values() for file in table.quarantine for line in Path(file).read_text().splitlines()
    ]


def test_every_format_has_golden_files():
    assert sorted(folder.name for folder in GOLDEN.iterdir()) == FORMATS


@pytest.mark.parametrize("name", FORMATS)
def test_a_golden_file_becomes_the_expected_rows_once_and_its_faults_are_named(name, tmp_path):
    shop, expected = Shop(tmp_path / "shop", create=True), expected_of(name)
    report = shop.import_files(*files_of(name), format=name)
    assert report.read == report.inserted + report.updated + report.duplicate + report.quarantined
    assert set(shop.counts()) == {table for table, rows in expected["rows"].items() if rows}
    for table, rows in expected["rows"].items():
        made = set(contract.table(table).derived) - {key for row in rows for key in row}
        found = [{key: value for key, value in row.items() if key not in made} for row in rows_of(shop, table)]
        assert in_order(found) == in_order(rows)
    faults = quarantine_of(report)
    assert sorted([Path(fault["file"]).name, fault["line"], fault["column"]] for fault in faults) == expected["faults"]
    assert all(fault["reason"] and fault["fix"] for fault in faults)
    assert {table: dict(each.unknown) for table, each in report.tables.items()} == expected["unknown"]
    assert any(expected["unknown"].values())
    assert expected["faults"]
    assert shop.manifest().version == 1  # all tables in one transaction

    again = shop.import_files(*files_of(name), format=name)
    assert (again.inserted, again.updated, again.duplicate, again.quarantined) == (
        0,
        0,
        report.inserted + report.updated,
        report.quarantined,
    )
    assert again.data_version == report.data_version
    assert set(shop.view().sql("select distinct source from " + next(iter(shop.counts())))["source"].to_pylist()) == {name}


@pytest.mark.parametrize("name", FORMATS)
def test_strict_refuses_the_golden_files_in_one_line_that_names_a_line(name, tmp_path):
    shop = Shop(tmp_path / "shop", create=True)
    with pytest.raises(DataError, match=r"line \d+") as error:
        shop.import_files(*files_of(name), format=name, strict=True)
    assert "\n" not in str(error.value)
    assert shop.counts() == {}


@pytest.mark.parametrize("name", FORMATS)
def test_one_table_can_be_asked_for_and_another_is_refused(name, tmp_path):
    rows = expected_of(name)["rows"]
    shop = Shop(tmp_path / "shop", create=True)
    last = [table for table in rows if rows[table]][-1]
    shop.import_files(*files_of(name), format=name, table=last)
    assert set(shop.counts()) == {last}
    other = next(table for table in contract.TABLES if table not in rows and table not in ("reviews",))
    with pytest.raises(DataError, match=r"the format `.*` fills"):
        shop.import_files(*files_of(name), format=name, table=other)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("content", "words"), [(b"", "is empty"), (b"\n\n", "blank|holds only"), (b"\xff\xfe\xff", "UTF-16|UTF-8|well-formed|shape"),
                                                (b"id\t\xe9", "UTF-8|well-formed|ending|header")])  # fmt: skip
def test_a_file_that_is_no_text_is_refused_in_one_line(name, content, words, tmp_path):
    file = tmp_path / files_of(name)[0].name
    file.write_bytes(content)
    with pytest.raises(DataError, match=words) as error:
        list(importer(name).read([file]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_file_is_refused(name, tmp_path):
    with pytest.raises(DataError, match="No such file"):
        list(importer(name).read([tmp_path / files_of(name)[0].name]))


GOLDENS = [(name, file.name, file.read_bytes()) for name in FORMATS for file in files_of(name)]
PIECES = [b"null", b"[]", b"{}", b'"', b"\\", b"\n", b"\0", b",", b"\t", b"-1", b"1e999", b"99999999999999999999", b"NaN", b"\xc3\xa9", b"\xff", b"<", b"&a;",
          b"<!DOCTYPE a>", b"\\ud800", b"[1]", b":", b"true", b"2026-01-31", b"[[[["]  # fmt: skip


@st.composite
def mutated(draw):
    """A golden file with some bytes cut out and others put in; sometimes nothing of it is left."""
    name, file, content = draw(st.sampled_from(GOLDENS))
    if draw(st.integers(0, 9)) == 0:
        return name, file, draw(st.binary(max_size=200))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 12))
        content = content[:begin] + draw(st.sampled_from(PIECES) | st.binary(max_size=4)) + content[begin + length :]
    return name, file, content


def held(found, lines):
    for chunk in found:
        assert len(chunk.lines) == chunk.rows.num_rows
        assert all(1 <= line <= lines for line in [*np.asarray(chunk.lines).tolist(), *(fault.line for fault in chunk.faults)])


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=mutated())
def test_any_bytes_are_read_with_true_lines_or_refused(case):
    name, file, content = case
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.write_bytes(content)
        try:
            held(importer(name).read([path]), content.count(b"\n") + 1)
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=mutated())
def test_any_bytes_give_a_report_that_adds_up_or_one_line_of_refusal(case):
    name, file, content = case
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder) / "shop", create=True)
        path = Path(folder) / file
        path.write_bytes(content)
        try:
            report = shop.import_files(path, format=name)
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017
            assert shop.counts() == {}
            return
        assert report.read == report.inserted + report.updated + report.duplicate + report.quarantined
        assert sum(shop.counts().values()) == report.inserted
        again = shop.import_files(path, format=name)
        assert (again.inserted, again.data_version) == (0, report.data_version)
