"""kill -9 at a random moment of an import: the shop opens whole, old or new, and the next import goes in.

SHOPLM_KILLS says how often (3 without it).
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa

from shoplm.data import delta
from shoplm.data.shop import Shop

ROOT = Path(__file__).parents[2]
STEP, ROWS = 200, 600
LONGEST_SECONDS = 1.5

IMPORTER = """
import sys
import pyarrow as pa
from shoplm.data import maintenance
from shoplm.data.shop import Shop
from tests.stories.test_killed_imports import batch
maintenance.SMALL_FILES = 4  # so that merging is killed too
shop, k = Shop(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
while True:
    with shop.transaction() as transaction:
        for table, rows in batch(k).items():
            transaction.upsert(table, [rows])
    print(k, flush=True)
    k += 1
    if k % 5 == 0:
        shop.forget(keep=3)
"""


def batch(k):
    """Import number k: two thirds of its rows change rows of the ones before it."""
    ids = [f"r{i}" for i in range(k * STEP, k * STEP + ROWS)]
    return {
        "reviews": pa.table({"review_id": ids, "item_id": ["i"] * ROWS, "rating": [k % 5 + 1] * ROWS}),
        "events": pa.table({"event_id": ids, "event_time": [1_600_000_000 + k] * ROWS, "event_name": ["view_item"] * ROWS,
                            "user_id": ["u"] * ROWS}),
    }  # fmt: skip


def state(shop):
    """How many imports the shop holds; fails if it is anything but the whole of the first so many."""
    view = shop.view()
    found = {}
    for table, key, value in (("reviews", "review_id", "rating"), ("events", "event_id", "epoch(event_time) - 1600000000")):
        n, distinct, wrong = view.sql(
            f"select count(*), count(distinct {key}), 0 from {table}" if not view.rows(table) else
            f"""select count(*) n, count(distinct {key}) d,
                count(*) filter ({value} <> {"least(i // 200, k) % 5 + 1" if table == "reviews" else "least(i // 200, k)"}) w
                from (select *, cast({key}[2:] as bigint) i, (select count(*) from {table}) // {STEP} - {ROWS // STEP} k from {table})"""
        ).to_pylist()[0].values()  # fmt: skip
        assert n == distinct == view.rows(table)
        assert wrong == 0
        assert sum(part.rows(table) for part in view.parts(table)) == n
        found[table] = 0 if n == 0 else (n - ROWS) // STEP + 1
    assert found["reviews"] == found["events"]
    return found["reviews"]


def leftovers(shop):
    """Files that no version holds."""
    held = {
        (name, file.name)
        for version in shop.versions()
        for name, table in shop.manifest(version).tables.items()
        for file in delta.listing(shop.path / "tables" / name, table.delta)
    }
    return {(file.parent.name, file.name) for file in shop.path.glob("tables/*/*.parquet")} - held


def test_a_killed_import_leaves_the_shop_old_or_new_and_the_next_one_goes_in(tmp_path):
    seed = int(os.environ.get("SHOPLM_KILLS_SEED", "0"))
    draw = random.Random(seed)
    shop = Shop(tmp_path / "shop", create=True)
    for _ in range(int(os.environ.get("SHOPLM_KILLS", "3"))):
        before = state(shop)
        process = subprocess.Popen(
            [sys.executable, "-c", IMPORTER, str(shop.path), str(before)], cwd=ROOT, text=True, stdout=subprocess.PIPE
        )
        said_first = process.stdout.readline()
        assert said_first == "ready\n", f"the import itself ended with {process.wait()}"
        try:
            process.wait(timeout=draw.uniform(0, LONGEST_SECONDS))
        except subprocess.TimeoutExpired:
            process.kill()
        said = [int(line) for line in process.communicate()[0].split()]
        assert process.returncode == -9
        shop = Shop(shop.path)
        whole = state(shop)
        finished = said[-1] + 1 if said else before
        assert whole in (finished, finished + 1)
        with shop.transaction() as transaction:
            for table, rows in batch(whole).items():
                transaction.upsert(table, [rows])
        assert transaction.report.read == 2 * ROWS
        assert state(shop) == whole + 1
        assert not list((shop.path / "_shop" / "staging").iterdir())
        shop.forget(keep=1)
        assert not leftovers(shop)
        assert not list(shop.path.rglob("*.draft"))
