"""Writers and readers of one shop at once, each a real process; no lock is needed for the shop to stay whole."""

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from shoplm.data import delta, maintenance, manifest, writers
from shoplm.data.shop import Shop
from shoplm.errors import ResourceError

ROOT = Path(__file__).parents[2]
ROWS, IMPORTS = 60, 6

WRITER = """
import contextlib, json, sys
import pyarrow as pa
from shoplm.data import writers
from shoplm.data.shop import Shop
path, start, rows, imports = sys.argv[1], *map(int, sys.argv[2:])
writers.alone = lambda shop: contextlib.nullcontext()  # as on two hosts whose file system knows no locks
shop = Shop(path)
print("ready", flush=True)
sys.stdin.readline()
sums = {"inserted": 0, "updated": 0, "duplicate": 0}
for k in range(imports):
    ids = [f"r{i}" for i in range(start + k * rows // 2, start + k * rows // 2 + rows)]
    with shop.transaction() as transaction:
        transaction.upsert("reviews", [pa.table({"review_id": ids, "item_id": ["i"] * rows, "rating": [3] * rows})])
        transaction.upsert("users", [pa.table({"user_id": ids})])
    for name in sums:
        sums[name] += getattr(transaction.report, name)
print(json.dumps(sums), flush=True)
"""

READER = """
import sys
from shoplm.data.shop import Shop
view = Shop(sys.argv[1]).view()
print(view.data_version, flush=True)
for line in sys.stdin:
    answer = view.sql("select count(*) n, count(distinct review_id) d, min(rating) low from reviews").to_pylist()[0]
    print(answer["n"], answer["d"], answer["low"], sum(part.rows("reviews") for part in view.parts("reviews")), flush=True)
"""


def rows(n, rating=3, start=0):
    return pa.table({"review_id": [f"r{i}" for i in range(start, start + n)], "item_id": ["i"] * n, "rating": [rating] * n})


def child(script, *words):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, words)], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def referenced(shop):
    return {
        (name, file.name)
        for version in shop.versions()
        for name, state in shop.manifest(version).tables.items()
        for file in delta.listing(shop.path / "tables" / name, state.delta)
    }


def on_disk(shop):
    return {(file.parent.name, file.name) for file in shop.path.glob("tables/*/*.parquet")}


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "shop", create=True)


def test_two_processes_without_a_lock_lose_nothing_and_double_nothing(shop, tmp_path):
    running = [child(WRITER, shop.path, start, ROWS, IMPORTS) for start in (0, ROWS)]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [json.loads(process.communicate()[0]) for process in running]
    assert [process.returncode for process in running] == [0, 0]
    whole = ROWS + (IMPORTS - 1) * ROWS // 2 + ROWS  # the second begins one batch further on
    assert shop.counts() == {"reviews": whole, "users": whole}
    assert sum(each["inserted"] for each in said) == 2 * whole
    assert sum(each["updated"] for each in said) == 0
    assert sum(each["inserted"] + each["duplicate"] for each in said) == 2 * 2 * IMPORTS * ROWS
    answer = shop.view().sql("select count(*) n, count(distinct review_id) d from reviews").to_pylist()
    assert answer == [{"n": whole, "d": whole}]
    alone = Shop(tmp_path / "alone", create=True)
    with alone.transaction() as transaction:
        transaction.upsert("reviews", [rows(whole)])
        transaction.upsert("users", [pa.table({"user_id": [f"r{i}" for i in range(whole)]})])
    assert alone.data_version.split("-")[1] == shop.data_version.split("-")[1]
    assert on_disk(shop) == referenced(shop)  # the loser took its own files back
    assert DeltaTable(shop.path / "tables" / "reviews").to_pyarrow_table().num_rows == whole


def test_a_view_in_another_process_keeps_its_answer_whatever_happens_to_the_shop(shop):
    for k in range(5):
        shop.upsert("reviews", rows(4, start=4 * k))
    process = child(READER, shop.path)
    assert process.stdout.readline().strip() == shop.data_version

    def ask():
        process.stdin.write("?\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    before = ask()
    assert before == "20 20 3.0 20"
    shop.upsert("reviews", rows(30, rating=1))
    assert ask() == before
    shop.compact()
    shop.forget(keep=1)
    assert ask() == before
    shop.delete_rows({"reviews": "true"}, physically=True)
    assert shop.versions() == [shop.manifest().version]
    assert not on_disk(shop)
    assert ask() == before
    process.communicate()
    assert process.returncode == 0


def test_whoever_comes_second_judges_anew(shop, monkeypatch):
    shop.upsert("reviews", rows(3))
    write, others = manifest.write, []

    def late(path, found):
        if not others:  # another host puts its version where ours was to go
            others.append(True)
            monkeypatch.setattr(manifest, "write", write)
            Shop(shop.path).upsert("reviews", rows(4, rating=5, start=2))
        write(path, found)

    monkeypatch.setattr(manifest, "write", late)
    monkeypatch.setattr(writers, "alone", lambda _: contextlib.nullcontext())
    report = shop.upsert("reviews", rows(5, rating=5))
    assert (report.inserted, report.updated, report.duplicate) == (0, 2, 3)
    assert shop.counts() == {"reviews": 6}
    assert shop.manifest().version == 3
    assert on_disk(shop) == referenced(shop)


def test_losing_again_and_again_ends_in_one_line_and_leaves_nothing(shop, monkeypatch):
    shop.upsert("reviews", rows(3))
    before = on_disk(shop)

    def taken(*_):
        raise FileExistsError

    monkeypatch.setattr(manifest, "write", taken)
    with pytest.raises(ResourceError, match="other writers were first 20 times"):
        shop.upsert("reviews", rows(9))
    monkeypatch.undo()
    assert on_disk(shop) == before
    assert DeltaTable(shop.path / "tables" / "reviews").to_pyarrow_table().num_rows == 3
    assert shop.upsert("reviews", rows(9)).inserted == 6


def test_a_dead_writers_leavings_go_and_a_living_ones_stay(shop):
    shop.upsert("reviews", rows(3))
    table = shop.path / "tables" / "reviews"
    with writers.writing(shop.path) as living:
        ours = table / f"00000009-000000-00000-{living.name}.parquet"
        dead = table / "00000009-000000-00000-0123456789ab.parquet"
        ours.write_bytes(b"")
        dead.write_bytes(b"")
        (shop.path / "_shop" / "staging" / "0123456789ab").mkdir()
        shop.upsert("reviews", rows(4))
        assert ours.exists()
        assert not dead.exists()
        assert not (shop.path / "_shop" / "staging" / "0123456789ab").exists()
        assert writers.living(shop.path) == {living.name}
    assert shop.counts() == {"reviews": 4}


def test_a_silent_writer_of_another_host_is_dead_only_after_a_day(shop, monkeypatch):
    place = shop.path / "_shop" / "staging"
    place.mkdir(exist_ok=True)
    sign = place / "0123456789ab.alive"
    sign.write_text("another-host")
    assert writers.living(shop.path) == {"0123456789ab"}
    os.utime(sign, (0, 0))
    assert writers.dead(shop.path) == {"0123456789ab"}
    sign.write_text(socket.gethostname())
    assert writers.dead(shop.path) == {"0123456789ab"}
    with sign.open("rb+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert writers.living(shop.path) == {"0123456789ab"}


def test_the_living_are_asked_for_before_the_versions_are_read(shop, monkeypatch):
    """A writer that ends between the list of files and the count of the living is still held by its version."""
    listed = writers.living

    def ends(path):
        monkeypatch.setattr(writers, "living", listed)
        Shop(shop.path).upsert("reviews", rows(5))
        return set()

    monkeypatch.setattr(writers, "living", ends)
    maintenance.sweep(shop.path)
    assert shop.view().sql("select count(*) n from reviews")["n"].to_pylist() == [5]


def test_made_up_ids_survive_a_second_judgement(shop, monkeypatch):
    write, others = manifest.write, []

    def late(path, found):
        if not others:
            others.append(True)
            Shop(shop.path).upsert("reviews", rows(4))
        write(path, found)

    monkeypatch.setattr(manifest, "write", late)
    monkeypatch.setattr(writers, "alone", lambda _: contextlib.nullcontext())
    without = pa.table({"item_id": ["i", "i"], "title": ["x", "x"]})
    assert shop.upsert("reviews", without).inserted == 2
    assert shop.upsert("reviews", without).duplicate == 2
    assert shop.counts() == {"reviews": 6}
