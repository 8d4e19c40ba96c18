"""One verb looks after a shop: live rows in, old rows out, files few, old versions gone."""

from __future__ import annotations

import time

import pyarrow as pa
import pytest

from pipeline.worked import shoplm
from shoplm.data.records import Act
from shoplm.data.shop import Shop
from shoplm.data.store import Store

DAY = 86_400


@pytest.fixture
def shop(tmp_path):
    """Three versions of events, of which two rows are older than a year."""
    found = Shop(tmp_path / "shop", create=True)
    now = int(time.time())
    for part, days in enumerate([(500, 400), (30, 20), (2, 1)]):
        names = [f"e{part}{at}" for at in range(2)]
        found.upsert("events", pa.table({"event_id": names, "event_time": [now - day * DAY for day in days],
                                         "event_name": ["view_item"] * 2, "user_id": ["u", "v"]}))  # fmt: skip
    return found


def ids(shop):
    return shop.view().sql("select event_id from events order by 1")["event_id"].to_pylist()


def test_without_an_option_it_only_looks(shop):
    before = shop.data_version, ids(shop), shop.versions()
    said = shoplm("upkeep", "--shop", shop.path)
    assert said.code == 0
    assert said.out.splitlines()[0].startswith("6 rows in ")
    assert "readable versions: 0 to 3" in said.out
    assert said.out.splitlines()[-1] == f"next: shoplm upkeep --shop {shop.path} --compact"
    assert (shop.data_version, ids(shop), shop.versions()) == before


def test_old_rows_go_physically_when_shop_yaml_says_so(shop):
    (shop.path / "shop.yaml").write_text("retention_days:\n  events: 365\n")
    said = shoplm("upkeep", "--shop", shop.path, "--retain", "--json")
    assert said.code == 0
    assert said.json["removed"]["rows"] == {"events": 2}
    assert ids(shop) == ["e10", "e11", "e20", "e21"]
    assert said.json["versions"] == shop.versions() == [4]
    assert "too old by shop.yaml: no row\n" in shoplm("upkeep", "--shop", shop.path, "--retain").out


def test_compacting_and_forgetting_leave_one_version_in_fewer_files_with_the_same_rows(shop):
    before, rows = shoplm("upkeep", "--shop", shop.path, "--json").json, ids(shop)
    after = shoplm("upkeep", "--shop", shop.path, "--compact", "--forget", "1", "--json").json
    assert after["files"] < before["files"]
    assert after["forgotten"] == before["versions"][:-1]
    assert after["versions"] == before["versions"][-1:]
    assert ids(shop) == rows


def test_what_waits_in_the_live_store_is_drained_once(shop):
    store = Store(shop.path)
    store.put(Act("live", time.time_ns() // 1000, "view_item", user_id="u", item_id="i"))
    store.close()
    assert (
        "drained: 1 rows from the live store, 1 new, 0 already there, 0 to quarantine"
        in shoplm("upkeep", "--shop", shop.path, "--drain").out
    )
    assert "live" in ids(shop)
    assert shoplm("upkeep", "--shop", shop.path, "--drain", "--json").json["drained"]["rows"] == 0


@pytest.mark.parametrize(("words", "code"), [(["--forget", "0"], 2), (["--forget", "some"], 2)])
def test_a_wrong_number_of_versions_is_refused_and_nothing_is_forgotten(shop, words, code):
    said = shoplm("upkeep", "--shop", shop.path, *words)
    assert said.code == code
    assert "--forget" in said.line
    assert len(shop.versions()) == 4


def test_a_wrong_shop_yaml_is_one_line_and_no_row_goes(shop):
    (shop.path / "shop.yaml").write_text("retention_days:\n  event: 365\n")
    said = shoplm("upkeep", "--shop", shop.path, "--retain")
    assert (said.code, len(ids(shop))) == (2, 6)
    assert "did you mean `events`" in said.line


def test_a_folder_that_is_no_shop_is_refused(tmp_path):
    said = shoplm("upkeep", "--shop", tmp_path / "nowhere")
    assert said.code == 2
    assert "nowhere" in said.line
