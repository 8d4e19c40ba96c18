"""Every kind of split keeps its promise on a real shop, says so, and is the same when judged as when trained."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from shoplm import task as tasks
from shoplm.data import contract
from shoplm.data.shop import Shop
from shoplm.errors import ConfigError, DataError
from shoplm.pipeline.config import RunConfig
from shoplm.pipeline.dividing import Division, leaking
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
    division = Division.of(view, task, wanted, config, None, rows)
    words, keys = [], []
    for part in view.parts("reviews", rows=rows):
        moments = task.moments(part, wanted)
        words.append(division.words(part, moments))
        keys.append(part.table.take(moments.row))
    return np.concatenate(words), pa.concat_tables(keys), division.report()


@pytest.mark.parametrize("kind", ["group", "time", "shopper", "leave_one_out", "cold_items", "source"])
def test_every_kind_keeps_its_promise_and_says_so(kind, shop):
    words, _, report = divided(shop, f"split.kind={kind}")
    assert report.leak_check == 0
    assert report.kind == kind
    assert report.train + report.valid + report.test == ROWS
    assert min(report.train, report.test) > 0
    again, _, _ = divided(shop, f"kind={kind}", rows=33)
    assert (again == words).all()  # the same whatever the parts


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
