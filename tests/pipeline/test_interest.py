"""interest from the command line and from Python: plain files, and a shop with its histories, products and numbers."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import shoplm as library
from pipeline.worked import shoplm
from shoplm import task as tasks
from shoplm.data.shop import Shop
from shoplm.model.backbone import load_backbone
from shoplm.pipeline import prepare as preparing
from shoplm.pipeline.config import RunConfig
from shoplm.pipeline.progress import Silent

QUICK = ["epochs=1", "layers=1", "max_length=48"]


def pairs(rows=120):
    """A csv in which the price says what the words do not."""
    random = np.random.default_rng(0)
    lines = []
    for at in range(rows):
        wants = at % 2
        price = round(float(random.normal(30 if wants else 60, 8)), 2)
        lines.append(f"looked at shoes {at},dress number {at % 7},{price},{['weak', 'strong'][at % 3 == 0]},{['no', 'yes'][wants]}")
    return "\n".join(["behaviour,what,price,hint,label", *lines, ""])


@pytest.fixture(scope="module")
def plain(bert, tmp_path_factory):
    """A bundle that was shown prices beside the words, and its file."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "pairs.csv").write_text(pairs())
    said = shoplm(
        "train", "interest", "--data", folder / "pairs.csv", "--map", "item=what", "--backbone", bert, "--out", folder / "out", "epochs=12",
        "method=head", "max_length=48", "features=[price,hint]", "learning_rate=0.02",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert "beside the text price, hint" in said.err
    return folder


def test_a_file_of_histories_items_and_labels_is_learnt_with_the_numbers_that_are_named(plain):
    said = shoplm("evaluate", plain / "out", "--data", plain / "pairs.csv", "--map", "item=what", "--split", "all", "--json")
    assert said.code == 0, said.err
    metrics = said.json["metrics"]
    assert {"roc_auc", "log_loss", "ece", "accuracy"} <= set(metrics)
    assert metrics["roc_auc"]["value"] > 0.9  # random words of a random model: only the price tells
    assert said.json["slices"]["item"]


def test_a_file_is_answered_with_its_numbers_and_a_fresh_process_answers_the_same(plain, tmp_path):
    said = shoplm("predict", plain / "out", "interest", "--data", plain / "pairs.csv", "--map", "item=what")
    assert said.code == 0, said.err
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert len(rows) == 120
    dear, cheap = [[row["probability"] for row in rows if (float(row["price"]) > 45) == side] for side in (True, False)]
    assert np.mean(dear) + 0.3 < np.mean(cheap)
    program = (
        "import json, sys, csv, shoplm, pyarrow as pa\n"
        "rows = list(csv.DictReader(open(sys.argv[2])))\n"
        "table = {'history': [r['behaviour'] for r in rows], 'item': [r['what'] for r in rows], 'price': [float(r['price']) for r in rows], 'hint': [r['hint'] for r in rows]}\n"
        "print(json.dumps(shoplm.load(sys.argv[1]).predict(pa.table(table))))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, plain / "out", plain / "pairs.csv"], capture_output=True, text=True, check=True)
    assert [row["probability"] for row in json.loads(done.stdout)] == [row["probability"] for row in rows]


def test_without_the_named_number_a_row_is_still_answered(plain):
    row = library.load(plain / "out").predict({"history": ["looked at shoes"], "item": ["dress"]})[0]
    assert 0 < row["probability"] < 1


def test_text_and_label_alone_are_learnt_as_in_the_article(bert, tmp_path):
    lines = [f"{['i love it', 'never again'][at % 2]} {at},{['positive', 'negative'][at % 2]}" for at in range(80)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *lines, ""]))
    said = shoplm(
        "train", "interest", "--data", tmp_path / "rows.csv", "--backbone", bert, "--out", tmp_path / "out", "epochs=6", "layers=2"
    )
    assert said.code == 0, said.err
    judged = shoplm("evaluate", tmp_path / "out", "--data", tmp_path / "rows.csv", "--json", "--split", "all")
    assert judged.json["metrics"]["accuracy"]["value"] > 0.9
    loved, hated = library.load(tmp_path / "out").predict(["i love it", "never again"])
    assert (loved["interest"], hated["interest"]) == ("yes", "no")


@pytest.mark.parametrize(
    ("header", "settings", "said"),
    [
        ("text,label", [], "the label `maybe` says neither yes nor no; name the one that means yes with wanted=LABEL"),
        ("words,label", [], "no column with the text of events"),
        ("text,answer", [], "expected texts in item or text, answers in"),
        ("text,label", ["features=prise"], "`features`"),
    ],
)
def test_a_file_that_cannot_be_learnt_from_is_refused_in_one_line(bert, tmp_path, header, settings, said):
    (tmp_path / "rows.csv").write_text(header + "\n" + "\n".join(f"a text {at},{['yes', 'maybe'][at % 2]}" for at in range(40)) + "\n")
    found = shoplm("train", "interest", "--data", tmp_path / "rows.csv", "--backbone", bert, "--out", tmp_path / "out", *settings)
    assert found.code == 2
    assert said in found.line


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A small simulated shop."""
    folder = tmp_path_factory.mktemp("sample") / "shop"
    said = shoplm("new", folder, "--sample", "--shoppers", "14", "--products", "40", "--weeks", "8")
    assert said.code == 0, said.err
    return folder


@pytest.fixture(scope="module")
def shopped(sample, bert, tmp_path_factory):
    """A bundle trained on it."""
    out = tmp_path_factory.mktemp("bundle") / "out"
    said = shoplm("train", "interest", "--shop", sample, "--backbone", bert, "--out", out, *QUICK, "share=0.2")
    assert said.code == 0, said.err
    assert "split by time" in said.err
    assert "price_to_usual" in said.err
    assert "stand in more than one split" not in said.err
    return out


def test_a_shop_is_judged_on_its_newest_lists_with_cold_and_warm_items_and_shoppers(sample, shopped):
    said = shoplm("evaluate", shopped, "--shop", sample, "--json")
    assert said.code == 0, said.err
    found = said.json
    assert {"roc_auc", "log_loss", "ece", "accuracy"} <= set(found["metrics"])
    assert set(found["slices"]["item"]) <= {"cold", "warm"}
    assert set(found["slices"]["shopper"]) <= {"cold", "warm"}
    assert set(found["slices"]["list"]) <= {"for_you", "search_results"}
    assert sum(part["rows"] for part in found["slices"]["item"].values()) == found["rows"]


def test_items_that_were_kept_from_train_are_cold(sample, bert, tmp_path):
    said = shoplm(
        "train",
        "interest",
        "--shop",
        sample,
        "--backbone",
        bert,
        "--out",
        tmp_path / "out",
        *QUICK,
        "share=0.2",
        "split.kind=cold_items",
        "features=[]",
    )
    assert said.code == 0, said.err
    assert "beside the text" not in said.err
    found = shoplm("evaluate", tmp_path / "out", "--shop", sample, "--json").json
    assert set(found["slices"]["item"]) == {"cold"}


def test_a_file_of_shoppers_and_items_is_answered_out_of_the_shop_as_the_moments_were(sample, shopped, tmp_path):
    task, bundle = tasks.get("interest"), library.load(shopped)
    view = next(Shop(sample).view().parts("events", rows=3000))
    moments = task.moments(view, task.Settings(share=0.2))
    asked = moments.subject(view).take(moments.row).slice(0, 40)
    lines = [f"{row['user_id']},{row['item_id']},{row['event_time'].isoformat()},{row['place']},{row['list']}" for row in asked.to_pylist()]
    (tmp_path / "asked.csv").write_text("\n".join(["user_id,item_id,event_time,place,list", *lines, ""]))
    said = shoplm("predict", shopped, "interest", "--data", tmp_path / "asked.csv", "--shop", sample)
    assert said.code == 0, said.err
    rows = [json.loads(line)["probability"] for line in said.out.splitlines()]
    _, _, _, fitted = bundle.part()
    recipe = RunConfig.of(bundle.contents.facts["interest"]["recipe"], "bundle")
    piece = next(
        preparing.pieces(Shop(sample).view(), task, task.Settings(share=0.2), bundle.contents.backbone.tokenizer, recipe.split, None,
                         names=fitted.features.names)
    )  # fmt: skip
    from shoplm.pipeline.bundle import beside

    first = {name: at for at, name in enumerate(piece.ids)}
    tokens = beside(piece.tokens, fitted.features, piece.features).take(np.array([first[name] for name in asked["_id"].to_pylist()]))
    expected = task.answer(bundle.read("interest", tokens), fitted).values["event"]
    np.testing.assert_allclose(rows, expected, atol=2e-4)  # four decimals, and another padding
    assert len({round(row, 3) for row in rows}) > 5


def test_a_shop_is_no_help_to_a_text_nor_to_a_task_of_texts(sample, shopped, trained, tmp_path):
    assert "a --text has neither" in shoplm("predict", shopped, "--text", "x", "--shop", sample).line
    (tmp_path / "rows.csv").write_text("text\ngood\n")
    assert "answers from a row's own words" in shoplm("predict", trained["head"], "--data", tmp_path / "rows.csv", "--shop", sample).line


def test_what_is_prepared_does_not_depend_on_how_the_tables_are_cut(sample, bert, monkeypatch):
    view, task = Shop(sample).view(), tasks.get("interest")
    config = RunConfig.read(["interest"], settings=["share=0.2", "split.kind=time"])
    tokenizer = load_backbone(bert, config.text).tokenizer
    whole = preparing.prepare(view, task, config, tokenizer, Silent())
    monkeypatch.setattr(preparing, "PART_ROWS", 333)
    parts = preparing.prepare(view, task, config, tokenizer, Silent())
    assert len(whole.tokens) > 200
    assert parts.digest == whole.digest
