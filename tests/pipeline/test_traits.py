"""traits from the command line and from Python: plain files with several traits, and a shop with its shoppers' acts."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shoplm as library
from pipeline.worked import shoplm

QUICK = ["epochs=15", "method=head", "max_length=48", "learning_rate=0.02"]


def people(rows=200):
    """Shoppers whose basket says their age and whether they garden; some traits are not known, one is noise, one an id."""
    random = np.random.default_rng(0)
    found = []
    for at in range(rows):
        age, gardens = at % 3, at % 4 == 1
        basket = [["toys > lego", "shoes", "tea"][age]] * 2 + ["milk"] * int(random.integers(1, 4)) + ["garden > soil"] * gardens
        random.shuffle(basket)
        found.append(
            {
                "history": basket,
                "age": None if at % 7 == 0 else ["18-24", "25-34", "35+"][age],
                "gardens": None if at % 5 == 0 else bool(gardens),
                "children": ["none", "some"][int(random.integers(2))],
                "card": f"c{at}",
            }
        )
    return found


@pytest.fixture(scope="module")
def plain(bert, tmp_path_factory):
    """A bundle of all traits that a file holds, and its file."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "people.jsonl").write_text("".join(json.dumps(row) + "\n" for row in people()))
    said = shoplm("train", "traits", "--data", folder / "people.jsonl", "--backbone", bert, "--out", folder / "out", *QUICK)
    assert said.code == 0, said.err
    assert "beside the text acts, kinds, things" in said.err
    return folder


def test_a_file_of_histories_is_learnt_with_groups_labels_and_unknowns(plain):
    _, _, part, fitted = library.load(plain / "out").part()
    assert {name: list(values) for name, values in fitted.labels.items()} == {
        "age": ["18-24", "25-34", "35+"], "children": ["none", "some"], "labels": ["gardens"],
    }  # fmt: skip
    assert fitted.words["not learnt"].startswith("`card` (")
    assert set(part.network.specs) == {"age", "children", "labels"}
    assert len(fitted.calibrations["labels"]) == 1
    said = shoplm("evaluate", plain / "out", "--data", plain / "people.jsonl", "--split", "all", "--json")
    assert said.code == 0, said.err
    metrics = said.json["metrics"]
    for name in ("age_macro_f1", "gardens_f1", "mean_average_precision"):  # random words of a random model: the things beside them tell
        assert metrics[name]["value"] > 0.9, (name, metrics[name])
    assert metrics["children_roc_auc"]["value"] < 0.75
    each = [metrics[name]["value"] for name in ("age_macro_f1", "children_macro_f1", "gardens_f1")]
    assert metrics["macro_f1"]["value"] == pytest.approx(np.mean(each))
    assert metrics["macro_f1"]["low"] < metrics["macro_f1"]["value"] < metrics["macro_f1"]["high"]
    assert said.json["baselines"]["tfidf"]["age_macro_f1"] > 0.9
    assert {"macro_f1", "micro_f1", "mean_average_precision"} <= set(said.json["baselines"]["majority"])


def test_a_file_is_answered_the_same_as_a_table_and_a_csv_of_its_acts(plain, tmp_path):
    said = shoplm("predict", plain / "out", "traits", "--data", plain / "people.jsonl")
    assert said.code == 0, said.err
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert np.mean([row["predicted_age"] == row["age"] for row in rows if row["age"]]) > 0.9
    assert {row["labels"] for row in rows} == {"", "gardens"}
    bundle = library.load(plain / "out")
    histories = [row["history"] for row in people()]
    table = bundle.predict(pa.table({"history": histories}))
    assert [row["age_probability"] for row in table] == [row["age_probability"] for row in rows]
    (tmp_path / "people.csv").write_text("behaviour\n" + "".join("|".join(acts) + "\n" for acts in histories))
    said = shoplm("predict", plain / "out", "--data", tmp_path / "people.csv")
    assert [json.loads(line)["gardens_probability"] for line in said.out.splitlines()] == [row["gardens_probability"] for row in rows]


def test_what_mattered_is_told_by_leaving_acts_out(plain, tmp_path):
    from shoplm.pipeline.evidence import evidence

    bundle = library.load(plain / "out")
    basket = ["milk", "toys > lego", "milk", "garden > soil", "toys > lego"]
    age, plainer, nothing = evidence(bundle, pa.table({"history": [basket, ["milk", "tea"], None]}), calls=4)
    assert (age["age"][0].act, age["age"][0].times) == ("lego", 2)
    assert age["gardens"][0].act == "soil"
    assert "gardens" not in plainer
    assert plainer["age"][0].act == "tea"
    assert nothing == {}
    whole, less = bundle.answer(pa.table({"history": [basket, [act for act in basket if act != "garden > soil"]]})).values["gardens"]
    assert age["gardens"][0].effect == pytest.approx(whole - less, abs=1e-3)  # rounded, and another padding
    assert len(evidence(bundle, pa.table({"history": [basket]}), calls=1, most=9)[0]["age"]) <= 1
    (tmp_path / "asked.csv").write_text("history\n" + "|".join(basket) + "\n")
    said = shoplm("predict", plain / "out", "--data", tmp_path / "asked.csv", "--why")
    assert said.code == 0, said.err
    assert "gardens: soil (+" in json.loads(said.out)["because"]
    assert "a --text has none" in shoplm("predict", plain / "out", "--text", "tea", "--why").line


def test_a_text_and_the_traits_that_are_named_make_a_task(bert, tmp_path):
    rows = [{"text": f"bought {['toys', 'tea'][at % 2]} {at}", "kind": at % 2, "seen": "yes", "age": at % 3} for at in range(90)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    command = ["train", "traits", "--data", tmp_path / "rows.parquet", "--backbone", bert, "--out", tmp_path / "out", *QUICK]
    said = shoplm(*command, "groups=[kind]", "labels=[]")
    assert said.code == 0, said.err
    assert list(library.load(tmp_path / "out").labels()) == ["0", "1"]
    said = shoplm(*command, "labels=[age]")
    assert said.code == 2
    assert "`age` cannot be learnt: the value `2` is neither yes nor no" in said.line
    assert "`seen` cannot be learnt: no yes and no among its values" in shoplm(*command, "labels=[seen]").line
    assert "no trait `agee` to learn; did you mean `age`" in shoplm(*command, "groups=[agee]").line


def test_a_file_without_a_trait_is_refused_in_one_line(bert, tmp_path):
    (tmp_path / "rows.csv").write_text("text,name\n" + "".join(f"bought tea {at},n{at}\n" for at in range(60)))
    said = shoplm("train", "traits", "--data", tmp_path / "rows.csv", "--backbone", bert, "--out", tmp_path / "out")
    assert said.code == 2
    assert "traits: nothing to learn in the train rows: `name` (" in said.line
    (tmp_path / "bare.csv").write_text("text\n" + "".join(f"bought tea {at}\n" for at in range(60)))
    said = shoplm("train", "traits", "--data", tmp_path / "bare.csv", "--backbone", bert, "--out", tmp_path / "out")
    assert "no trait to learn; expected a column for each" in said.line


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A small simulated shop, which knows segments and memberships."""
    folder = tmp_path_factory.mktemp("sample") / "shop"
    said = shoplm("new", folder, "--sample", "--shoppers", "120", "--products", "60", "--weeks", "6")
    assert said.code == 0, said.err
    return folder


def test_a_shop_is_learnt_from_its_shoppers_acts_judged_and_asked_about_a_shopper(sample, bert, tmp_path):
    out = tmp_path / "out"
    said = shoplm("train", "traits", "--shop", sample, "--backbone", bert, "--out", out, "epochs=2", "layers=1", "max_length=48")
    assert said.code == 0, said.err
    assert "things" in said.err
    assert "usual_price" in said.err
    bundle = library.load(out)
    _, _, _, fitted = bundle.part()
    assert list(fitted.labels["membership"]) == ["basic", "gold", "silver"]
    assert {"newsletter", "parent"} <= set(fitted.labels["labels"])
    found = shoplm("evaluate", out, "--shop", sample, "--split", "all", "--json").json
    assert {"macro_f1", "micro_f1", "mean_average_precision", "membership_macro_f1", "parent_f1"} <= set(found["metrics"])
    (tmp_path / "who.csv").write_text("user_id\nu0000003\nu0000007\nnobody\n")
    said = shoplm("predict", out, "--data", tmp_path / "who.csv", "--shop", sample)
    assert said.code == 0, said.err
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert len({row["parent_probability"] for row in rows}) > 1
    said = shoplm("predict", out, "--data", tmp_path / "who.csv", "--shop", sample, "--why")
    assert [json.loads(line)["because"] for line in said.out.splitlines()][2] == ""
    again = bundle.predict({"user_id": ["u0000007"]}, shop=sample)[0]
    assert again["parent_probability"] == pytest.approx(rows[1]["parent_probability"], abs=2e-4)  # another padding, four decimals
