"""Lists: one path for one shopper and all, what came after the training, rules, diversity, exploration, pages, other questions, reasons."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shoplm
from shoplm.apps.arranging import ListConfig
from shoplm.apps.recommend import RecommendConfig
from shoplm.cli import run
from shoplm.data.shop import Shop
from shoplm.errors import ConfigError, DataError
from shoplm.pipeline import listing, recommending, shelf
from shoplm.pipeline.listing import Question
from shoplm.pipeline.reasons import Reasons
from shoplm.retrieve.blend import gather
from shoplm.retrieve.histories import Histories

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = ("waterproof trail shoe", "linen summer dress", "steel coffee press", "oak desk lamp")
ITEMS = 24


def products():
    """Six items of each of four kinds, two brands in turn."""
    rows = []
    for at in range(ITEMS):
        kind = KINDS[at % 4]
        rows.append({
            "id": f"i{at}", "title": f"{kind} model {at // 4}", "brand": "Acme" if at % 8 < 4 else "Bolt", "product_type": kind.split()[-1],
            "price": 10.0 + at, "availability": "in_stock", "created_at": BEGIN - timedelta(days=10 * at), "updated_at": BEGIN,
        })  # fmt: skip
    return pa.Table.from_pylist(rows)


def events(shoppers=80, seed=0):
    """Shoppers who mostly stay with one kind."""
    random = np.random.default_rng(seed)
    rows = []
    for shopper in range(shoppers):
        kind = int(random.integers(4))
        for step in range(6):
            at = int(random.integers(6)) * 4 + (kind if random.random() < 0.9 else int(random.integers(4)))
            name = ("view_item", "view_item", "add_to_cart", "purchase")[int(random.integers(4))]
            when = BEGIN + timedelta(hours=shopper, minutes=step)
            rows.append(
                {"user_id": f"u{shopper}", "item_id": f"i{at}", "event_name": name, "event_time": when, "session_id": f"s{shopper}"}
            )
    return pa.Table.from_pylist(rows)


def act(user, item, name="purchase", days=40, **more):
    return {"user_id": user, "item_id": item, "event_name": name, "event_time": BEGIN + timedelta(days=days), **more}


def add(shop, table, *rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    shop.upsert(table, pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows]))


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    place = tmp_path_factory.mktemp("learnt")
    made = Shop(place / "shop", create=True)
    made.upsert("events", events())
    made.upsert("products", products())
    return recommending.train(RecommendConfig(seen="removed"), shop=made, out=place / "bundle")[0]


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path / "shop", create=True)
    made.upsert("events", events())
    made.upsert("products", products())
    return made


@pytest.fixture
def rules(tmp_path):
    def write(text):
        (tmp_path / "rules.yaml").write_text(text, "utf-8")
        return tmp_path / "rules.yaml"

    return write


def ask(found, shop, rules=None, now_us=None, k=10, offset=0, diversity=0.0, explore=0.0, seed=0, **question):
    config = ListConfig(k=k, offset=offset, diversity=diversity, explore=explore, seed=seed)
    return listing.listed(found, shop, Question(**question), config, rules=rules, now_us=now_us)


def ids(answer):
    return [pick.item_id for pick in answer.picks]


class TestOnePath:
    @pytest.mark.parametrize("options", [{}, {"diversity": 0.4, "explore": 0.5, "seed": 3, "offset": 3}])
    def test_a_shoppers_list_is_its_rows_in_the_list_of_everybody(self, learnt, tmp_path, options):
        shop = Shop(tmp_path / "shop", create=True)
        shop.upsert("events", events(12))
        shop.upsert("products", products())
        add(shop, "users", {"user_id": "u3", "consent_personalization": False}, {"user_id": "u4", "consent_personalization": True})
        add(shop, "products", {"id": "new 🥾", "title": "waterproof trail shoe model ninety", "updated_at": BEGIN})
        add(shop, "events", act("u5", "i7"), act("u5", "i7", "view_item", 41), act("u5", "new 🥾", "view_item", 42), act("🛒 cart", "i2"))
        add(shop, "events", {**act(None, "i3"), "user_pseudo_id": "device 1"})
        listing.recommend_all(learnt, shop, tmp_path / "all.parquet", ListConfig(k=5, **options))
        rows = pq.read_table(tmp_path / "all.parquet").to_pylist()
        shoppers = {row["user_id"] for row in rows}
        assert shoppers == {f"u{at}" for at in range(12) if at != 3} | {"🛒 cart", "device 1"}
        for user in shoppers:
            answer = ask(learnt, shop, user=user, k=5, **options)
            theirs = [row for row in rows if row["user_id"] == user]
            assert ids(answer) == [row["item_id"] for row in theirs]
            np.testing.assert_allclose([pick.score for pick in answer.picks], [row["score"] for row in theirs], rtol=1e-6)  # float32 sums
            np.testing.assert_allclose([pick.propensity for pick in answer.picks], [row["propensity"] for row in theirs], rtol=1e-6)
        withheld = ask(learnt, shop, user="u3", k=5, **options)
        assert "no acts are known that may be used" in withheld.notes[0]
        assert ids(withheld)[0] in ids(ask(learnt, shop, user="nobody", k=ITEMS))

    def test_what_kind_an_act_is_counts_for_one_shopper_too(self, learnt, shop):
        for user, (first, second) in {"a": ("purchase", "view_item"), "b": ("view_item", "purchase")}.items():
            add(shop, "events", act(user, "i0", first), act(user, "i1", second, 40.001))
        scores = {user: {pick.item_id: pick.score for pick in ask(learnt, shop, user=user, k=ITEMS).picks} for user in "ab"}
        assert scores["a"]["i4"] > scores["b"]["i4"]  # of the kind that `a` bought and `b` only looked at


class TestAfterTheTraining:
    def test_a_new_product_with_like_words_is_in_the_next_list_of_who_bought_alike(self, learnt, shop):
        add(shop, "events", act("walker", "i0"), act("walker", "i4", days=41), act("reader", "i3"), act("reader", "i7", days=41))
        assert "n1" not in ids(ask(learnt, shop, user="walker", k=ITEMS))
        add(shop, "products", {"id": "n1", "title": "waterproof trail shoe model 9", "updated_at": BEGIN})
        picks = {pick.item_id: (place, pick) for place, pick in enumerate(ask(learnt, shop, user="walker", k=ITEMS).picks)}
        assert picks["n1"][0] < 6
        assert picks["n1"][1].because.startswith("new, matches 'waterproof trail shoe'")
        others = ids(ask(learnt, shop, user="reader", k=ITEMS))
        assert "n1" not in others[:6]

    def test_acts_on_it_count_through_its_text(self, learnt, shop):
        add(shop, "products", {"id": "n1", "title": "steel coffee press model 9", "updated_at": BEGIN})
        add(shop, "events", act("drinker", "n1"))
        answer = ask(learnt, shop, user="drinker", k=3)
        assert {int(name[1:]) % 4 for name in ids(answer)} == {2}
        assert not answer.notes
        assert "coffee press" in answer.picks[0].because

    def test_of_a_training_without_texts_it_is_said_that_it_waits(self, shop, tmp_path):
        bare = Shop(tmp_path / "bare", create=True)
        bare.upsert("events", events())
        found, _ = recommending.train(RecommendConfig(), shop=bare, out=tmp_path / "b")
        add(shop, "products", {"id": "n1", "title": "steel coffee press model 9", "updated_at": BEGIN})
        answer = ask(found, shop, user="u1", k=3)
        assert len(answer.picks) == 3
        assert "1 products, such as `n1`, came after the training" in answer.notes[0]


class TestRules:
    def test_filter_hide_and_promote(self, learnt, shop, rules):
        place = rules("filter: ['price < 30']\nhide: ['brand == \"Acme\"']\npromote: [{when: 'product_type == \"lamp\"', by: 100}]\n")
        answer = ask(learnt, shop, place, user="u1", k=ITEMS)
        numbers = [int(name[1:]) for name in ids(answer)]
        assert all(10 + at < 30 and at % 8 >= 4 for at in numbers)
        assert numbers[0] % 4 == 3

    def test_a_cap_holds_on_every_page(self, learnt, shop, rules):
        place = rules("cap: {product_type: 1}\n")
        pages = [ids(ask(learnt, shop, place, user="u1", k=4, offset=offset)) for offset in (0, 4)]
        for page in pages:
            assert len({int(name[1:]) % 4 for name in page}) == len(page) == 4
        assert not set(pages[0]) & set(pages[1])

    def test_a_pin_stands_where_it_is_put_for_those_whom_it_is_meant_for(self, learnt, shop, rules):
        place = rules("pin: [{item: i23, place: 2, when: shopper.new}]\n")
        new, old = ask(learnt, shop, place, user="nobody", k=4), ask(learnt, shop, place, user="u1", k=4)
        assert ids(new)[1] == "i23"
        assert new.picks[1].because == "put here by the shop"
        assert [pick.source for pick in old.picks].count("pinned") == 0
        shop.upsert("products", pa.Table.from_pylist([{"id": "i23", "title": "gone", "availability": "out_of_stock", "updated_at": BEGIN}]))
        assert "i23" not in ids(ask(learnt, shop, place, user="nobody", k=4))

    def test_rules_look_at_who_asks_and_at_ages(self, learnt, shop, rules):
        add(shop, "users", {"user_id": "u1", "country": "DE", "segments": ["vip"]}, {"user_id": "u2", "country": "FR"})
        place = rules("hide: ['shopper.country == \"DE\" and age_days > 50']\n")
        assert {int(name[1:]) for name in ids(ask(learnt, shop, place, now_us=int(BEGIN.timestamp() * 1e6), user="u1", k=ITEMS))} <= set(
            range(6)
        )
        assert max(int(name[1:]) for name in ids(ask(learnt, shop, place, user="u2", k=ITEMS))) > 5

    def test_with_everything_filtered_the_list_is_empty_and_says_which_rule(self, learnt, shop, rules):
        answer = ask(learnt, shop, rules("filter: ['price > 1000']\n"), user="u1")
        assert not answer.picks
        assert answer.notes[-1] == "of 24 items filter 1 (price > 1000) bars 24"

    def test_what_only_a_rule_lets_through_is_listed_however_rare(self, learnt, shop, rules):
        counts = dict(zip(learnt.ids, learnt.counts.tolist(), strict=True))
        rare = min(counts, key=counts.get)
        assert ids(ask(learnt, shop, rules(f"filter: ['id == \"{rare}\"']\n"), user="nobody")) == [rare]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("filter: ['prise < 30']", "filter 1: column 1: no column `prise`; did you mean `price`"),
            ("hide: ['brand =']", "hide 1: column 8: seen the end, expected a text in quotes"),
            ("hidden: []", "unknown key `hidden`, did you mean `hide`"),
            ("cap: {brend: 2}", "cap: no column `brend`; did you mean `brand`"),
            ("cap: {price: 2}", "cap: `price` is a number"),
            ("promote: [{when: 'price < 3', by: 0}]", "should be greater than 0"),
        ],
    )
    def test_a_rule_that_is_none_is_refused_in_one_line(self, learnt, shop, rules, text, said):
        with pytest.raises(ConfigError, match=r"rules\.yaml") as caught:
            ask(learnt, shop, rules(text), user="u1")
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


class TestPagesAndChance:
    def test_pages_of_one_seed_are_slices_of_one_list(self, learnt, shop):
        whole = ids(ask(learnt, shop, user="u1", k=12, explore=0.5, seed=7, diversity=0.3))
        pages = [ids(ask(learnt, shop, user="u1", k=4, offset=at, explore=0.5, seed=7, diversity=0.3)) for at in (0, 4, 8)]
        assert sum(pages, []) == whole
        assert whole != ids(ask(learnt, shop, user="u1", k=12, explore=0.5, seed=8, diversity=0.3))
        assert whole == ids(ask(learnt, shop, user="u1", k=12, explore=0.5, seed=7, diversity=0.3))

    def test_behind_the_last_page_is_nothing_and_k_above_the_catalogue_lists_all(self, learnt, shop):
        assert not ask(learnt, shop, user="u1", offset=1000).picks
        answer = ask(learnt, shop, user="nobody", k=1000)
        assert len(answer.picks) == len(set(ids(answer))) <= ITEMS
        assert f"{len(answer.picks)} of 1000 asked" in answer.notes[-1]

    def test_diversity_brings_other_kinds(self, learnt, shop):
        kinds = [len({int(name[1:]) % 4 for name in ids(ask(learnt, shop, items=("i0", "i4"), k=4, diversity=dial))}) for dial in (0, 1)]
        assert kinds[0] < kinds[1] == 4

    def test_a_long_history_and_one_event(self, learnt, tmp_path):
        shop = Shop(tmp_path / "long", create=True)
        rows = 100_000
        shop.upsert("events", pa.table({
            "user_id": ["u"] * rows, "item_id": [f"i{at % 20}" for at in range(rows)], "event_name": ["view_item"] * rows,
            "event_time": pa.array(np.arange(rows) * 1_000_000, pa.timestamp("us", "UTC")),
        }))  # fmt: skip
        assert set(ids(ask(learnt, shop, user="u"))) <= {f"i{at}" for at in range(20, 24)}
        one = Shop(tmp_path / "one", create=True)
        add(one, "events", act("u", "i0"))
        assert len(ask(learnt, one, user="u").picks) == 10
        with pytest.raises(DataError, match="no shopper has two acts"):
            recommending.train(RecommendConfig(), shop=one, out=tmp_path / "none")


class TestOtherQuestions:
    def test_similar_lists_what_is_like_an_item(self, learnt, shop):
        answer = ask(learnt, shop, similar="i0", k=3)
        assert {int(name[1:]) % 4 for name in ids(answer)} == {0}
        assert "i0" not in ids(answer)
        assert {pick.source for pick in answer.picks} == {"similar"}
        with pytest.raises(DataError, match="no item `i99`"):
            ask(learnt, shop, similar="i99")

    def test_bought_together_counts_orders_and_else_visits(self, learnt, shop):
        visits = ask(learnt, shop, bought_together=("i0",), k=3)
        assert visits.picks[0].because.startswith("bought or put into the cart with it in ")
        lines = [("o1", "i0"), ("o1", "i23"), ("o2", "i0"), ("o2", "i23"), ("o3", "i0"), ("o3", "i5")]
        add(
            shop,
            "orders",
            *({"order_id": order, "line": at, "item_id": item, "ordered_at": BEGIN} for at, (order, item) in enumerate(lines)),
        )
        add(
            shop,
            "orders",
            *({"order_id": "o4", "line": at, "item_id": f"i{at}", "ordered_at": BEGIN, "status": "returned"} for at in range(9)),
        )
        orders = ask(learnt, shop, bought_together=("i0",), k=3)
        assert ids(orders) == ["i23", "i5"]
        assert orders.picks[0].because == "bought with it in 2 orders"
        np.testing.assert_allclose(
            orders.picks[0].score, 2 / np.sqrt(3 * 2), rtol=1e-6
        )  # 2 baskets with both, 3 with one, 2 with the other

    def test_trending_is_what_many_act_on_lately(self, learnt, shop):
        add(
            shop,
            "events",
            *(act(f"late{at}", "i11") for at in range(30)),
            *(act("one", "i12", "view_item", 40 + at / 1440) for at in range(30)),
        )
        answer = ask(learnt, shop, trending=True, k=2)
        assert ids(answer)[0] == "i11"
        assert answer.picks[0].because == "30 shoppers in the last 28 days"

    def test_rerank_orders_a_given_list_and_drops_none(self, learnt, shop):
        given = ("unknown", "i3", "i8", "i2", "i12")
        answer = ask(learnt, shop, items=("i0", "i4"), rerank=given, k=len(given))
        assert sorted(ids(answer)) == sorted(given)
        assert set(ids(answer)[:2]) == {"i8", "i12"}
        assert ids(answer)[-1] == "unknown"
        pages = [ids(ask(learnt, shop, items=("i0", "i4"), rerank=given, k=2, offset=at)) for at in (0, 2, 4)]
        assert sum(pages, []) == ids(answer)
        add(shop, "products", {"id": "odd", "title": "zzz", "updated_at": BEGIN})  # no source speaks of it
        assert ids(ask(learnt, shop, items=("i0",), rerank=("odd", "i3"), k=2)) == ["i3", "odd"]
        assert ids(ask(learnt, shop, user="nobody", rerank=("zz",), k=1)) == ["zz"]

    @pytest.mark.parametrize(
        ("question", "said"),
        [
            ({}, "give either --user ID"),
            ({"user": "u", "trending": True}, "--user and --trending ask for different lists"),
            ({"trending": True, "rerank": ("a",)}, "--rerank: orders items for someone"),
            ({"user": "u", "rerank": ("a", "a")}, "`a` stands there twice"),
        ],
    )
    def test_a_question_that_is_none_or_two_is_refused(self, learnt, shop, question, said):
        with pytest.raises(DataError, match=said):
            ask(learnt, shop, **question)


class TestWhatTeaches:
    def test_what_was_given_back_says_nothing_and_is_not_listed_again(self, learnt, shop):
        add(shop, "events", act("r", "i0", transaction_id="t1"), act("r", "i1", "view_item", 39))
        before = ask(learnt, shop, user="r", k=3)
        assert {int(name[1:]) % 4 for name in ids(before)} == {0}
        add(shop, "orders", {"order_id": "t1", "line": 0, "item_id": "i0", "status": "returned", "ordered_at": BEGIN + timedelta(days=40)})
        after = ask(learnt, shop, user="r", k=ITEMS)
        assert int(ids(after)[0][1:]) % 4 == 1
        assert "i0" not in ids(after)
        assert all(pick.because.find("you bought") < 0 for pick in after.picks)

    def test_machines_trades_and_returns_teach_nothing(self, shop, tmp_path):
        whole, _ = recommending.train(RecommendConfig(held_out=False), shop=shop, out=tmp_path / "a")
        minute = [act("bot", f"i{at % 20}", "view_item", 40 + at / 1e6) for at in range(40)]
        add(
            shop,
            "events",
            *minute,
            act("trade", "i1", quantity=500.0),
            act("trade", "i2", days=41),
            act("r", "i3", transaction_id="t", days=40),
        )
        add(shop, "events", {**act("r", "i3", "refund", 41), "transaction_id": "t"})
        again, _ = recommending.train(RecommendConfig(held_out=False), shop=shop, out=tmp_path / "b")
        np.testing.assert_array_equal(again.counts, whole.counts)
        assert ask(again, shop, user="bot", k=3).picks  # who does not teach is still answered


def test_the_command_line_and_python_take_the_same_options(learnt, shop, tmp_path, rules, capsys):
    place = tmp_path / "bundle"
    recommending.train(RecommendConfig(), shop=shop, out=place)
    rule = rules("hide: ['brand == \"Acme\"']\n")
    words = [
        "recommend",
        str(place),
        "--shop",
        str(shop.path),
        "--json",
        "--rules",
        str(rule),
        "--diversity",
        "0.2",
        "--explore",
        "0.3",
        "--seed",
        "5",
    ]
    assert run([*words, "--user", "u1", "-k", "3", "--offset", "1"]) == 0
    said = json.loads(capsys.readouterr().out)
    rows = shoplm.recommend(place, shop, user_id="u1", k=3, offset=1, rules=rule, diversity=0.2, explore=0.3, seed=5)
    assert said["items"] == rows
    assert said["policy"] == "recommend, explore 0.3, seed 5"
    assert len(said["recommendation_id"]) == 16
    for more in (["--similar", "i0"], ["--bought-together", "i0,i4"], ["--trending"], ["--user", "u1", "--rerank", "i0,i5"]):
        assert run([*words, *more]) == 0
        assert json.loads(capsys.readouterr().out)["items"]
    assert run([*words, "--user", "u1", "--explore", "2"]) == 2
    assert "`explore`" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="unknown key `divresity`, did you mean `diversity`"):
        shoplm.recommend(place, shop, user_id="u1", divresity=1)


def test_without_the_named_act_an_item_falls_three_times_as_far_as_without_another(learnt, shop):
    """On average over the first five items of sixty lists: the act that the reason names carries the item."""
    random, stand = np.random.default_rng(0), shelf.of(shop.view(), learnt, set())

    def score(history, item):
        found = gather(learnt.sources, Histories.of([history]), len(learnt.ids))
        return float((found.says @ learnt.weights)[found.items == item].sum())

    def without(history, place):
        return [one for at, one in enumerate(history) if at != place]

    fell, fell_else = [], []
    for _ in range(60):
        history = [int(at) for at in random.choice(len(learnt.ids), 5, replace=False)]
        asked = Histories.of([history])
        items = learnt.lists(asked, 5)[0][0].tolist()
        reasons = Reasons(stand, asked, [None] * 5, Question(), None, items)
        for item in items:
            named = reasons.act(item)
            if named is None:
                continue
            other, whole = int(random.choice(without(range(5), named))), score(history, item)
            fell.append(whole - score(without(history, named), item))
            fell_else.append(whole - score(without(history, other), item))
    assert len(fell) > 200
    assert np.mean(fell) > 0
    assert np.mean(fell) >= 3 * np.mean(fell_else)
