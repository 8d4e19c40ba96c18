"""Every kind of split keeps its promise on a real shop, says so, and is the same when judged as when trained."""

import gc
import weakref

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from shoplm import task as tasks
from shoplm.data import contract
from shoplm.data.shop import Shop
from shoplm.errors import ConfigError, DataError
from shoplm.pipeline import dividing, prepare
from shoplm.pipeline.config import RunConfig
from shoplm.pipeline.dividing import Division, leaking, repeats
from shoplm.pipeline.prepare import moments_of

ROWS = 240


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    place = tmp_path_factory.mktemp("divided")
    made = Shop(place / "shop", create=True)
    rows = pa.table(
        {
            "review_id": [f"r{n:03d}" for n in range(ROWS)], "item_id": [f"i{n % 31}" for n in range(ROWS)],
            "user_id": [None if n % 20 == 0 else f"u{n % 23}" for n in range(ROWS)], "rating": [1.0 + n % 5 for n in range(ROWS)],
            "body": [f"words of review {n}" for n in range(ROWS)],
            "created_at": pa.array([1_700_000_000_000_000 + (n * 37 % ROWS) * 1_000_000 for n in range(ROWS)], contract.TIME),
            "stars_again": [f"s{n % 5}" for n in range(ROWS)],
        }
    )  # fmt: skip
    for name, part in (("one", rows.slice(0, 200)), ("two", rows.slice(200))):
        pa.csv.write_csv(part, place / f"{name}.csv")
        made.import_files(place / f"{name}.csv", table="reviews")
    return made


def divided(shop, *settings, rows=50):
    config = RunConfig.read(["sentiment"], settings=settings).split
    task, view = tasks.get("sentiment"), shop.view()
    wanted = task.Settings()
    division = Division.of(view, task, wanted, config, None, rows).counting()
    words, keys = [], []
    for part in view.parts("reviews", rows=rows):
        moments = task.moments(part, wanted)
        words.append(division.words(part, moments))
        keys.append(part.table.take(moments.row))
    return np.concatenate(words), pa.concat_tables(keys), division.report()


@pytest.mark.parametrize("kind", ["group", "near", "time", "shopper", "leave_one_out", "cold_items", "source"])
def test_every_kind_keeps_its_promise_and_says_so(kind, shop):
    words, _, report = divided(shop, f"split.kind={kind}")
    assert report.leak_check == 0
    assert report.kind == kind
    assert report.train + report.valid + report.test == ROWS
    assert min(report.train, report.test) > 0
    again, _, _ = divided(shop, f"kind={kind}", rows=33)
    assert (again == words).all()  # the same whatever the parts


@pytest.mark.parametrize("counting", [False, True])
def test_nothing_that_was_read_is_kept_and_only_a_division_that_counts_keeps_the_splits(counting, shop):
    task, view = tasks.get("sentiment"), shop.view()
    wanted = task.Settings()
    division = Division.of(view, task, wanted, RunConfig.read(["sentiment"], settings=()).split, None, 50)
    division = division.counting() if counting else division
    read, handed = [], []
    for part in view.parts("reviews", rows=50):
        moments = task.moments(part, wanted)
        words = division.words(part, moments)
        read += [weakref.ref(part.table), weakref.ref(moments.at_us), weakref.ref(moments.group)]
        handed.append(weakref.ref(words))
        del part, moments, words
    gc.collect()
    assert len(read) == 15
    assert not any(one() is not None for one in read)
    assert [one() is not None for one in handed] == [counting] * 5


def test_rows_of_no_shopper_do_not_hang_together(shop):
    words, rows, _ = divided(shop, "kind=shopper", "valid=0.3", "test=0.3")
    assert len(set(words[np.asarray(rows["user_id"].is_null())])) > 1


def test_the_source_that_judges_can_be_named(shop):
    words, rows, report = divided(shop, "kind=source")
    assert set(rows["source"].filter(pa.array(words == "test")).to_pylist()) == {
        min(set(rows["source"].to_pylist()), key=rows["source"].to_pylist().count)
    }
    assert (report.test, report.leak_check) == (40, 0)
    with pytest.raises(DataError, match="no source `mars`"):
        divided(shop, "kind=source", "held_out=mars")
    with pytest.raises(ConfigError, match="kind"):
        RunConfig.read(["sentiment"], settings=["kind=moon"])


def test_judging_sees_the_split_that_training_made(shop):
    config = RunConfig.read(["sentiment"], settings=["kind=time"]).split
    task, view = tasks.get("sentiment"), shop.view()
    judged = np.concatenate([words for _, _, words in moments_of(view, task, task.Settings(), config, None)])
    assert (judged == divided(shop, "kind=time", rows=20_000)[0]).all()


def test_training_names_a_column_that_gives_the_answer_away(shop):
    task = tasks.get("sentiment")
    lines = leaking(shop.view(), task, task.Settings(), None)
    assert len(lines) == 1
    assert lines[0].startswith("leak: reviews: `stars_again`")


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Every third review is the one before it with other marks and one word more; every sixth row has no words."""
    random = np.random.default_rng(0)
    bodies = [" ".join("".join(chr(97 + n) for n in random.integers(0, 26, 6)) for _ in range(15)) for _ in range(ROWS)]
    for n in range(2, ROWS, 3):
        bodies[n] = None if n % 6 == 5 else f"{bodies[n - 1].upper()}!! Indeed"
    made = Shop(tmp_path_factory.mktemp("twins") / "shop", create=True)
    made.upsert("reviews", pa.table({"review_id": [f"r{n:03d}" for n in range(ROWS)], "item_id": ["i"] * ROWS, "rating": [1.0 + n % 5 for n in range(ROWS)], "body": bodies}))  # fmt: skip
    return made


def seen(shop, kind, where=None):
    task = tasks.get("sentiment")
    return repeats(shop.view(), task, task.Settings(), RunConfig.read(["sentiment"], settings=[f"kind={kind}"]).split, where)


def test_nearly_equal_texts_on_two_sides_are_counted_and_named_by_row_number_only(twins, monkeypatch):
    monkeypatch.setattr(dividing, "LOOKED_AT", 7)  # row numbers go on over the parts
    found = seen(twins, "group")
    # 40 pairs; a pair parts when its two texts fall on two sides: 1 - .8² - 2 · .1² = .34 of them, 13.6 ± 3; two in valid and test count twice
    assert 4 <= found.found.judged <= 26
    assert found.many
    assert len(found.examples) == 2
    bodies = twins.view().sql("select body from reviews order by review_id")["body"].to_pylist()
    for one, other in found.examples:
        first, second = sorted((bodies[one - 1], bodies[other - 1]), key=len)
        assert second == f"{first.upper()}!! Indeed"
    assert not any(word in str(found) for body in bodies if body for word in body.split())
    assert str(found.examples[0][0]) in str(found)


def test_split_kind_near_keeps_nearly_equal_texts_on_one_side_whatever_the_order(twins, monkeypatch):
    assert not seen(twins, "near")
    words, rows, report = divided(twins, "kind=near")
    assert report.leak_check == 0
    assert min(report.train, report.valid, report.test) > 0
    place = dict(zip(rows["review_id"].to_pylist(), words.tolist(), strict=True))
    mixed = Shop(twins.path.parent / "mixed", create=True)
    whole = twins.view().sql("select review_id, item_id, rating, body from reviews order by hash(review_id)")
    mixed.upsert("reviews", whole)
    again, rows, _ = divided(mixed, "kind=near", rows=31)
    assert dict(zip(rows["review_id"].to_pylist(), again.tolist(), strict=True)) == place


def test_beyond_a_number_of_texts_it_says_that_the_others_were_not_compared(twins, monkeypatch):
    monkeypatch.setattr(dividing, "LOOKED_AT", 30)
    monkeypatch.setattr(dividing, "TEXTS", 100)
    found = seen(twins, "group")
    assert found.texts == 100
    assert "only the first 100 were compared" in str(found)


@pytest.mark.parametrize("kind", ["group", "near", "shopper"])
def test_what_repeats_is_found_while_the_rows_are_read_to_learn(twins, kind, monkeypatch):
    """Parts of nine rows and a condition that leaves whole parts without a moment: places and counts are those of a reading for this alone."""
    monkeypatch.setattr(prepare, "PART_ROWS", 9)
    view, task, config = twins.view(), tasks.get("sentiment"), RunConfig.read(["sentiment"], settings=[f"kind={kind}"]).split
    division = Division.of(view, task, task.Settings(), config, None, 9)
    division.watch()
    for _ in prepare.moments_of(view, task, task.Settings(), config, None, division):
        pass
    assert division.repeats("reviews") == seen(twins, kind)
