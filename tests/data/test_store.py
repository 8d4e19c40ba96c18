"""The live store, on SQLite and on a real PostgreSQL."""

import sqlite3
import threading
import time
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shoplm.data import contract, database, records
from shoplm.data import drain as draining
from shoplm.data import store as storing
from shoplm.data.context import as_of
from shoplm.data.drain import drain, together
from shoplm.data.records import Act, Label, Served, Turn
from shoplm.data.shop import Shop
from shoplm.data.store import Audit, Patch, Question, Store, Stored
from shoplm.errors import DataError, ResourceError, ShopLMError

NOW_US = 1_750_000_000_000_000


def act(n, user="u", **more):
    return Act(f"e{n}", NOW_US + n, "view_item", user_id=user, item_id=f"i{n % 7}", **more)


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "shop", create=True)


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, shop):
    url = request.getfixturevalue("postgres_database") if request.param == "postgres" else None
    found = Store(shop.path, url, clock=lambda: NOW_US + 1000)
    yield found
    found.close()


def ids(rows, name="event_id"):
    return rows[name].to_pylist()


def test_what_was_put_is_there_for_another_process_to_open(store, shop):
    assert store.put(act(2, price="9.99", attributes={"page": {"x": 1, "y": None}}), act(1)) == Stored(2, 0)
    again = Store(shop.path, store.engine.url.render_as_string(hide_password=False))
    rows = again.recent("u")
    again.close()
    assert rows.schema == contract.EVENTS.schema
    assert ids(rows) == ["e1", "e2"]
    assert rows["price"].to_pylist() == [None, Decimal("9.9900")]
    assert rows["attributes"].to_pylist() == [None, '{"page":{"x":1}}']


def test_sending_again_changes_nothing_before_and_after_draining(store, shop):
    store.put(act(1), act(2))
    assert store.put(act(2), act(3), act(3)) == Stored(1, 2)
    drain(store, shop)
    assert store.put(act(1), act(3)) == Stored(0, 2)
    assert drain(store, shop).rows == 0
    assert ids(shop.view().sql("select event_id from events order by 1")) == ["e1", "e2", "e3"]


def test_an_id_used_for_something_else_is_refused_and_nothing_of_that_call_is_stored(store):
    store.put(act(1))
    with pytest.raises(DataError, match=r"events record 'e1': its id was used before"):
        store.put(act(5), act(1, user="someone else"))
    with pytest.raises(DataError, match="its id was used before"):
        store.put(act(6), act(6, user="someone else"))
    assert ids(store.waiting("events")) == ["e1"]


def test_draining_moves_every_table_in_one_version_and_readers_see_each_row_once(store, shop):
    store.put(act(1), Served("r1", NOW_US, ["i1", "i2"], user_id="u", propensities=[0.5, 0.25], policy="best"))
    store.put(Turn("c", 0, "user", "where is it", NOW_US, user_id="u"), Label("sentiment", "r", "mood", "good", "person", NOW_US))
    report = drain(store, shop)
    assert (report.rows, report.new, report.there, report.quarantined, shop.manifest().version) == (4, 4, 0, 0, 1)
    assert shop.counts() == {"events": 2, "chats": 1, "labels": 1}
    shown = (
        shop.view()
        .sql("select impression, recommendation_id, propensities, source from events where event_name = 'view_item_list'")
        .to_pylist()
    )
    assert shown == [{"impression": ["i1", "i2"], "recommendation_id": "r1", "propensities": "[0.5,0.25]", "source": "live"}]
    assert together(store, shop, "events")[1].num_rows == together(store, shop, "labels")[1].num_rows == 0
    assert store.turns("c").num_rows == 1


def test_only_the_last_acts_of_a_shopper_stay_after_draining(store, shop):
    store.put(*(act(n) for n in range(230)), *(act(1000 + n, user="v") for n in range(3)))
    assert store.recent("u", last=1000).num_rows == 230
    drain(store, shop, most=100)
    assert ids(store.recent("u", last=1000)) == [f"e{n}" for n in range(30, 230)]
    assert store.recent("v").num_rows == 3
    assert shop.counts() == {"events": 233}
    contexts = as_of(pa.table({"user_id": ["u"]}), np.zeros(1, int), np.array([NOW_US + 100]), contract.USERS, store.recent("u"), last=5)
    assert [row.event_id for row in contexts[0].history] == ["e95", "e96", "e97", "e98", "e99"]


def test_a_newer_label_wins_in_whatever_order_they_are_drained(store, shop):
    def label(value, at):
        return Label("sentiment", "r1", "mood", value, "person", at)

    store.put(label("new", NOW_US + 9))
    drain(store, shop)
    store.put(label("old", NOW_US), label("older", NOW_US - 1))
    drain(store, shop)
    assert shop.view().sql("select value from labels").to_pylist() == [{"value": "new"}]


def test_a_batch_done_again_does_not_undo_what_the_shop_learnt_since(store, shop):
    store.put(act(1), act(2))
    batch = draining.claim(store)
    draining.append(store, shop, batch)  # and then the drainer is killed
    corrected = pa.table({"event_id": ["e1"], "event_time": [NOW_US + 1], "event_name": ["purchase"], "user_id": ["u"]})
    shop.upsert("events", corrected)
    report = drain(store, shop)
    assert (report.rows, report.new, report.there) == (2, 0, 2)
    assert shop.view().sql("select event_name from events order by event_id")["event_name"].to_pylist() == ["purchase", "view_item"]


def test_one_drainer_at_a_time_and_a_dead_ones_lease_runs_out(store, shop):
    store.put(act(1))
    with store.alone("drain", "another machine"):
        with pytest.raises(ResourceError, match="another process is at `drain`"):
            drain(store, shop)
        store.clock = lambda: 10**16  # long after
        assert drain(store, shop).new == 1
        with pytest.raises(ResourceError, match="another process is draining"), draining._only_here(shop):
            drain(store, shop)


def test_questions_are_asked_once_and_an_answer_is_a_label(store, shop):
    question = Question("q1", NOW_US, "sentiment", "r1", "mood", "bad", "the model is unsure", "u")
    assert store.ask(question)
    assert not store.ask(question)
    assert store.questions() == [question]
    assert store.decide(question, "good", NOW_US + 1) == Stored(1, 0)
    assert store.decide(question, "good", NOW_US + 1) == Stored(0, 1)
    assert not store.ask(question)
    assert store.questions() == []
    drain(store, shop)
    assert shop.view().sql('select value, "by" from labels').to_pylist() == [{"value": "good", "by": "person"}]


def test_the_audit_and_patches_take_retries_in_any_order(store):
    note = Audit("a1", NOW_US, "admin", "promoted", "bundle 3", "v2")
    store.note(note, note)
    store.note(note)
    assert store.audits() == [note]
    patches = [Patch("i1", 5, price="3"), Patch("i1", 4, price=4, availability="in_stock"), Patch("i2", 1, sale_price=1.5)]
    for order in (patches, patches[::-1], patches):
        store.patch(*order)
        assert store.patches(["i1"]).select(["price", "availability"]).to_pylist() == [
            {"price": Decimal("3.0000"), "availability": "in_stock"}
        ]
    assert store.patches().num_rows == 2
    with pytest.raises(DataError, match="`price` is out of range"):
        store.patch(Patch("i1", 9, price=-1))


def test_erased_people_are_in_no_byte_of_the_store_and_a_late_retry_does_not_bring_them_back(store, shop):
    secret = act(1, user="zyxwv-shopper", search_term="zyxwv words")
    store.put(secret, act(2), Act("e3", NOW_US, "view_item", user_pseudo_id="zyxwv-device"))
    store.put(Turn("c", 0, "user", "zyxwv", NOW_US, user_id="zyxwv-shopper"), Turn("c", 1, "assistant", "hello zyxwv", NOW_US))
    store.ask(Question("q", NOW_US, "t", "s", "n", "p", "zyxwv", "zyxwv-shopper"))
    drain(store, shop)
    assert store.erase(["zyxwv-shopper", "zyxwv-device"]) == 4  # the act, two turns, the question; the device's act is in the shop only
    assert store.put(secret) == Stored(0, 1)
    assert store.recent("zyxwv-shopper").num_rows == 0
    assert store.recent("u").num_rows == 1
    if store.engine.dialect.name == "sqlite":
        assert [file.name for file in shop.path.glob("store.sqlite3*") if b"zyxwv" in file.read_bytes()] == []


def test_the_tables_made_by_alembic_are_the_tables_that_queries_name(store):
    made = sa.inspect(store.engine)
    for table in database.META.tables.values():
        assert {column["name"] for column in made.get_columns(table.name)} == {column.name for column in table.columns}


def test_a_store_of_a_newer_shoplm_is_refused_in_one_line(store, shop):
    with store.engine.begin() as con:
        con.execute(sa.text("update store_version set version_num = '9999'"))
    with pytest.raises(DataError, match="form 9999 is newer than 0002, the newest known here; update ShopLM"):
        Store(shop.path, store.engine.url.render_as_string(hide_password=False))


def test_many_threads_write_the_same_acts_and_each_is_new_once(store):
    found, errors = [], []

    def write(seed):
        try:
            for n in np.random.default_rng(seed).permutation(40):
                found.append(store.put(act(int(n)), act(100 * seed + 1000 + int(n))))
        except ShopLMError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sum(one.new for one in found) == 40 + 4 * 40
    assert len(set(ids(store.waiting("events")))) == store.waiting("events").num_rows == 200


def test_sqlite_is_told_to_lose_nothing_and_to_wipe(shop):
    store = Store(shop.path)
    with store.engine.connect() as con:
        said = [con.exec_driver_sql(f"pragma {name}").scalar() for name in ("journal_mode", "synchronous", "secure_delete")]
    store.close()
    assert said == ["wal", 2, 1]


@pytest.mark.parametrize(
    ("url", "words"),
    [("nonsense", "is no database address"), ("mysql://h/d", "not supported"), ("sqlite://", "names no file"),
     ("postgresql://u:secretword@127.0.0.1:1/d", "database failed")],
)  # fmt: skip
def test_a_wrong_address_is_refused_in_one_line_without_its_password(shop, url, words):
    with pytest.raises(ShopLMError, match=words) as refused:
        Store(shop.path, url)
    assert "\n" not in str(refused.value)
    assert "secretword" not in str(refused.value)


def test_the_shop_may_hold_an_address_but_no_password(shop, monkeypatch):
    (shop.path / "store.url").write_text("postgresql://u:secretword@h/d\n")
    with pytest.raises(DataError, match="holds a password, and a shop keeps no secrets"):
        Store(shop.path)
    (shop.path / "store.url").write_text("postgresql://u@h/d\n")
    assert database.address(shop.path, None).drivername == "postgresql+psycopg"
    monkeypatch.setenv("SHOPLM_STORE_URL", "sqlite:////x/y.db")
    assert database.address(shop.path, None).database == "/x/y.db"


def test_a_file_that_is_no_database_is_refused(shop):
    (shop.path / "store.sqlite3").write_bytes(b"certainly no database" * 100)
    with pytest.raises(ResourceError, match="file is not a database"):
        Store(shop.path)


def test_somebody_elses_database_is_refused(shop):
    with sqlite3.connect(shop.path / "store.sqlite3") as con:
        con.execute("create table rows (x)")
    con.close()
    with pytest.raises(DataError, match="holds a table `rows` that is not ours"):
        Store(shop.path)


anything = st.one_of(
    st.none(), st.text(max_size=6), st.integers(), st.floats(), st.booleans(), st.decimals(), st.binary(max_size=3),
    st.lists(st.one_of(st.text(max_size=4), st.integers()), max_size=3), st.dictionaries(st.text(max_size=3), st.one_of(st.none(), st.text(max_size=3), st.floats()), max_size=2),
    st.sampled_from(["x" * 257, "\x1c", "a\u200b", "\ud800", "\u00a0", "1e400", "EUR", "view_item", "0.5"]),
)  # fmt: skip
wild_acts = st.builds(
    Act, st.one_of(st.text(min_size=1, max_size=5), anything), st.one_of(st.integers(-(10**17), 3 * 10**17), anything), st.one_of(st.just("view_item"), anything),
    user_id=st.one_of(st.just("u"), anything), price=anything, quantity=anything, currency=anything, index=anything, impression=anything,
    propensity=anything, attributes=anything, search_term=anything, event_seq=anything,
)  # fmt: skip
wild_turns = st.builds(Turn, anything, anything, st.sampled_from(["user", "x"]), anything, anything, csat=anything, resolved=anything)
COLUMNS = ["session_id", "price", "quantity", "currency", "index", "impression", "propensity", "attributes", "search_term", "event_seq"]
nearly = st.builds(
    lambda name, at, more: Act(name, at, "view_item", "u", **more),
    st.text(min_size=1, max_size=5), st.integers(0, 3 * 10**17), st.dictionaries(st.sampled_from(COLUMNS), anything, max_size=2),
)  # fmt: skip
wild = st.one_of(nearly, nearly, wild_acts, wild_turns, st.builds(Served, anything, anything, anything, anything, anything, anything))


@given(given=st.lists(wild, max_size=8))
@settings(max_examples=100, deadline=None)
def test_any_record_is_an_entry_or_a_refusal_in_one_line(given):
    for record in given:
        try:
            entry = records.entry(record)
        except DataError as refused:
            error = refused
        else:
            error = None
        if error is not None:
            assert "\n" not in str(error)
            continue
        rows = records.rows(contract.table(entry.table), [entry.body])
        rows.validate(full=True)
        assert records.entry(record) == entry


@given(given=st.lists(wild, min_size=20, max_size=60))
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_was_acknowledged_is_never_turned_away_by_the_shop(given, tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("shop"), create=True)
    store = Store(shop.path)
    stored = 0
    for record in given:
        try:
            stored += store.put(record).new
        except DataError:
            continue
    before = {name: store.waiting(name) for name in ("events", "chats")}
    report = drain(store, shop)
    store.close()
    assert (report.rows, report.new, report.quarantined) == (stored, stored, 0)
    for name, rows in before.items():
        columns = [column.name for column in contract.table(name).columns if column.name != "attributes"]
        if rows.num_rows:
            there = shop.view().sql(f"select * from {name}").select(columns)
            assert sorted(map(repr, there.to_pylist())) == sorted(map(repr, rows.select(columns).to_pylist()))


class Journey(RuleBasedStateMachine):
    """Puts, retries and drains in any order, each drain broken off between any two steps."""

    folder = None

    def __init__(self):
        super().__init__()
        type(self).count += 1
        self.shop = Shop(self.folder / str(self.count), create=True)
        self.store = Store(self.shop.path)
        self.acknowledged, self.batch = {}, None

    count = 0

    @rule(numbers=st.lists(st.integers(0, 20), min_size=1, max_size=5))
    def put(self, numbers):
        stored = self.store.put(*(act(n) for n in numbers))
        assert stored.new == len(set(numbers) - set(self.acknowledged))
        self.acknowledged.update((n, f"e{n}") for n in numbers)

    @rule(most=st.integers(1, 6))
    def claim(self, most):
        self.batch = draining.claim(self.store, most)

    @precondition(lambda self: self.batch is not None)
    @rule()
    def append(self):
        draining.append(self.store, self.shop, self.batch)
        self.appended = self.batch

    @precondition(lambda self: self.batch is not None and getattr(self, "appended", None) is self.batch)
    @rule()
    def finish(self):
        draining.finish(self.store, self.batch)
        self.batch = None

    @rule()
    def crash(self):
        self.store.close()
        self.store, self.batch = Store(self.shop.path), None

    @invariant()
    def every_act_is_seen_once(self):
        view, live = together(self.store, self.shop, "events")
        there = ids(view.sql("select event_id from events"))
        assert sorted(there + ids(live)) == sorted(self.acknowledged.values())
        assert sorted(ids(self.store.recent("u"))) == sorted(self.acknowledged.values())

    def teardown(self):
        drain(self.store, self.shop)
        self.store.close()
        assert sorted(ids(self.shop.view().sql("select event_id from events"))) == sorted(self.acknowledged.values())


def test_any_sequence_of_puts_retries_drains_and_crashes_ends_in_exactly_what_was_acknowledged(tmp_path):
    from hypothesis.stateful import run_state_machine_as_test

    Journey.folder = tmp_path
    run_state_machine_as_test(
        Journey, settings=settings(max_examples=5, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck))
    )


def test_a_store_of_the_first_form_is_brought_up_to_date_with_all_that_waits(store, shop, monkeypatch):
    with store.engine.begin() as con:
        for table in [*database.META.sorted_tables, sa.table(database.VERSION_TABLE)]:
            con.execute(sa.text(f"drop table {table.name}"))
    url = store.engine.url.render_as_string(hide_password=False)
    with monkeypatch.context() as past:
        past.setattr(database, "HEAD", "0001")
        first = Store(shop.path, url)
        first.put(act(1), Turn("c", 0, "user", "where is it", NOW_US, user_id="u"))
        first.close()
    again = Store(shop.path, url)
    indexes = {index["name"]: index["column_names"] for index in sa.inspect(again.engine).get_indexes("rows")}
    assert indexes["rows_by_batch"] == ["batch", "seq"]
    assert "rows_waiting" not in indexes
    assert again.put(act(1), act(2)) == Stored(1, 1)
    assert (again.turns("c").num_rows, drain(again, shop).new) == (1, 3)
    again.close()


def test_a_group_with_a_mistake_stores_what_the_others_sent(store):
    """The short way is closed to a group in which one id is taken; the long way judges each call by itself."""
    store.put(act(1))
    jobs = [storing._Job([records.entry(one) for one in call]) for call in ([act(2)], [act(3), act(1, user="other")], [act(1), act(4)])]
    said = store._retried(jobs)
    assert (said[0], said[2]) == (Stored(1, 0), Stored(1, 1))
    assert isinstance(said[1], DataError)
    assert ids(store.waiting("events")) == ["e1", "e2", "e4"]


def test_writers_wake_for_their_own_answer_and_share_commits(store):
    """With one lock for all, the writer that let it go took it again and the others did not learn that they were long done."""
    calls, plain = [], store._lane.put
    store._lane.put = lambda entries, now: (time.sleep(0.01), calls.append(len(entries)), plain(entries, now))[2]
    waited = []

    def write(mine):
        for n in range(10):
            begin = time.perf_counter()
            assert store.put(act(1000 * mine + n, user=f"u{mine}")).new == 1
            waited.append(time.perf_counter() - begin)

    threads = [threading.Thread(target=write, args=(mine,)) for mine in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(calls) == 80
    assert len(calls) <= 40  # ten at best; one writer alone would need 80
    assert not store._led
    assert not store._waiting


def test_an_interrupted_writer_leaves_the_others_writing(store, monkeypatch):
    monkeypatch.setattr(store, "_retried", lambda jobs: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        store.put(act(1))
    monkeypatch.undo()
    assert store.put(act(1)).new == 1
