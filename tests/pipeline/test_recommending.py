"""train, evaluate and ask recommend, from a shop and from plain files."""

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
from shoplm.errors import BundleError, DataError
from shoplm.pipeline import listing, persons, recommending
from shoplm.pipeline.acts import acts_of, opened

ITEMS = 20
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def events(shoppers=60, seed=0, name="view_item"):
    """Shoppers who go from an item to the one after it."""
    random = np.random.default_rng(seed)
    rows = []
    for shopper in range(shoppers):
        at = int(random.integers(ITEMS))
        for step in range(6):
            at = (at + (1 if random.random() < 0.9 else 2)) % ITEMS
            when = BEGIN + timedelta(hours=shopper, minutes=step)
            rows.append({"user_id": f"u{shopper}", "item_id": f"i{at}", "event_name": name, "event_time": when})
    return pa.Table.from_pylist(rows)


def products(**more):
    rows = [{"id": f"i{at}", "title": f"thing {at} of kind{at % 4}", "availability": more.get(f"i{at}", "in_stock")} for at in range(ITEMS)]
    return pa.Table.from_pylist([{**row, "updated_at": BEGIN} for row in rows])


def picked(found, shop, k=10, **asked):
    answer = listing.listed(
        found, shop, listing.Question(**{name: tuple(of) if isinstance(of, list) else of for name, of in asked.items()}), ListConfig(k=k)
    )
    return answer.picks, answer.notes


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path / "shop", create=True)
    made.upsert("events", events())
    made.upsert("products", products())
    return made


@pytest.fixture
def trained(shop, tmp_path):
    found, how = recommending.train(RecommendConfig(sequence=False), shop=shop, out=tmp_path / "bundle")
    return found, how, tmp_path / "bundle"


def test_a_shop_is_learnt_judged_and_asked(shop, trained):
    found, how, place = trained
    assert how.ours.shoppers == 60
    assert how.ours.metrics["recall_at_10"].value > how.sources["popular"].metrics["recall_at_10"].value
    test = recommending.evaluate(place, shop=shop)
    assert test.split == "test"
    assert test.ours.seen == "removed"
    plain = json.loads(json.dumps(test.plain()))
    assert set(plain["baselines"]) == {"next", "together", "similar", "popular"}
    picks, notes = picked(recommending.load(place), shop, items=["i3", "i4"], k=3)
    assert picks[0].item_id == "i5"
    assert picks[0].title == "thing 5 of kind1"
    assert picks[0].because.endswith(("thing 4 of kind0", "thing 3 of kind3"))
    assert not notes
    assert found.ids == recommending.load(place).ids


def test_a_list_in_python_is_the_command_lines(shop, trained):
    rows = shoplm.recommend(trained[2], shop, user_id="u3", k=4)
    picks, _ = picked(trained[0], shop, user="u3", k=4)
    assert rows == [pick.plain() for pick in picks]
    assert shoplm.recommend(trained[0], shop, items=["i4"], k=1)[0]["item_id"] == "i5"


def test_each_shoppers_last_act_is_the_test_and_the_one_before_it_validation(shop):
    acts = acts_of(shop.view(), RecommendConfig())
    assert np.bincount(acts.split).tolist() == [240, 60, 60]
    rows, before, wanted = acts.asked(2)
    assert len(rows) == len(wanted) == 60
    assert before.lengths.tolist() == [5] * 60
    teaching, _ = acts.upto(1)
    assert teaching.lengths.tolist() == [4] * 60
    assert not acts_of(shop.view(), RecommendConfig(held_out=False)).split.any()


def test_looks_at_one_thing_in_a_row_are_one_act_of_the_weightiest_kind(tmp_path):
    shop = Shop(tmp_path / "shop", create=True)
    names = ["view_item", "add_to_cart", "view_item", "purchase", "scroll"]
    rows = [
        {"user_id": "u", "item_id": item, "event_name": name, "event_time": BEGIN + timedelta(minutes=at)}
        for at, (item, name) in enumerate(zip("aabaa", names, strict=True))
    ]
    shop.upsert("events", pa.Table.from_pylist(rows))
    acts = acts_of(shop.view(), RecommendConfig())
    assert [acts.ids[at] for at in acts.histories.items] == ["a", "b", "a"]
    np.testing.assert_allclose(acts.histories.weight, [0.7, 0.3, 1.0])  # what is no sign of a wish is passed over


def test_a_new_act_changes_the_next_answer_without_training(shop, trained):
    found = trained[0]
    before = [pick.item_id for pick in picked(found, shop, user="u1", k=5)[0]]
    when = BEGIN + timedelta(days=30)
    shop.upsert("events", pa.Table.from_pylist([{"user_id": "u1", "item_id": "i9", "event_name": "purchase", "event_time": when}]))
    after = [pick.item_id for pick in picked(found, shop, user="u1", k=5)[0]]
    assert before != after
    assert "i10" in after[:2]


def test_what_is_out_of_stock_is_in_no_list(shop, trained):
    assert picked(trained[0], shop, items=["i4"], k=3)[0][0].item_id == "i5"
    shop.upsert("products", products(i5="out_of_stock"))
    assert "i5" not in [pick.item_id for pick in picked(trained[0], shop, items=["i4"], k=ITEMS)[0]]


def test_an_unknown_shopper_and_unknown_items_are_answered_and_said(shop, trained):
    picks, notes = picked(trained[0], shop, user="nobody ☂", k=3)
    assert len(picks) == 3
    assert {pick.because for pick in picks} == {"wanted by many lately"}
    assert "answered as a new shopper" in notes[0]
    picks, notes = picked(trained[0], shop, items=["i4", "new one"], k=3)
    assert picks[0].item_id == "i5"
    assert "`new one`, came after the training" in notes[0]
    picks, notes = picked(trained[0], shop, items=["i4"], k=1000)
    assert len(picks) == ITEMS - 1
    assert "19 of 1000 asked" in notes[-1]


def test_lists_for_everybody_are_those_for_each(shop, trained, tmp_path):
    out = tmp_path / "lists.parquet"
    assert listing.recommend_all(trained[0], shop, out, ListConfig(k=4)) == 60
    rows = pq.read_table(out).to_pylist()
    assert len(rows) == 240
    for user in ("u0", "u37"):
        picks, _ = picked(trained[0], shop, user=user, k=4)
        assert [row["item_id"] for row in rows if row["user_id"] == user] == [pick.item_id for pick in picks]
        assert [row["rank"] for row in rows if row["user_id"] == user] == [1, 2, 3, 4]


def test_a_files_split_words_are_those_of_the_house_and_others_are_refused(tmp_path):
    table = events().to_pandas()
    table["position"] = table.groupby("user_id").cumcount()
    table["split"] = np.select([table["position"] == 5, table["position"] == 4], ["Testing", "dev"], "training")
    plain = table.drop(columns=["event_time", "event_name"])
    plain.to_csv(tmp_path / "acts.csv", index=False)
    with opened(None, tmp_path / "acts.csv") as origin:
        assert np.bincount(acts_of(origin.view, RecommendConfig()).split).tolist() == [240, 60, 60]
    plain["split"] = plain["split"].replace("dev", "holdout")
    plain.to_csv(tmp_path / "acts.csv", index=False)
    with opened(None, tmp_path / "acts.csv") as origin, pytest.raises(DataError, match="column `split`: seen 'holdout', expected train"):
        acts_of(origin.view, RecommendConfig())


def test_columns_are_named_by_map_in_either_file(tmp_path):
    rows = [f"u{who},{sku},{at}" for who in range(3) for at, sku in enumerate("abc")]
    (tmp_path / "acts.csv").write_text("\n".join(["Wer,sku,nr", *rows]), "utf-8")
    (tmp_path / "items.csv").write_text("sku,label\na,red shoe\nb,red hat\nc,", "utf-8")
    pairs = {"user_id": "wer", "item_id": "sku", "position": "nr", "title": "label"}
    with opened(None, tmp_path / "acts.csv", tmp_path / "items.csv", pairs) as origin:
        acts = acts_of(origin.view, RecommendConfig())
    assert acts.ids == ("a", "b", "c")
    assert acts.texts == ("red shoe", "red hat", "c")  # where nothing is told, its id
    assert acts.histories.items.tolist() == [0, 1, 2] * 3
    with pytest.raises(DataError, match=r"no column `farbe` .--map colour=farbe.; there is"):
        recommending.train(RecommendConfig(), data=tmp_path / "acts.csv", mapping={"colour": "farbe"}, out=tmp_path / "out")


def test_of_equal_times_the_later_line_is_the_later_act(tmp_path):
    lines = [f"u,{item},2026-01-01T00:00:00Z" for item in "zyxab"]
    (tmp_path / "acts.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines]), "utf-8")
    with opened(None, tmp_path / "acts.csv") as origin:
        acts = acts_of(origin.view, RecommendConfig())
    assert [acts.ids[at] for at in acts.histories.items] == list("zyxab")


def test_a_row_without_a_place_in_the_order_is_left_out_and_said(tmp_path):
    (tmp_path / "acts.csv").write_text("user_id,item_id,position\nu,a,0\nu,b,first\nu,c,2.0\n", "utf-8")
    with opened(None, tmp_path / "acts.csv") as origin:
        acts = acts_of(origin.view, RecommendConfig())
    assert acts.ids == ("a", "c")
    assert "1 left out as faulty" in origin.notes[0]


def test_shoppers_who_do_not_consent_teach_nothing(tmp_path):
    shop = Shop(tmp_path / "shop", create=True)
    shop.upsert("events", events())
    shop.upsert("users", pa.Table.from_pylist([{"user_id": f"u{at}", "consent_analytics": at >= 10} for at in range(60)]))
    found, _ = recommending.train(RecommendConfig(sequence=False), shop=shop, out=tmp_path / "bundle")
    assert found.counts.sum() == 50 * 5  # of six acts the last is kept for the test


def test_plain_files_of_acts_and_items_are_learnt_with_their_own_split(tmp_path):
    table = events().to_pandas()
    table["position"] = table.groupby("user_id").cumcount()
    table["split"] = np.select([table["position"] == 5, table["position"] == 4], ["test", "valid"], "train")
    table.drop(columns=["event_time", "event_name"]).to_csv(tmp_path / "acts.csv", index=False)
    pq.write_table(
        pa.table({"item_id": [f"i{at}" for at in range(ITEMS)], "text": [f"thing kind{at % 4}" for at in range(ITEMS)]}),
        tmp_path / "items.parquet",
    )
    found, how = recommending.train(
        RecommendConfig(sequence=False), data=tmp_path / "acts.csv", items=tmp_path / "items.parquet", out=tmp_path / "bundle"
    )
    assert how.ours.shoppers == 60
    assert "similar" in found.sources
    assert recommending.evaluate(tmp_path / "bundle", data=tmp_path / "acts.csv").ours.shoppers == 60


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user_id,thing\nu,1\n", "no column `item_id`"),
        ("user_id,item_id\nu,1\n", "no column that tells the order of acts"),
        ("user_id,item_id,position\nu,a,0\nv,b,0\n", "no shopper has two acts"),
        ("user_id,item_id,position\n", "has a header and no rows"),
    ],
)
def test_a_file_that_cannot_be_learnt_from_is_refused_in_one_line(tmp_path, text, said):
    (tmp_path / "acts.csv").write_text(text, "utf-8")
    with pytest.raises(DataError, match=said) as caught:
        recommending.train(RecommendConfig(sequence=False), data=tmp_path / "acts.csv", out=tmp_path / "bundle")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "bundle").exists()


def test_a_flipped_byte_is_refused_by_name(trained):
    file = trained[2] / "parts" / "recommend" / "next.npz"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(BundleError, match=r"next\.npz: altered or truncated"):
        recommending.load(trained[2])


class TestCommandLine:
    def test_train_evaluate_recommend_and_verify(self, shop, tmp_path, capsys):
        place, folder = str(tmp_path / "out"), str(tmp_path / "shop")
        assert run(["train", "recommend", "--shop", folder, "--out", place, "most=50", "sequence=false"]) == 0
        assert "recall_at_10" in capsys.readouterr().out
        assert run(["evaluate", place, "--shop", folder, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["task"], found["split"], found["seen"]) == ("recommend", "test", "removed")
        assert run(["recommend", place, "--shop", folder, "--user", "u1", "-k", "3", "--json"]) == 0
        items = json.loads(capsys.readouterr().out)["items"]
        assert len(items) == 3
        assert items[0]["because"]
        assert run(["recommend", place, "--shop", folder, "--items", "i4", "--why"]) == 0
        assert "%" in capsys.readouterr().out
        assert run(["verify", place]) == 0
        assert "recommends 20 items" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["train", "recommend", "sentiment"], "trained by itself"),
            (["train", "recommend", "--method", "lora"], "--method: `train recommend` has no such option"),
            (["train", "recommend", "mots=5"], "did you mean `most`"),
            (["train", "sentiment", "--items", "x.csv"], "--items x.csv: only"),
        ],
    )
    def test_what_recommend_does_not_take_is_said(self, words, said, shop, tmp_path, capsys):
        code = run([*words, "--shop", str(tmp_path / "shop"), "--out", str(tmp_path / "out")])
        seen = capsys.readouterr().err
        assert code == 2, seen
        assert said in seen
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ([], "give either --user ID or --items"),
            (["--user", "u1", "--items", "i1"], "give either --user ID or --items"),
            (["--user", "u1", "-k", "0"], "`k`: input should be greater than or equal to 1, seen 0"),
            (["--all-users"], "expected --out FILE"),
            (["--out", "x.parquet"], "--out: only with --all-users"),
        ],
    )
    def test_what_a_list_needs_is_said(self, words, said, shop, trained, tmp_path, capsys):
        assert run(["recommend", str(trained[2]), "--shop", str(tmp_path / "shop"), *words]) == 2
        assert said in capsys.readouterr().err

    def test_a_bundle_that_only_recommends_answers_no_text(self, trained, capsys):
        assert run(["predict", str(trained[2]), "--text", "x"]) == 2
        assert "holds no task, only recommend" in capsys.readouterr().err


@pytest.mark.parametrize(("user", "learnt"), [("u1", True), ("late", False)])
def test_an_erasure_says_whether_a_recommender_learnt_from_the_person(user, learnt, shop, trained):
    shop.upsert("events", pa.Table.from_pylist([{"user_id": "late", "item_id": "i1", "event_name": "purchase", "event_time": BEGIN}]))
    proof = persons.erase(shop, user, also=[trained[2]]).plain()
    assert [(one["task"], one["trained_on_person"]) for one in proof["bundles"]] == [("recommend", learnt)]
    assert not proof["found"]


def test_validation_acts_teach_once_everything_is_chosen_and_test_acts_never(shop, trained):
    found, how, place = trained
    acts = acts_of(shop.view(), RecommendConfig())
    np.testing.assert_array_equal(found.counts, acts.upto(2)[0].counts(ITEMS))
    assert how.split == "valid"
    with pytest.raises(DataError, match="--split valid: expected test"):
        recommending.evaluate(place, shop=shop, split="valid")


def test_a_bundle_that_learnt_from_all_acts_is_not_judged_on_them(shop, tmp_path):
    found, how = recommending.train(RecommendConfig(held_out=False), shop=shop, out=tmp_path / "all")
    assert how is None
    assert found.counts.sum() == 360
    with pytest.raises(DataError, match="held_out=false"):
        recommending.evaluate(tmp_path / "all", shop=shop)
