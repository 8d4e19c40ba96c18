"""A query to a real PostgreSQL server comes in streamed; what the server refuses is said in one line, without the password."""

import gc
import os
import subprocess
import sys

import pytest

from shoplm.data.shop import Shop
from shoplm.errors import DataError, ResourceError

VARIABLE = "SHOPLM_POSTGRES"
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # psycopg leaves a cursor that it could not declare

STREAM = """
import resource, sys
from pathlib import Path
from shoplm.data.importers.postgres import read
rows, first = 0, 0
for chunk in read([Path(sys.argv[1])], "events"):
    rows += chunk.rows.num_rows
    if rows == 40_000:
        first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first) // 1024)
"""


def query(tmp_path, sql):
    file = tmp_path / "QUERY.sql"
    file.write_text(sql)
    return file


@pytest.fixture
def server(postgres_url, monkeypatch):
    monkeypatch.setenv(VARIABLE, postgres_url)
    yield postgres_url
    gc.collect()  # so that psycopg's complaint is heard in this file


def test_rows_of_every_type_arrive_by_name(server, tmp_path):
    sql = """
    SELECT 'e' || n AS event_id, timestamptz '2026-01-31 10:30+01' + n * interval '1 s' AS event_time, 'view_item' AS event_name, 'u1' AS user_id,
           9.25::numeric AS price, NULL::text AS currency, ARRAY['a', 'b'] AS impression, '{"k": [1]}'::jsonb AS extra, true AS fresh,
           '3f0c22ab-0000-0000-0000-000000000001'::uuid AS visit, 'x%y :z' AS words
    FROM generate_series(1, 3) n ORDER BY n;
    """
    shop = Shop(tmp_path / "shop", create=True)
    report = shop.import_files(query(tmp_path, sql), format="postgres", table="events")
    assert (report.inserted, report.quarantined) == (3, 0)
    row = shop.view().sql("select * from events order by event_time").to_pylist()[0]
    assert row["event_time"].isoformat() == "2026-01-31T09:30:01+00:00"
    assert (float(row["price"]), row["impression"], row["extra"], row["fresh"], row["words"]) == (
        9.25,
        ["a", "b"],
        '{"k":[1]}',
        True,
        "x%y :z",
    )
    assert (row["visit"], row["source"]) == ("3f0c22ab-0000-0000-0000-000000000001", "postgres")
    again = shop.import_files(query(tmp_path, sql), format="postgres", table="events")
    assert (again.duplicate, again.data_version) == (3, report.data_version)


def test_columns_can_be_mapped_and_faults_name_their_row(server, tmp_path):
    sql = "SELECT n AS number, CASE n WHEN 2 THEN '' ELSE 'good' END AS words FROM generate_series(1, 3) n"
    shop = Shop(tmp_path / "shop", create=True)
    report = shop.import_files(query(tmp_path, sql), format="postgres", table="reviews", mapping={"item_id": "number", "body": "words"})
    assert (report.inserted, report.quarantined) == (2, 1)
    assert "line 2" in str(report)


def test_two_hundred_thousand_rows_are_streamed_in_flat_memory(server, tmp_path):
    sql = """SELECT 'e' || n AS event_id, to_timestamp(n) AS event_time, 'view_item' AS event_name, 'u' || n % 99 AS user_id, repeat('x', 200) AS words
             FROM generate_series(1, 200000) n"""
    done = subprocess.run(
        [sys.executable, "-c", STREAM, str(query(tmp_path, sql))], capture_output=True, text=True, env=os.environ, check=True
    )
    rows, grown_mb = map(int, done.stdout.split())
    assert rows == 200_000
    assert grown_mb < 20  # the rows themselves are over 50 MB


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELEC 1", "refuses the query .*syntax error"),
        ("SELECT * FROM no_such_table", "refuses the query .*no_such_table"),
        ("SELECT 1 AS a, 2 AS a", "two columns called `a`"),
        ("CREATE TABLE t (a int)", "refuses the query|one query that gives rows"),
        ("  ;\n", "holds no query"),
        ("SELECT 1 AS a", "needs a column"),
        (
            "SELECT 1 / (3 - n) AS event_id, now() AS event_time, 'x' AS event_name, 'u' AS user_id FROM generate_series(1, 3) n",
            "refuses the query .*zero",
        ),
    ],
)
def test_a_query_that_cannot_be_right_is_one_line(server, tmp_path, sql, words):
    shop = Shop(tmp_path / "shop", create=True)
    with pytest.raises(DataError, match=words) as error:
        shop.import_files(query(tmp_path, sql), format="postgres", table="events")
    assert "\n" not in str(error.value)
    assert shop.counts() == {}


def test_two_queries_are_one_line(server, tmp_path):
    with pytest.raises(DataError, match="refuses the query"):
        Shop(tmp_path / "shop", create=True).import_files(query(tmp_path, "SELECT 1; SELECT 2"), format="postgres", table="events")


def test_a_query_cannot_write(server, tmp_path):
    with pytest.raises(DataError, match=r"read-only|refuses"):
        list(importer_read(query(tmp_path, "SELECT nextval('s')"), "CREATE SEQUENCE IF NOT EXISTS s"))


def importer_read(file, before):
    import sqlalchemy as sa

    from shoplm.data.importers.postgres import read

    engine = sa.create_engine(sa.engine.make_url(os.environ[VARIABLE]).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.exec_driver_sql(before)
    engine.dispose()
    return read([file], "events")


@pytest.mark.parametrize(
    ("address", "error", "words"),
    [
        ("postgresql://ann:s3cret@127.0.0.1:1/shop", ResourceError, "cannot be reached"),
        ("mysql://ann:s3cret@h/shop", DataError, "expected postgresql"),
        ("s3cret", DataError, "is no address"),
        ("", DataError, "no server is named; set SHOPLM_POSTGRES="),
    ],
)
def test_a_server_that_is_not_there_is_one_line_without_the_password(tmp_path, monkeypatch, address, error, words):
    monkeypatch.setenv(VARIABLE, address)
    with pytest.raises(error, match=words) as refusal:
        Shop(tmp_path / "shop", create=True).import_files(query(tmp_path, "SELECT 1"), format="postgres", table="events")
    assert "\n" not in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_a_query_needs_a_table(server, tmp_path):
    with pytest.raises(DataError, match="--table"):
        Shop(tmp_path / "shop", create=True).import_files(query(tmp_path, "SELECT 1"), format="postgres")
