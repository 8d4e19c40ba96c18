"""interest: which moments a shop and a file give, what is known at them, and what it answers."""

import numpy as np
import pyarrow as pa
import pytest

from shoplm.data.shop import Shop
from shoplm.errors import DataError
from shoplm.pipeline.knowing import Knowing
from shoplm.task import Fitted, Scores, get

TASK = get("interest")
Settings = TASK.Settings
MINUTE = 60_000_000
START = 1_704_067_200_000_000  # 2024-01-01


def event(name, at, item=None, user="ann", **more):
    return {
        "event_id": f"{name}-{at}-{item or ''}-{user}",
        "event_time": START + at * MINUTE,
        "event_name": name,
        "user_id": user,
        "item_id": item,
        **more,
    }


def shop_of(tmp_path, events, products=(), users=(), reviews=()):
    made = Shop(tmp_path / "shop", create=True)
    for table, rows in (("products", products), ("users", users), ("events", events), ("reviews", reviews)):
        if rows:
            names = {name for row in rows for name in row}
            times = {"event_time", "created_at", "updated_at"}
            columns = {name: [row.get(name) for row in rows] for name in names}
            given = {
                name: pa.array(values).cast(pa.timestamp("us", tz="UTC")) if name in times else values for name, values in columns.items()
            }
            made.upsert(table, pa.table(given), strict=True)
    return made.view()


def moments(view, rows=1000, **settings):
    """All moments as plain rows, through parts of ``rows`` rows."""
    chosen, found = Settings(**settings), []
    for part in view.parts(chosen.table, rows=rows):
        some = TASK.moments(part, chosen)
        asked = some.subject(part).take(some.row)
        for at in range(len(some)):
            row = asked.slice(at, 1).to_pylist()[0]
            found.append({**row, "at": some.at_us[at].as_py(), **{name: column[at].as_py() for name, column in some.targets.items()}})
    return found


def wanted(rows):
    return {(row["_id"], row["item_id"]): row["interest"] for row in rows}


LISTS = [
    event("view_item_list", 0, impression=["a", "b", "c", "b"], item_list_name="home"),
    event("view_item", 1, "b"),
    event("view_item", 2, "a", user="bob"),  # another shopper's act says nothing of ann
    event("view_item_list", 10, impression=["b", "d"], item_list_name="search"),
    event("purchase", 12, "b"),  # of both lists the later one showed it last
    event("view_item", 75, "d"),  # too late
    event("view_item_list", 90, impression=["a"], user=None, user_pseudo_id="device"),
    event("add_to_cart", 91, "a", user=None, user_pseudo_id="device"),
    event("view_item_list", 95, impression=["a"]),
]


def test_an_item_that_was_shown_is_wanted_if_its_shopper_acted_on_it_soon_after(tmp_path):
    view = shop_of(tmp_path, LISTS)
    found = wanted(moments(view))
    assert {(name.partition("-ann")[0].partition("-None")[0], item): said for (name, item), said in found.items()} == {
        ("view_item_list-0-", "a"): "no", ("view_item_list-0-", "b"): "yes", ("view_item_list-0-", "c"): "no",
        ("view_item_list-10-", "b"): "yes", ("view_item_list-10-", "d"): "no", ("view_item_list-90-", "a"): "yes", ("view_item_list-95-", "a"): "no",
    }  # fmt: skip
    assert wanted(moments(view, within_minutes=70))[next(key for key in found if key[1] == "d")] == "yes"
    assert sum(said == "yes" for said in wanted(moments(view, wants=("purchase",))).values()) == 1


def test_the_later_list_alone_gets_the_credit_of_an_act(tmp_path):
    rows = [event("view_item_list", 0, impression=["b"]), event("view_item_list", 5, impression=["b"]), event("purchase", 6, "b")]
    assert list(wanted(moments(shop_of(tmp_path, rows))).values()) == ["no", "yes"]


@pytest.mark.parametrize("settings", [{}, {"by": "acts"}, {"share": 0.5}])
def test_the_moments_do_not_depend_on_how_the_table_is_cut(tmp_path, settings):
    random = np.random.default_rng(0)
    rows = [event("view_item", 7 * at, f"i{random.integers(9)}", user=f"u{random.integers(3)}") for at in range(60)]
    rows += [
        event("view_item_list", 7 * at - 3, impression=[f"i{n}" for n in random.permutation(9)[:4]], user=f"u{random.integers(3)}")
        for at in range(40)
    ]
    view = shop_of(tmp_path, rows)
    whole = sorted(wanted(moments(view, **settings)).items())
    assert len(whole) > 20
    assert sorted(wanted(moments(view, rows=7, **settings)).items()) == whole


def test_beside_an_act_stand_drawn_items_that_were_there_and_that_the_shopper_left_alone(tmp_path):
    rows = [event("view_item", at, f"i{at % 5}", user=f"u{at % 4}") for at in range(1, 60)]
    rows += [event("view_item", 80, "late", user="u0"), event("view_item", 81, "own", user="u1"), event("view_item", 90, "own", user="u1")]
    found = moments(shop_of(tmp_path, rows), by="acts", negatives=3)
    yes = {(row["user_id"], row["item_id"]) for row in found if row["interest"] == "yes"}
    no = [row for row in found if row["interest"] == "no"]
    assert no == []  # each of them acted on all five
    more = [event("view_item", 20 + at, f"x{at}", user=f"v{at}") for at in range(20)]
    found = moments(shop_of(tmp_path / "more", rows + more), by="acts", negatives=3)
    first = {item: min(row["at"] for row in found if row["item_id"] == item and row["interest"] == "yes") for _, item in yes}
    no = [row for row in found if row["interest"] == "no"]
    assert len(no) > 20
    assert not {(row["user_id"], row["item_id"]) for row in no} & {
        (row["user_id"], row["item_id"]) for row in found if row["interest"] == "yes"
    }
    assert all(row["at"] >= first.get(row["item_id"], 0) for row in no)
    assert sum(row["item_id"] == "own" and row["interest"] == "yes" for row in found) == 1  # twice in a day is one act


def test_ratings_and_reviews_teach_by_the_rating_rule(tmp_path):
    rates = [event("rate", at, "a", event_value=stars) for at, stars in enumerate([5.0, 4.0, 3.5, 1.0])]
    reviews = [{"review_id": "r1", "item_id": "a", "user_id": "ann", "rating": 2.0, "created_at": START}, {"review_id": "r2", "item_id": "b", "user_id": "bob", "rating": 5.0, "created_at": START}]  # fmt: skip
    view = shop_of(tmp_path, rates, reviews=reviews)
    found = moments(view, by="ratings", rating=True)
    assert [(row["rating"], row["interest"]) for row in found] == [(5.0, "yes"), (4.0, "yes"), (3.5, "no"), (1.0, "no")]
    assert [row["interest"] for row in moments(view, by="ratings", wants_from=3.5)] == ["yes", "yes", "yes", "no"]
    assert {row["_id"]: row["interest"] for row in moments(view, by="reviews")} == {"r1": "no", "r2": "yes"}


PRODUCTS = [
    {"id": "a", "title": "Red shoes", "brand": "Acme", "product_type": "Shoes > Trainers", "price": 40.0, "created_at": START - 3 * 1440 * MINUTE, "updated_at": START},
    {"id": "b", "title": "Blue hat by Acme", "brand": "Acme", "product_type": "Hats", "price": 10.0, "created_at": START, "updated_at": START},
]  # fmt: skip
USERS = [{"user_id": "ann", "membership": "gold", "segments": ["runner", "app"]}]
ACTS = [
    event("view_item", 1, "b", price=20.0), event("search", 2, search_term="red shoes"), event("purchase", 3, "b", price=20.0),
    event("view_item_list", 1440 + 3, impression=["a", "b"], item_list_name="home"), event("view_item", 1440 + 4, "a", price=99.0),
    event("view_item", 2, "a", user="bob", price=30.0),
]  # fmt: skip


def prompts(view, **settings):
    found = {}
    for part in view.parts("events"):
        some = TASK.moments(part, Settings(**settings))
        asked = some.subject(part)
        contexts = Knowing(view, TASK).contexts(asked, np.asarray(some.row, np.int64), np.asarray(some.at_us, np.int64))
        for at, context in enumerate(contexts):
            found[asked["item_id"][some.row[at].as_py()].as_py()] = TASK.prompt(context)
    return found


def test_the_prompt_tells_the_acts_before_newest_first_and_the_product(tmp_path):
    found = prompts(shop_of(tmp_path, ACTS, PRODUCTS, USERS))
    assert found["a"].text(0) == "runner, app. bought Blue hat by Acme. searched for red shoes."
    assert found["a"].text(1) == "Red shoes. Acme. Shoes > Trainers."
    assert found["b"].text(1) == "Blue hat by Acme. Hats."  # the brand is said already


def test_features_are_what_was_known_at_the_moment(tmp_path):
    found = prompts(shop_of(tmp_path, ACTS, PRODUCTS, USERS))
    a, b = found["a"].features, found["b"].features
    assert a["item_price"] == 30.0  # bob was shown it for 30 before, ann for 99 only afterwards
    assert a["price_to_usual"] == pytest.approx(np.log(30 / 20))
    assert a["days_since_act"] == pytest.approx(1.0)
    assert a["acts"] == 3
    assert (a["item_acts"], b["item_acts"]) == (0, 2)
    assert (a["last_kind"], b["last_kind"]) == (0.0, 1.0)
    assert b["same_kind"] == pytest.approx(2 / 3)
    assert a["item_age_days"] == pytest.approx(4 + 3 / 1440)
    assert (a["place"], b["place"], a["list"], a["membership"]) == (0.0, 1.0, "home", "gold")
    assert set(a) <= set(TASK.features)


def test_what_comes_after_the_moment_changes_no_prompt(tmp_path):
    later = [event("purchase", 1440 + 5, "a", price=5.0), event("view_item", 9999, "b"), event("search", 1440 + 3, search_term="now")]
    assert prompts(shop_of(tmp_path / "one", ACTS, PRODUCTS, USERS)) == prompts(shop_of(tmp_path / "two", ACTS + later, PRODUCTS, USERS))


@pytest.mark.parametrize("rows", [1, 1000])
def test_an_act_of_more_than_a_year_ago_is_forgotten_whatever_part_the_moment_stands_in(tmp_path, rows):
    day = 1440
    events = [
        event("view_item", 0, "b"),
        event("view_item_list", day, impression=["a"]),
        event("view_item_list", 366 * day, impression=["a"]),
    ]
    view, told = shop_of(tmp_path, events), []
    for part in view.parts("events", rows=rows):
        some = TASK.moments(part, Settings())
        contexts = Knowing(view, TASK).contexts(some.subject(part), np.asarray(some.row, np.int64), np.asarray(some.at_us, np.int64))
        told += [TASK.prompt(context).text(0) for context in contexts]
    assert told == ["looked at b.", ""]


def test_a_task_of_texts_alone_sees_its_own_rows_and_nothing_else(tmp_path):
    reviews = [{"review_id": "r1", "item_id": "a", "user_id": "ann", "body": "lovely", "rating": 5.0, "created_at": START}]
    view, other = shop_of(tmp_path, ACTS, PRODUCTS, USERS, reviews), get("sentiment")
    part = next(view.parts("reviews"))
    some = other.moments(part, other.Settings())
    context = Knowing(view, other).contexts(some.subject(part), np.asarray(some.row, np.int64), np.asarray(some.at_us, np.int64))[0]
    assert (context.history, context.facts, context.subject.body) == ([], {}, "lovely")


def test_a_shop_without_products_and_users_is_asked_by_its_ids(tmp_path):
    found = prompts(shop_of(tmp_path, ACTS))
    assert found["a"].text(0) == "bought b. searched for red shoes."
    assert found["a"].text(1) == "a."


@pytest.mark.parametrize(
    ("labels", "settings", "said"),
    [
        (["positive", "negative"], {}, ["yes", "no"]),
        (["1", "0"], {}, ["yes", "no"]),
        (["TRUE", "False"], {}, ["yes", "no"]),
        (["loves", "hates"], {"wanted": "Loves"}, ["yes", "no"]),
    ],
)
def test_the_labels_of_a_plain_file_are_no_and_yes(labels, settings, said):
    from shoplm.tasks.interest import _answers

    found = _answers(pa.chunked_array([pa.array([*labels, None])]), Settings(**settings))
    assert found.to_pylist()[:2] == said
    assert settings or found.to_pylist()[2] is None


def test_a_label_that_says_neither_is_refused_with_what_to_do():
    from shoplm.tasks.interest import _answers

    with pytest.raises(DataError, match="the label `maybe` says neither yes nor no; name the one that means yes with wanted=LABEL"):
        _answers(pa.chunked_array([["yes", "maybe"]]), Settings())


def targets(*answers, rating=None):
    found = {"interest": pa.array(answers, pa.string())}
    return found if rating is None else {**found, "rating": pa.array(rating, pa.float64())}


def test_one_answer_alone_or_one_rating_is_nothing_to_learn():
    with pytest.raises(DataError, match="hold only `no`; give rows that were wanted"):
        TASK.learn(targets("no", None), Settings())
    with pytest.raises(DataError, match="no two different ratings"):
        TASK.learn(targets("no", "yes", rating=[4.0, None]), Settings(rating=True))
    fitted = TASK.learn(targets("no", "yes", "no", None, rating=[1.0, 4.5, None, 3.0]), Settings(rating=True))
    assert fitted.numbers == {"share": pytest.approx(1 / 3), "low": 1.0, "high": 4.5}
    assert set(TASK.heads(fitted)) == {"interest", "rating"}
    assert set(TASK.heads(TASK.learn(targets("no", "yes"), Settings()))) == {"interest"}


def test_validation_makes_the_probabilities_honest():
    random = np.random.default_rng(0)
    true = random.normal(-1.5, 1, 4000)
    event = (random.random(4000) < 1 / (1 + np.exp(-true))).astype(np.int64)
    scores = Scores({"interest": np.stack([np.zeros(4000), 3 * true + 2], 1).astype(np.float32)})  # three times too sure, and shifted
    fitted = TASK.choose(scores, {"interest": event}, Fitted(labels={"interest": ["no", "yes"]}))
    answer = TASK.answer(scores, fitted)
    assert TASK.metrics["ece"].point({"interest": event}, answer.values) < 0.02
    assert TASK.metrics["ece"].point({"interest": event}, TASK.answer(scores, Fitted()).values) > 0.1
    sure = np.array(answer.columns["probability"]) >= 0.5
    assert (np.array(answer.columns["interest"]) == np.where(sure, "yes", "no")).mean() > 0.999  # but for what rounding puts on the line
