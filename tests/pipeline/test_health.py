"""Every planted illness of a shop is found and named, a sound shop is left in peace, and nothing is dropped."""

import dataclasses
import json
import re
import subprocess
import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoplm.cli import run
from shoplm.data import contract, fakes
from shoplm.data.shop import Shop
from shoplm.pipeline import health
from shoplm.world.sample import SampleConfig, planted_faults, tables

CONFIG = SampleConfig(shoppers=45, products=60, seed=3)
DAY_US = 86_400_000_000
START_US = 1_750_000_000_000_000


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("sample") / "shop", create=True)
    with shop.transaction() as transaction:
        for name, rows in tables(CONFIG).items():
            transaction.upsert(name, [rows])
    return shop


@pytest.fixture(scope="module")
def looked(sample):
    return health.check(sample)


def found(looked, check):
    return [finding for finding in looked.findings if finding.check == check]


def events(count=200, **columns):
    plain = {
        "event_id": [f"e{n}" for n in range(count)], "event_time": pa.array([START_US + n * 3_600_000_000 for n in range(count)], contract.TIME),
        "event_name": ["view_item"] * count, "user_id": [f"u{n % 17}" for n in range(count)], "item_id": [f"i{n % 7}" for n in range(count)],
    }  # fmt: skip
    return pa.table({**plain, **columns})


def checked(tmp_path, **given_tables):
    shop = Shop(tmp_path / "shop", create=True)
    with shop.transaction() as transaction:
        for name, rows in given_tables.items():
            transaction.upsert(name, [rows])
    return health.check(shop)


def test_the_sample_shop_s_planted_faults_are_found_and_nothing_is_called_a_leak(looked):
    kinds = {(finding.check, finding.table) for finding in looked.findings}
    assert {
        ("quarantine", "reviews"),
        ("missing", "products"),
        ("outlier", "products"),
        ("bot", "events"),
        ("fake_review", "reviews"),
    } <= kinds
    assert found(looked, "leak") == []
    assert found(looked, "drift") == []
    assert [finding.severity for finding in looked.findings] == sorted(
        (f.severity for f in looked.findings), key=["wrong", "warning", "note"].index
    )
    assert all(finding.fix and finding.text for finding in looked.findings)


ILL = {
    "a time in the future": ("future", "event_time", lambda: {"events": events(event_time=pa.array([2**52 if n == 3 else START_US + n for n in range(200)], contract.TIME))}),
    "a lost decimal point": ("outlier", "price", lambda: {"events": events(price=[900_000.0 if n == 5 else 10.0 + n % 9 for n in range(200)])}),
    "a purse of many pieces": ("bulk", "quantity", lambda: {"events": events(event_name=["purchase"] * 200, quantity=[500.0 if n == 9 else 1.0 for n in range(200)])}),
    "an unknown currency": ("currency", "currency", lambda: {"events": events(currency=["EUX"] * 200)}),
    "a tracker that fires twice": ("duplicate", "event_id", lambda: {"events": events(event_time=pa.array([START_US + n // 2 * DAY_US for n in range(200)], contract.TIME), user_id=["u"] * 200, item_id=["i"] * 200)}),
    "a visitor who never sleeps": ("bot", "user_id", lambda: {"events": events(user_id=["u0"] * 200)}),
    "returns counted as sales": ("returns", "quantity", lambda: {"events": events(event_name=["purchase"] * 200, quantity=[-1.0 if n < 3 else 1.0 for n in range(200)])}),
    "a refund whose purchase stays": ("returns", "transaction_id", lambda: {"events": events(event_name=["refund" if n == 1 else "purchase" for n in range(200)], transaction_id=[f"t{n // 2}" for n in range(200)], item_id=["i"] * 200)}),
    "a returned order whose purchase stays": ("returns", "transaction_id", lambda: {"events": events(event_name=["purchase"] * 200, transaction_id=[f"t{n}" for n in range(200)]), "orders": pa.table({"order_id": ["t5"], "line": [0], "item_id": ["i5"], "status": ["returned"], "ordered_at": pa.array([START_US], contract.TIME)})}),
    "acts on unknown items": ("orphan", "item_id", lambda: {"events": events(), "products": pa.table({"id": ["i1"], "title": ["cup"]})}),
    "products that stand twice": ("duplicate", "title", lambda: {"products": pa.table({"id": ["a", "b"], "title": ["Cup", "cup "], "brand": ["X", "x"]})}),
    "a column that gives the stars away": ("leak", "mood_code", lambda: {"reviews": reviews(mood_code=[f"c{n % 5}" for n in range(300)])}),
    "a source that is kinder": ("source", "rating", lambda: {"reviews": reviews(rating=[5.0 if n < 150 else 1.0 + n % 3 for n in range(300)])}),
    "a device that everybody changed to": ("drift", "device", lambda: {"events": events(2000, device=["desktop" if n < 1300 else "mobile" for n in range(2000)])}),
    "weeks without data": ("drift", "", lambda: {"events": events(2000, event_time=pa.array([START_US + (n + (n > 1000) * 500) * 3_600_000_000 for n in range(2000)], contract.TIME))}),
    "words of another script than said": ("language", "language", lambda: {"reviews": reviews(language=["zh"] * 300)}),
    "texts that would stand on two sides": ("repeat", "split", lambda: {"reviews": reviews(split=["train" if n % 2 else "test" for n in range(300)], body=[f"{'number ' * 9}{n // 2}{'.!'[n % 2]}" for n in range(300)])}),
    "rows that are too old": ("retention", "event_time", lambda: {"events": events(event_time=pa.array([START_US - (n == 0) * 2000 * DAY_US for n in range(200)], contract.TIME))}),
}  # fmt: skip


def reviews(**columns):
    plain = {
        "review_id": [f"r{n}" for n in range(300)], "item_id": [f"i{n % 41}" for n in range(300)], "user_id": [f"u{n}" for n in range(300)],
        "rating": [1.0 + n % 5 for n in range(300)], "body": [f"Review {n} says its own {n * 7919 % 1000} things about it" for n in range(300)],
        "created_at": pa.array([START_US + n * DAY_US for n in range(300)], contract.TIME),
    }  # fmt: skip
    return pa.table({**plain, **columns})


@pytest.mark.parametrize("what", ILL)
def test_a_planted_illness_is_found_and_named(what, tmp_path):
    check, column, make = ILL[what]
    given_tables = make()
    if check == "source":  # the source is where rows came from: two files
        whole = given_tables["reviews"]
        shop = Shop(tmp_path / "shop", create=True)
        for name, rows in (("one", whole.slice(0, 150)), ("two", whole.slice(150))):
            pa.csv.write_csv(rows, tmp_path / f"{name}.csv")
            shop.import_files(tmp_path / f"{name}.csv", table="reviews")
        looked = health.check(shop)
    else:
        looked = checked(tmp_path, **given_tables)
    assert column in [finding.column for finding in found(looked, check)], str(looked)


def test_sound_rows_are_left_in_peace(tmp_path):
    looked = checked(tmp_path, events=events(), reviews=reviews())
    assert [str(finding) for finding in looked.findings if finding.severity == "wrong"] == []
    assert {finding.check for finding in looked.findings} <= {"missing"}


def test_an_empty_shop_is_healthy(tmp_path):
    looked = health.check(Shop(tmp_path / "shop", create=True))
    assert (looked.findings, looked.charts) == ([], [])
    assert "nothing wrong was found" in str(looked)


ANY = st.one_of(st.none(), st.text(max_size=6))


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(
        st.fixed_dictionaries({
            "event_time": st.integers(0, 2**51), "event_name": st.sampled_from(["purchase", "view_item", "refund"]), "user_id": ANY, "user_pseudo_id": st.just("d"),
            "item_id": ANY, "price": st.one_of(st.none(), st.integers(0, 10**12)), "quantity": st.one_of(st.none(), st.floats(-1e9, 1e9)),
            "currency": st.one_of(st.none(), st.text(max_size=3)), "transaction_id": ANY,
        }), min_size=1, max_size=30,
    )
)  # fmt: skip
def test_any_rows_that_a_shop_holds_can_be_checked(rows, tmp_path_factory):
    place = tmp_path_factory.mktemp("any")
    shop = Shop(place / "shop", create=True)
    shop.upsert(
        "events",
        pa.Table.from_pylist(
            rows, schema=pa.schema([("event_time", contract.TIME), *((n, contract.EVENTS[n].type) for n in rows[0] if n != "event_time")])
        ),
    )
    looked = health.look(shop, out=place / "check.html")
    json.dumps(looked.plain(), allow_nan=False)
    assert "</html>" in (place / "check.html").read_text("utf-8")


def test_likely_fakes_are_marked_once_counted_and_never_dropped(sample, looked):
    wrong = {one for fault in planted_faults(CONFIG) if fault.kind == "copied_review" for one in fault.ids}
    marked = set(looked.marks.reasons)
    assert len(wrong & marked) >= 0.97 * len(wrong)
    assert len(wrong & marked) >= 0.9 * len(marked), looked.marks.by_rule()
    before = sample.counts()["reviews"]
    assert health.mark(sample, looked.marks, START_US) == len(marked)
    assert health.mark(sample, looked.marks, START_US) == 0
    assert sample.counts()["reviews"] == before
    labels = sample.view().sql(f"select * from labels where task = '{fakes.TASK}'")
    assert set(labels["subject"].to_pylist()) == marked
    assert set(labels["by"].to_pylist()) == {"rule"}
    assert all("reason" in json.loads(said) for said in labels["attributes"].to_pylist())
    assert f"{len(marked):,} of them are marked" in str(health.check(sample))


def test_a_burst_and_a_one_day_writer_are_marked_and_a_popular_item_is_not(tmp_path):
    plain = reviews()
    number = [f"b{n}" for n in range(8)]
    burst = pa.table({"review_id": number, "item_id": ["i3"] * 8, "user_id": [f"x{n}" for n in range(8)], "rating": [5.0] * 8, "body": [f"good {n}" for n in range(8)],
                      "created_at": pa.array([START_US + 100 * DAY_US + n * 60_000_000 for n in range(8)], contract.TIME)})  # fmt: skip
    spree = pa.table({"review_id": ["s0", "s1", "s2"], "item_id": ["i1", "i2", "i4"], "user_id": ["one-day"] * 3, "rating": [1.0] * 3, "body": ["bad", "worse", "worst"],
                      "created_at": pa.array([START_US + n * 1_000_000 for n in range(3)], contract.TIME)})  # fmt: skip
    popular = pa.table({"review_id": [f"p{n}" for n in range(400)], "item_id": ["hit"] * 400, "user_id": [f"y{n}" for n in range(400)], "rating": [5.0] * 400,
                        "body": ["fine"] * 400, "created_at": pa.array([START_US + n * DAY_US // 8 for n in range(400)], contract.TIME)})  # fmt: skip
    shop = Shop(tmp_path / "shop", create=True)
    shop.upsert("reviews", pa.concat_tables([plain, burst, spree, popular]))
    marks = fakes.find(shop.view())
    assert set(marks.reasons) == {*number, "s0", "s1", "s2"}
    assert marks.by_rule() == {"burst": 8, "one-day writer": 3}


def test_the_page_stands_alone_and_escapes_what_the_shop_says(tmp_path, looked):
    evil = "<script>alert(1)</script>"
    shop = Shop(tmp_path / "shop", create=True)
    shop.upsert("events", events(currency=pa.array(["<b>"] * 200), item_id=[evil] * 200))
    shop.upsert("products", pa.table({"id": ["a"], "title": ["b"]}))
    page = tmp_path / "check.html"
    health.look(shop, out=page)
    text = page.read_text("utf-8")
    assert evil not in text
    assert "&lt;script&gt;" in text
    assert not re.search(r"(src|href)\s*=\s*.?https?:", text)


def test_the_command_gives_one_json_object_and_writes_page_and_marks(tmp_path, capsys):
    shop = Shop(tmp_path / "shop", create=True)
    twice = "The very same long words about a product that nobody who wrote them ever held in their own hands"
    shop.upsert("reviews", pa.table({"review_id": ["a", "b"], "item_id": ["x", "y"], "body": [twice, twice.upper()], "rating": [5.0, 5.0]}))
    page = tmp_path / "check.html"
    assert run(["check", "--shop", str(shop.path), "--json", "--mark", "--out", str(page)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["fake_reviews"] == {"likely": 2, "rules": {"copied text": 2}, "newly_marked": 2}
    assert page.is_file()
    assert run(["check", "--shop", str(shop.path), "--out", str(tmp_path)]) == 2
    assert "is a folder; give a file" in capsys.readouterr().err


def test_a_finding_is_plain_data(looked):
    one = looked.findings[0]
    assert set(one.plain()) == {field.name for field in dataclasses.fields(one)}
    assert pc.sum(pa.array(list(looked.counts.values()))).as_py() > 0


def test_looking_a_shop_through_waits_for_no_torch(sample):
    code = (
        "import sys; from shoplm.data.shop import Shop; from shoplm.pipeline.health import check; "
        "check(Shop(sys.argv[1])); sys.exit(bool({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(sample.path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
