"""One import is one transaction; the manifest is the data version."""

import json
import threading

import pyarrow as pa
import pytest

from shoplm.data import contract, delta, manifest
from shoplm.data import shop as shop_module
from shoplm.data.shop import Shop
from shoplm.errors import DataError, ResourceError


def rows(n, rating=3, start=0):
    return pa.table({"review_id": [f"r{i}" for i in range(start, start + n)], "item_id": ["i"] * n, "rating": [rating] * n})


EVENT = pa.table({"event_time": ["2024-01-01"], "event_name": ["view_item"], "user_id": ["u"]})


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "shop", create=True)


def test_one_import_over_two_tables_is_one_version(shop):
    with shop.transaction() as transaction:
        transaction.upsert("reviews", [rows(2)])
        transaction.upsert("events", [EVENT])
    assert shop.manifest().version == 1
    assert transaction.report.data_version == shop.data_version
    assert shop.counts() == {"events": 1, "reviews": 2}


def test_a_transaction_that_raises_leaves_nothing_behind(shop):
    shop.upsert("reviews", rows(1))
    version = shop.data_version
    with pytest.raises(ZeroDivisionError), shop.transaction() as transaction:
        transaction.upsert("reviews", [rows(5)])
        1 / 0  # noqa: B018
    assert (shop.data_version, shop.counts()) == (version, {"reviews": 1})
    assert not list((shop.path / "_shop" / "staging").iterdir())


def test_a_crash_after_the_tables_and_before_the_manifest_leaves_the_shop_as_it_was(shop, monkeypatch):
    shop.upsert("reviews", rows(2))
    version = shop.data_version

    def crash(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shop_module.manifest, "write", crash)
    with pytest.raises(ResourceError, match="No space left on device"), shop.transaction() as transaction:
        transaction.upsert("reviews", [rows(9, rating=5)])
        transaction.upsert("events", [EVENT])
    monkeypatch.undo()
    assert (shop.data_version, shop.counts()) == (version, {"reviews": 2})
    assert shop.view().sql("select distinct rating from reviews")["rating"].to_pylist() == [3.0]
    report = shop.upsert("reviews", rows(3, rating=4))
    assert (report.inserted, report.updated) == (1, 2)
    assert shop.view().sql("select count(*) n, min(rating) low from reviews").to_pylist() == [{"n": 3, "low": 4.0}]
    assert shop.upsert("events", EVENT).inserted == 1
    assert shop.view().rows("events") == 1


def test_an_identical_import_makes_no_new_version(shop):
    first = shop.upsert("reviews", rows(3))
    again = shop.upsert("reviews", rows(3))
    assert (again.duplicate, again.data_version) == (3, first.data_version)
    assert shop.manifest().version == 1


def test_an_old_version_still_shows_what_it_held(shop):
    shop.upsert("reviews", rows(2, rating=1))
    old = shop.view()
    shop.upsert("reviews", rows(3, rating=5))
    assert old.sql("select rating from reviews")["rating"].to_pylist() == [1.0, 1.0]
    assert shop.view(version=1).data_version == old.data_version
    assert shop.view(version=0).rows("reviews") == 0
    assert shop.view().sql("select sum(rating) s from reviews")["s"].to_pylist() == [15.0]
    with pytest.raises(DataError, match="no version 9; the newest is 2"):
        shop.view(version=9)


def test_changing_rows_keeps_the_order_of_the_others(shop, monkeypatch):
    monkeypatch.setattr(delta, "GROUP_ROWS", 3)
    monkeypatch.setattr(delta, "FILE_ROWS", 6)
    shop.upsert("reviews", rows(20))
    shop.upsert("reviews", rows(1, rating=5, start=4))
    shop.upsert("reviews", rows(1, rating=1, start=7))
    (part,) = shop.view().parts("reviews")
    assert part.table["_id"].to_pylist() == [f"r{i}" for i in range(20) if i not in (4, 7)] + ["r4", "r7"]
    assert shop.counts() == {"reviews": 20}


def test_two_writers_at_once_both_get_in(shop):
    def write(start):
        for i in range(3):
            Shop(shop.path).upsert("reviews", rows(2, start=start + 10 * i))

    threads = [threading.Thread(target=write, args=(start,)) for start in (0, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shop.counts() == {"reviews": 12}
    assert shop.manifest().version == 6


def test_a_folder_that_is_no_shop_is_refused(tmp_path):
    with pytest.raises(DataError, match="is no shop"):
        Shop(tmp_path)
    with pytest.raises(DataError, match="is no shop"):
        Shop(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is a file"):
        Shop(tmp_path / "file")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"contract": 1}', '{"contract": "x"}'])
def test_a_damaged_manifest_is_refused_in_one_line(shop, text):
    (shop.path / "_shop" / "0.json").write_text(text)
    with pytest.raises(DataError, match="damaged") as error:
        Shop(shop.path)
    assert "\n" not in str(error.value)


def test_an_altered_manifest_is_refused(shop):
    file = shop.path / "_shop" / "0.json"
    values = json.loads(file.read_text())
    values["version"] = 7
    file.write_text(json.dumps(values))
    with pytest.raises(DataError, match="checksum"):
        Shop(shop.path)


def test_a_newer_contract_is_refused(shop, monkeypatch):
    monkeypatch.setattr(contract, "VERSION", 2)
    shop.upsert("reviews", rows(1))
    monkeypatch.undo()
    with pytest.raises(DataError, match="data contract 2 is newer than 1"):
        Shop(shop.path)


def test_a_manifest_is_never_written_over(shop):
    with pytest.raises(FileExistsError):
        manifest.write(shop.path, manifest.Manifest(0, {}))


def test_a_place_that_cannot_be_written_is_a_resource_error():
    with pytest.raises(ResourceError, match="cannot be written"):
        Shop("/proc/shop", create=True)


def test_the_log_holds_no_values(shop):
    shop.upsert("users", pa.table({"user_id": ["secret-person"]}))
    log = "".join(file.read_text() for file in (shop.path / "tables" / "users" / "_delta_log").glob("*.json"))
    assert "secret-person" not in log
