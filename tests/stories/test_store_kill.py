"""Power cuts, as near as a test can come: writers, drainers and the database killed at random; nothing acknowledged is lost or doubled.

SHOPLM_KILLS sets how often (3 for each database without it).
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections import Counter

import pytest

from shoplm.data.drain import drain, together
from shoplm.data.records import Act
from shoplm.data.shop import Shop
from shoplm.data.store import Store
from shoplm.errors import ResourceError

KILLS = int(os.environ.get("SHOPLM_KILLS", "3"))
NOW_US = 1_750_000_000_000_000

WRITER = """
import sys
from shoplm.data.records import Act
from shoplm.data.store import Store
folder, url, life = sys.argv[1], sys.argv[2] or None, sys.argv[3]
store = Store(folder, url)
print("ready", flush=True)
for n in range(10**9):
    name = f"{life}-{n}"
    store.put(Act(name, NOW_US + n, "view_item", user_id=f"u{n % 5}"))
    sys.stdout.write(name + "\\n")
    sys.stdout.flush()
    if n % 7 == 6:  # a client that got no answer asks again
        store.put(Act(name, NOW_US + n, "view_item", user_id=f"u{n % 5}"))
""".replace("NOW_US", str(NOW_US))

DRAINER = """
import sys
from shoplm.data.drain import drain
from shoplm.data.shop import Shop
from shoplm.data.store import Store
shop, store = Shop(sys.argv[1]), Store(sys.argv[1], sys.argv[2] or None)
print("ready", flush=True)
while True:
    report = drain(store, shop, most=50)
    sys.stdout.write(f"{report.rows}\\n")
    sys.stdout.flush()
"""


def begin(program, shop, url, *more):
    """A second process, once it is at work."""
    process = subprocess.Popen([sys.executable, "-c", program, str(shop.path), url or "", *more], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process):
    """Kill it without a warning; the lines that it had said in full."""
    process.send_signal(signal.SIGKILL)
    said = process.stdout.read()
    process.wait()
    process.stdout.close()
    return said[: said.rfind("\n") + 1].splitlines()


@pytest.fixture
def durable_postgres(request):
    """A server that syncs to the disk and may be stopped."""
    request.getfixturevalue("postgres_server")  # skips, or fails, where no PostgreSQL is installed
    from postgres_server import Server

    server = Server(fsync=True)
    yield server
    server.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_killed_writers_and_drainers_lose_and_double_nothing(kind, tmp_path, request):
    url = request.getfixturevalue("durable_postgres").create("kill") if kind == "postgres" else None
    shop = Shop(tmp_path / "shop", create=True)
    draw = random.Random(7)
    acknowledged = []
    writer, drainer = begin(WRITER, shop, url, "0"), begin(DRAINER, shop, url)
    for life in range(1, KILLS + 1):
        read = [writer.stdout.readline().strip() for _ in range(draw.randint(1, 40))]
        if life % 2:  # the drainer dies in the middle of something, the writer goes on
            for _ in range(draw.randint(0, 1)):
                drainer.stdout.readline()
            kill(drainer)
            acknowledged += read
            drainer = begin(DRAINER, shop, url)
        else:  # the writer dies right after what it acknowledged last
            acknowledged += read + kill(writer)
            writer = begin(WRITER, shop, url, str(life))
    acknowledged += kill(writer)
    kill(drainer)
    store = Store(shop.path, url)
    view, live = together(store, shop, "events")
    seen = Counter(view.sql("select event_id from events")["event_id"].to_pylist() + live["event_id"].to_pylist())
    drain(store, shop)
    store.close()
    found = Counter(shop.view().sql("select event_id from events")["event_id"].to_pylist())
    assert len(acknowledged) > KILLS
    assert Counter(acknowledged) - seen == Counter(acknowledged) - found == Counter()  # none lost
    assert seen == found  # seen the same before and after
    assert set(found.values()) == {1}  # none doubled
    # what was on its way when a writer was killed may be there without an answer: one record for each life
    assert len(found) - len(acknowledged) <= KILLS + 1


def test_a_database_cut_off_right_after_an_answer_still_has_it(durable_postgres, tmp_path):
    shop = Shop(tmp_path / "shop", create=True)
    store = Store(shop.path, durable_postgres.create("cut"))
    acknowledged = []
    for life in range(2):
        store.put(Act(f"e{life}", NOW_US, "view_item", user_id="u"))
        acknowledged.append(f"e{life}")
        durable_postgres.stop("immediate")
        durable_postgres.start()
        assert store.recent("u")["event_id"].to_pylist() == acknowledged
    store.close()


def test_a_stopped_database_is_one_clear_line_and_work_goes_on_when_it_is_back(durable_postgres, tmp_path):
    shop = Shop(tmp_path / "shop", create=True)
    store = Store(shop.path, durable_postgres.create("stopped"))
    store.put(Act("e1", NOW_US, "view_item", user_id="u"))
    durable_postgres.stop("fast")
    for work in (
        lambda: store.put(Act("e2", NOW_US, "view_item", user_id="u")),
        lambda: store.recent("u"),
        lambda: drain(store, shop),
    ):
        with pytest.raises(ResourceError, match="the database failed") as failed:
            work()
        assert "\n" not in str(failed.value)
    assert shop.counts() == {}
    durable_postgres.start()
    assert store.put(Act("e2", NOW_US, "view_item", user_id="u")).new == 1
    assert drain(store, shop).new == 2
    store.close()


def test_several_processes_write_the_same_acts_at_once_and_each_is_stored_once(tmp_path):
    shop = Shop(tmp_path / "shop", create=True)
    writers = [begin(WRITER, shop, None, "same") for _ in range(2)]
    said = []
    for writer in writers:
        said += [writer.stdout.readline().strip() for _ in range(60)]
    said += [name for writer in writers for name in kill(writer)]
    store = Store(shop.path)
    names = store.waiting("events")["event_id"].to_pylist()
    with contextlib.closing(store):
        assert len(names) == len(set(names))
        assert set(said) <= set(names)
