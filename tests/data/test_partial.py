"""What a file does not name stays as it was known; what it names overwrites."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shoplm.data import partial, upsert, waiting
from shoplm.data.ingest import Chunk
from shoplm.data.shop import Shop
from shoplm.errors import DataError

WHOLE = pa.table({
    "user_id": ["a", "b", "c"], "country": ["DE", "FR", "IT"], "membership": ["gold", None, "silver"], "segments": [["x", "y"], None, ["z"]],
    "created_at": ["2024-01-01", "2024-02-01", None], "consent_ads": [True, False, None],
})  # fmt: skip
PRODUCTS = pa.table({"id": ["p", "q"], "title": ["Cup", "Mug"], "price": ["9.50", "3"], "currency": ["EUR", "EUR"]})


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "shop", create=True)


def said(shop, table, key):
    """Every stored value by key, without when and where from."""
    rows = shop.view().sql(f"select * exclude (ingested_at, source) from {table} order by {key}")
    return rows.to_pylist()


def same_as(tmp_path, shop, table, key, rows):
    """Is the table what importing ``rows`` into an empty shop would have made, digests and all?"""
    other = Shop(tmp_path / "other", create=True)
    other.upsert(table, rows)
    assert said(shop, table, key) == said(other, table, key)
    mine, theirs = shop.manifest().tables[table], other.manifest().tables[table]
    assert (mine.rows, mine.content, mine.attributes) == (theirs.rows, theirs.content, theirs.attributes)


def test_a_column_that_is_not_named_stays_and_an_empty_cell_overwrites(shop, tmp_path):
    shop.upsert("users", WHOLE)
    report = shop.upsert(
        "users", pa.table({"user_id": ["b", "a", "d"], "consent_ads": [True, None, True], "membership": ["gold", None, None]})
    )
    assert (report.inserted, report.updated, report.duplicate) == (1, 2, 0)
    after = pa.table({
        "user_id": ["a", "b", "c", "d"], "country": ["DE", "FR", "IT", None], "membership": [None, "gold", "silver", None],
        "segments": [["x", "y"], None, ["z"], None], "created_at": ["2024-01-01", "2024-02-01", None, None],
        "consent_ads": [None, True, None, True],
    })  # fmt: skip
    same_as(tmp_path, shop, "users", "user_id", after)


def test_a_partial_file_twice_is_once(shop):
    shop.upsert("users", WHOLE)
    few = pa.table({"user_id": ["b", "d"], "consent_ads": [True, True]})
    first, again = shop.upsert("users", few), shop.upsert("users", few)
    assert (first.inserted, first.updated) == (1, 1)
    assert (again.duplicate, again.data_version) == (2, first.data_version)


def test_a_csv_that_names_fewer_columns_leaves_the_others(shop, tmp_path):
    (tmp_path / "users.csv").write_text("user_id,country,language\na,DE,de\nb,FR,fr\n")
    (tmp_path / "consent.csv").write_text("user_id,consent_ads,language\nb,true,\n")
    shop.import_files(tmp_path / "users.csv")
    report = shop.import_files(tmp_path / "consent.csv", table="users")
    assert (report.updated, report.inserted) == (1, 0)
    found = shop.view().sql("select user_id, country, language, consent_ads from users order by user_id").to_pylist()
    assert found[1] == {"user_id": "b", "country": "FR", "language": None, "consent_ads": True}


def test_a_name_that_appears_late_in_a_file_is_named_by_all_of_it(shop):
    shop.upsert("users", WHOLE)
    with shop.transaction() as transaction:
        chunks = [
            Chunk("users", pa.table({"user_id": ["a"]}), np.array([1]), "x.jsonl"),
            Chunk("users", pa.table({"user_id": ["b"], "country": ["ES"]}), np.array([2]), "x.jsonl"),
        ]
        transaction.add(chunks)
    assert [row["country"] for row in said(shop, "users", "user_id")] == [None, "ES", "IT"]
    assert [row["membership"] for row in said(shop, "users", "user_id")] == ["gold", None, "silver"]


def test_a_format_whose_columns_are_fixed_names_only_those_with_a_value(shop, tmp_path):
    shop.upsert("users", WHOLE)
    call = {"type": "identify", "userId": "a", "traits": {"address": {"country": "AT"}}, "timestamp": "2024-03-01T00:00:00Z"}
    (tmp_path / "calls.jsonl").write_text(json.dumps(call) + "\n")
    shop.import_files(tmp_path / "calls.jsonl", format="segment", table="users")
    found = said(shop, "users", "user_id")[0]
    assert (found["membership"], found["consent_ads"], found["segments"]) == ("gold", True, ["x", "y"])


def test_several_files_of_one_import_build_on_one_another(shop, tmp_path):
    shop.upsert("users", WHOLE)
    with shop.transaction() as transaction:
        transaction.upsert("users", [pa.table({"user_id": ["a", "e"], "country": ["AT", "BE"]})])
        transaction.upsert("users", [pa.table({"user_id": ["e", "a", "a"], "membership": ["new", "old", "older"]})])
        transaction.upsert("users", [pa.table({"user_id": ["a"], "consent_ads": [None]})])
    report = transaction.report
    assert (report.read, report.inserted, report.updated, report.duplicate) == (6, 1, 5, 0)
    after = pa.table({
        "user_id": ["a", "b", "c", "e"], "country": ["AT", "FR", "IT", "BE"], "membership": ["older", None, "silver", "new"],
        "segments": [["x", "y"], None, ["z"], None], "created_at": ["2024-01-01", "2024-02-01", None, None],
        "consent_ads": [None, False, None, None],
    })  # fmt: skip
    same_as(tmp_path, shop, "users", "user_id", after)


def test_files_of_a_first_import_build_on_one_another(shop, tmp_path):
    with shop.transaction() as transaction:
        transaction.upsert("users", [WHOLE])
        transaction.upsert("users", [pa.table({"user_id": ["a"], "country": ["AT"]})])
    after = WHOLE.set_column(1, "country", pa.array(["AT", "FR", "IT"]))
    same_as(tmp_path, shop, "users", "user_id", after)


def test_every_name_in_attributes_is_a_column_of_its_own(shop, tmp_path):
    shop.upsert("users", pa.table({"user_id": ["a", "b"], "vip": [True, False], "score": [1.5, 2e20], "note": ['say "é", {1}', None]}))
    report = shop.upsert("users", pa.table({"user_id": ["a", "b"], "vip": [None, True], "age": [30, 40]}))
    assert report.updated == 2
    after = pa.table({"user_id": ["a", "b"], "vip": [None, True], "score": [1.5, 2e20], "note": ['say "é", {1}', None], "age": [30, 40]})
    same_as(tmp_path, shop, "users", "user_id", after)
    assert shop.upsert("users", pa.table({"user_id": ["b"], "country": ["FR"]})).updated == 1
    assert json.loads(said(shop, "users", "user_id")[1]["attributes"]) == {"vip": True, "score": 2e20, "age": 40}


def test_an_attributes_column_says_all_attributes(shop):
    shop.upsert("users", pa.table({"user_id": ["a"], "vip": [True]}))
    shop.upsert("users", pa.table({"user_id": ["a"], "attributes": ['{"age":3}']}))
    assert said(shop, "users", "user_id")[0]["attributes"] == '{"age":3}'


def test_a_fallback_does_not_overwrite_what_is_known(shop):
    shop.upsert("chats", pa.table({"conversation_id": ["k"], "turn": [0], "role": ["assistant"], "content": ["Hello"]}))
    shop.upsert("chats", pa.table({"conversation_id": ["k", "k"], "turn": [0, 1], "content": ["Hello!", "Hi"]}))
    assert [(row["role"], row["content"]) for row in said(shop, "chats", "turn")] == [("assistant", "Hello!"), ("user", "Hi")]


def test_a_file_without_required_columns_changes_known_rows_and_new_ones_go_to_quarantine(shop, tmp_path):
    shop.upsert("products", PRODUCTS)
    (tmp_path / "prices.csv").write_text("id,price\nq,4\nnew,5\np,wrong\nnew,6\np,9.50\n")
    report = shop.import_files(tmp_path / "prices.csv", table="products")
    assert (report.read, report.inserted, report.updated, report.duplicate, report.quarantined) == (5, 0, 1, 1, 3)
    assert [(row["title"], float(row["price"])) for row in said(shop, "products", "id")] == [("Cup", 9.5), ("Mug", 4.0)]
    (file,) = report.tables["products"].quarantine
    faults = [json.loads(line) for line in Path(file).read_text().splitlines()]
    assert [(f["line"], f["column"], f["seen"]) for f in faults] == [(4, "price", "wrong"), (3, "title", "new"), (5, "title", "new")]
    same_as(tmp_path, shop, "products", "id", PRODUCTS.set_column(2, "price", pa.array(["9.50", "4"])))


def test_a_file_without_required_columns_is_refused_where_nothing_is_known(shop, tmp_path):
    (tmp_path / "prices.csv").write_text("id,price\nnew,5\n")
    with pytest.raises(DataError, match="needs a column `title`"):
        shop.import_files(tmp_path / "prices.csv", table="products")
    shop.upsert("products", PRODUCTS)
    version = shop.data_version
    with pytest.raises(DataError, match="needs a column `title`"):
        shop.import_files(tmp_path / "prices.csv", table="products")
    (tmp_path / "prices.csv").write_text("id,price\np,5\nnew,5\n")
    with pytest.raises(DataError, match=r"prices\.csv, line 3: column `title` is missing, .*'new'"):
        shop.import_files(tmp_path / "prices.csv", table="products", strict=True)
    with pytest.raises(DataError, match="needs a column `id`"):
        shop.upsert("products", pa.table({"price": [1]}))
    assert shop.data_version == version


def test_places_in_an_order_that_no_file_gives_are_the_same_whichever_columns_it_names(shop, tmp_path):
    orders = pa.table({"order_id": ["o", "o"], "item_id": ["i", "j"], "ordered_at": ["2024-01-01"] * 2, "status": ["paid", "paid"]})
    shop.upsert("orders", orders)
    report = shop.upsert("orders", orders.select(["order_id", "item_id", "ordered_at"]).append_column("quantity", pa.array([2.0, 1.0])))
    assert (report.inserted, report.updated) == (0, 2)
    same_as(tmp_path, shop, "orders", "line", orders.append_column("quantity", pa.array([2.0, 1.0])))
    with pytest.raises(DataError, match="needs a column `item_id`"):  # which line is meant, nobody can tell
        shop.upsert("orders", pa.table({"order_id": ["o"], "status": ["shipped"]}))
    assert shop.upsert("orders", pa.table({"order_id": ["o"], "line": [1], "status": ["shipped"]})).updated == 1
    assert [(row["item_id"], row["status"]) for row in said(shop, "orders", "line")] == [("i", "paid"), ("j", "shipped")]


def test_a_row_that_names_none_of_a_group_keeps_the_known_ones(shop):
    shop.upsert("reviews", pa.table({"review_id": ["r"], "item_id": ["i"], "body": ["fine"]}))
    report = shop.upsert("reviews", pa.table({"review_id": ["r", "s"], "helpful_votes": [7, 1]}))
    assert (report.updated, report.quarantined) == (1, 1)
    assert (said(shop, "reviews", "review_id")[0]["body"], said(shop, "reviews", "review_id")[0]["helpful_votes"]) == ("fine", 7)


def test_a_row_given_in_full_earlier_in_the_import_counts_as_known(shop):
    shop.upsert("products", PRODUCTS)
    with shop.transaction() as transaction:
        transaction.upsert("products", [pa.table({"id": ["n"], "title": ["New"]})])
        transaction.upsert("products", [pa.table({"id": ["n", "m"], "price": [1.0, 2.0]})])
    assert (transaction.report.inserted, transaction.report.updated, transaction.report.quarantined) == (1, 1, 1)
    assert [(row["id"], row["title"]) for row in said(shop, "products", "id")] == [("n", "New"), ("p", "Cup"), ("q", "Mug")]


def test_what_another_writer_left_meanwhile_is_kept(shop):
    shop.upsert("users", WHOLE)
    with shop.transaction() as transaction:
        transaction.upsert("users", [pa.table({"user_id": ["a"], "country": ["AT"]})])
        Shop(shop.path).upsert("users", pa.table({"user_id": ["a"], "membership": ["basic"]}))
    found = said(shop, "users", "user_id")[0]
    assert (found["country"], found["membership"], found["consent_ads"]) == ("AT", "basic", True)


def test_many_rows_in_many_blocks_and_piles_on_disk_are_merged_in_their_places(shop, monkeypatch):
    monkeypatch.setattr(waiting, "LIMIT", 50)
    monkeypatch.setattr(partial, "SORTED_ROWS", 7)
    n = 500
    ids = [f"u{i:03d}" for i in range(n)]
    shop.upsert("users", pa.table({"user_id": ids, "country": [f"c{i}" for i in range(n)]}))
    order = np.random.default_rng(0).permutation(n)[:300]
    blocks = [pa.table({"user_id": [ids[i] for i in part], "membership": [f"m{i}" for i in part]}) for part in np.array_split(order, 11)]
    with shop.transaction() as transaction:
        transaction.upsert("users", blocks)
    assert transaction.report.updated == 300
    found = {row["user_id"]: (row["country"], row["membership"]) for row in said(shop, "users", "user_id")}
    assert found == {ids[i]: (f"c{i}", f"m{i}" if i in order else None) for i in range(n)}
    stored = shop.view().sql("select user_id from users where membership is not null")["user_id"].to_pylist()
    assert stored == [ids[i] for i in order]


def test_where_nothing_known_is_left_unsaid_nothing_is_merged(shop, monkeypatch):
    shop.upsert("users", WHOLE)
    monkeypatch.setattr(partial, "_groups", None)
    assert shop.upsert("users", WHOLE.set_column(1, "country", pa.array(["AT", "FR", "IT"]))).updated == 1
    monkeypatch.setattr(upsert.partial, "merged", None)
    assert shop.upsert("users", WHOLE.select(["user_id", "country"]).slice(0, 0)).read == 0
    assert shop.upsert("users", pa.table({"user_id": ["z"]})).inserted == 1
    assert shop.upsert("users", pa.table({"user_id": ["z"]})).duplicate == 1
