"""Power cuts, as near as a test can come: writers, drainers and the database killed at random; nothing acknowledged is lost or doubled.

SHOPLM_KILLS sets how often (3 for each database without it).
"""

import contextlib
import multiprocessing
import os
import random
import signal
from collections import Counter

import pytest

from shoplm.data.drain import drain, together
from shoplm.data.records import Act
from shoplm.data.shop import Shop
from shoplm.data.store import Store
from shoplm.errors import ResourceError
from stories.live_processes import NOW_US, move, write

KILLS = int(os.environ.get("SHOPLM_KILLS", "3"))
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["shoplm.data.drain"])  # imported once, not once for every life; the tests' folder is not on its path


class Second:
    """A second process, once it is at work."""

    def __init__(self, work, shop, url, life):
        self.said, other = PROCESSES.Pipe(duplex=False)
        self.process = PROCESSES.Process(target=work, args=(str(shop.path), url, life, other), daemon=True)
        self.process.start()
        other.close()
        assert self.said.recv() == "ready"

    def hear(self, count):
        """The next things that it says."""
        return [self.said.recv() for _ in range(count)]

    def kill(self):
        """Kill it without a warning; what it had said before and nobody had heard."""
        os.kill(self.process.pid, signal.SIGKILL)
        heard = []
        with contextlib.suppress(EOFError, OSError):  # OSError: it died within a word
            while True:
                heard.append(self.said.recv())
        self.process.join()
        self.said.close()
        return heard


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
    writer, drainer = Second(write, shop, url, "0"), Second(move, shop, url, "0")
    for life in range(1, KILLS + 1):
        acknowledged += writer.hear(draw.randint(1, 40))
        if life % 2:  # the drainer dies in the middle of something, the writer goes on
            drainer.hear(draw.randint(0, 1))
            drainer.kill()
            drainer = Second(move, shop, url, str(life))
        else:  # the writer dies right after what it acknowledged last
            acknowledged += writer.kill()
            writer = Second(write, shop, url, str(life))
    acknowledged += writer.kill()
    drainer.kill()
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
    writers = [Second(write, shop, None, "same") for _ in range(2)]
    said = [name for writer in writers for name in writer.hear(25)]
    said += [name for writer in writers for name in writer.kill()]
    store = Store(shop.path)
    names = store.waiting("events")["event_id"].to_pylist()
    with contextlib.closing(store):
        assert len(names) == len(set(names))
        assert set(said) <= set(names)
