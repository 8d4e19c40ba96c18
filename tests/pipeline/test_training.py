"""train: the same rows give the same model whatever way they come; several tasks in one bundle; what a run leaves behind."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import markupsafe
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import shoplm as library
from pipeline.worked import reviews, shoplm, turns
from shoplm.errors import ConfigError, DataError
from shoplm.pipeline import learning

TEXTS = ["good dress", "awful", "", "😀 质量"]


@pytest.fixture(scope="module")
def table(rows_csv):
    return pa.csv.read_csv(rows_csv)


@pytest.fixture(scope="module")
def fitted(bert, table):
    return library.fit("sentiment", table, backbone=bert, method="head", epochs=2)


def test_a_shop_a_file_and_tables_of_three_libraries_give_the_same_model(bert, rows_csv, table, fitted, tmp_path):
    import pandas
    import polars

    shop = library.Shop(tmp_path / "shop", create=True)
    shop.upsert("reviews", table, mapping={"body": "text"}, defaults={"item_id": "unknown"})
    sources = [shop, tmp_path / "shop", rows_csv, str(rows_csv), pandas.read_csv(rows_csv), polars.read_csv(rows_csv)]
    for source in sources:
        bundle = library.fit("sentiment", source, backbone=bert, method="head", epochs=2)
        np.testing.assert_array_equal(bundle.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_the_order_of_the_rows_changes_nothing(bert, table, fitted):
    mixed = table.take(np.random.default_rng(0).permutation(len(table)))
    bundle = library.fit("sentiment", mixed, backbone=bert, method="head", epochs=2)
    np.testing.assert_array_equal(bundle.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_parts_of_a_table_change_nothing(bert, table, fitted, monkeypatch):
    from shoplm.pipeline import prepare

    monkeypatch.setattr(prepare, "PART_ROWS", 7)
    bundle = library.fit("sentiment", table, backbone=bert, method="head", epochs=2)
    np.testing.assert_array_equal(bundle.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_a_saved_bundle_answers_as_before(fitted, tmp_path):
    loaded = library.load(fitted.save(tmp_path / "saved"))
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    assert loaded.predict(TEXTS) == fitted.predict(TEXTS)
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["id2label"] == {"0": "negative", "1": "positive"}
    assert config["label2id"] == {"negative": 0, "positive": 1}


def test_any_binary_column_can_be_the_target(bert, rows_csv, tmp_path):
    words = ["--data", rows_csv, "--backbone", bert, "--method", "head", "--out", tmp_path / "out", "epochs=1"]
    said = shoplm("train", "sentiment", *words, "--target", "recommended")
    assert said.code == 0
    rows = library.load(tmp_path / "out").predict(["good"])
    assert rows[0]["label"] in {"0", "1"}
    assert "stars" not in rows[0]
    judged = shoplm("evaluate", tmp_path / "out", "--data", rows_csv, "--split", "all", "--json").json
    assert {"accuracy", "roc_auc"} <= set(judged["metrics"])


def test_a_condition_makes_a_few_shot_run_and_is_remembered(bert, rows_csv, tmp_path):
    words = ["--data", rows_csv, "--backbone", bert, "--method", "head", "--out", tmp_path / "out", "epochs=1"]
    said = shoplm("train", "sentiment", *words, "--where", "contains(body, 'good') or contains(body, 'poor')")
    assert said.code == 0
    rows = reviews().count("good ") + reviews().count("poor ")
    manifest = json.loads((tmp_path / "out" / "run" / "manifest.json").read_text())
    assert manifest["train_rows"] < rows
    assert shoplm("evaluate", tmp_path / "out", "--data", rows_csv, "--split", "all", "--json").json["rows"] == rows
    assert shoplm("evaluate", tmp_path / "out", "--data", rows_csv, "--split", "all", "--where", "true", "--json").json["rows"] == 80


def test_two_tasks_share_one_bundle(bert, rows_csv, tmp_path):
    shop = library.Shop(tmp_path / "shop", create=True)
    shop.upsert("reviews", pa.csv.read_csv(rows_csv), mapping={"body": "text"}, defaults={"item_id": "unknown"})
    chats = tmp_path / "chats.csv"
    chats.write_text(turns())
    shop.import_files(chats, table="chats", mapping={"content": "text"}, defaults={"role": "user"})
    out = tmp_path / "out"
    words = ["train", "sentiment", "intent", "--shop", tmp_path / "shop", "--backbone", bert, "--out", out, "epochs=1"]
    said = shoplm(*words, "--method", "lora")
    assert said.code == 0, said.err
    assert f"next: shoplm evaluate {out} sentiment --shop " in said.out
    bundle = library.load(out)
    assert bundle.tasks == ("sentiment", "intent")
    assert "name one of them" in shoplm("predict", out, "--text", "good").line
    assert set(bundle.predict(["good"], "sentiment")[0]) == {"label", "probability", "stars"}
    assert set(bundle.predict(["where is my order"], "intent")[0]) == {"intent", "probability", "in_scope", "oos_probability"}
    first = bundle.predict_proba(TEXTS, "sentiment")
    bundle.predict(TEXTS, "intent")
    np.testing.assert_array_equal(bundle.predict_proba(TEXTS, "sentiment"), first)
    alone = library.fit("sentiment", shop, backbone=bert, method="lora", epochs=1)
    np.testing.assert_allclose(first, alone.predict_proba(TEXTS), atol=1e-6)
    for task in bundle.tasks:
        assert bundle.evaluate(shop, task=task, split="all").judgement.rows
        assert (out / "run" / task / "steps.jsonl").is_file()
    refused = shoplm(*words, "--method", "full")
    assert refused.code == 2
    assert "several tasks share one backbone" in refused.line


def test_turns_with_several_intents_are_learnt_judged_and_answered(bert, tmp_path):
    words = {"track": "where is my order", "refund": "refund me please", "joke": "tell me a joke"}
    names = list(words)
    held = [[names[i % 3]] if i % 2 else [names[i % 3], names[(i + 1) % 3]] for i in range(90)]
    lines = [f"{' and '.join(words[name] for name in some)} {i},{'|'.join(some)}" for i, some in enumerate(held)]
    file = tmp_path / "turns.csv"
    file.write_text("\n".join(["text,intent", *lines, ""]))
    out = tmp_path / "out"
    said = shoplm("train", "intent", "--data", file, "--backbone", bert, "--out", out, "several=true", "epochs=2", "learning_rate=0.003")
    assert said.code == 0, said.err
    answers = library.load(out).predict(["where is my order and refund me please"])
    assert set(answers[0]) == {"intent", "probability", "in_scope", "oos_probability"}
    assert set(answers[0]["intent"].split("|")) <= set(names)
    judged = shoplm("evaluate", out, "--data", file, "--split", "all", "--json").json
    assert {"accuracy", "micro_f1", "macro_f1", "mean_average_precision"} <= set(judged["metrics"])
    assert judged["baselines"]["tfidf"]["micro_f1"] > 0.9  # each intent has words of its own
    assert judged["rows"] == 90


def test_a_recipe_as_a_run_resolved_it_can_be_run_again(bert, rows_csv, tmp_path):
    words = ["--data", rows_csv, "--method", "head"]
    assert shoplm("train", "sentiment", *words, "--backbone", bert, "--out", tmp_path / "one", "epochs=2", "seed=3").code == 0
    again = shoplm("train", "--data", rows_csv, "--recipe", tmp_path / "one" / "run" / "recipe.yaml", "--out", tmp_path / "two")
    assert again.code == 0, again.err
    np.testing.assert_array_equal(library.load(tmp_path / "one").predict_proba(TEXTS), library.load(tmp_path / "two").predict_proba(TEXTS))


KNOWN = ("jacket", "dress", "shoes", "gift", "parcel", "colour", "quality", "order", "card")
"""Words that the tiny tokenizer knows one from the other."""


def unsplit(count):
    """Rows for learning only, whose words tell their stars to the attentive."""
    return pa.table({
        "text": [f"{'great' if i % 2 else 'poor'} {KNOWN[i % 9]} {KNOWN[i % 7]}" for i in range(count)],
        "rating": [5 if i % 2 else 1 for i in range(count)],
        "split": ["train"] * count,
    })  # fmt: skip


@pytest.mark.parametrize("method", ["full", "lora", "head"])
def test_without_validation_rows_the_last_weights_are_kept_and_calibrated(bert, monkeypatch, method):
    from shoplm.pipeline import choosing
    from shoplm.train import checkpoint

    ends = []
    settle = choosing.settle

    def settled(study, plan, begin):
        before = {name: tensor.clone() for name, tensor in checkpoint.learning(study.network).items()}
        found = settle(study, plan, begin)
        ends.append((before, {name: tensor.clone() for name, tensor in checkpoint.learning(study.network).items()}, study, found))
        return found

    monkeypatch.setattr(choosing, "settle", settled)
    bundle = library.fit("sentiment", unsplit(60), backbone=bert, method=method, epochs=3)
    ((before, after, study, (fitted, judgement)),) = ends
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)  # the second run left no trace
    assert judgement is None
    found = fitted.calibrations["label"]
    assert found.kind == "temperature"
    assert found.temperature not in (1.0, 0.01)
    assert "rows are too few" in found.note
    kept, aside = study.lesson.parted()
    assert len(kept) > 3 * len(aside) > 0
    assert sorted([*kept, *aside]) == list(range(60))
    assert bundle.contents.metrics["sentiment"]["best_epoch"] == 3
    assert "Not judged" in bundle.contents.card
    assert f"- label: calibrated by temperature {found.temperature:.3g}" in bundle.contents.card


def test_equal_texts_are_not_parted_when_some_stand_aside(bert, tmp_path, monkeypatch):
    from shoplm.pipeline import choosing

    seen = []
    monkeypatch.setattr(choosing, "settle", lambda study, *_: seen.append(study) or (study.lesson.fitted, None))
    rows = unsplit(40)
    library.fit("sentiment", pa.concat_tables([rows, rows, rows]), backbone=bert, method="head", epochs=1)
    lesson = seen[0].lesson
    words = [tuple(lesson.tokens.ids[lesson.tokens.start[at] : lesson.tokens.start[at + 1]]) for at in range(lesson.train)]
    kept, aside = lesson.parted()
    assert not {words[at] for at in kept} & {words[at] for at in aside}


def test_with_few_rows_the_last_weights_answer_whatever_a_small_validation_split_says(bert, table, monkeypatch):
    from shoplm.pipeline import learning

    courses = []
    steps = learning.drive
    monkeypatch.setattr(learning, "drive", lambda *given: (steps(*given), courses.append(given[-1]))[0])
    for settings in ({}, {"keep": "best"}, {"patience": 9}):
        library.fit("sentiment", table, backbone=bert, method="head", epochs=6, learning_rate=0.05, **settings)
    last, best, patient = courses
    values = [line["valid_macro_f1"] for line in last.history]
    assert last.best.epoch == 6
    assert best.best.epoch == patient.best.epoch == 1 + values.index(max(values)) < 6  # or the test would prove nothing


@pytest.mark.parametrize(
    ("kind_", "words"), [("bert", "the mean of"), ("gpt2", "of the last real token"), ("llama", "of the last real token")]
)
def test_the_card_of_an_adapter_says_what_its_head_reads(backbone_folders, table, kind_, words):
    bundle = library.fit("sentiment", table, backbone=str(backbone_folders[kind_]), method="lora", epochs=1)
    assert f"with x the {'mean' if kind_ == 'bert' else 'last hidden state'} of"[:12] in bundle.contents.card
    assert words in bundle.contents.card
    assert ("the mean of" in bundle.contents.card) == (kind_ == "bert")


def test_every_hint_can_be_typed_whatever_a_path_holds(bert, tmp_path, monkeypatch):
    odd = tmp_path / 'it\'s my "shop" $HOME; 店'
    odd.mkdir()
    monkeypatch.chdir(tmp_path)
    file, shop, out = odd / "reviews.csv", odd / "the shop", odd / "the model"
    file.write_text("item_id," + reviews(60).replace("\n", "\nx,")[:-2], encoding="utf-8")
    said = {
        "new": shoplm("new", odd / "new shop"),
        "import": shoplm("import", "table", file, "--shop", shop, "--map", "body=text"),
        "check": shoplm("check", "--shop", shop),
        "train": shoplm("train", "sentiment", "--shop", shop, "--backbone", bert, "--method", "head", "--out", out, "epochs=1"),
        "train a file": shoplm(
            "train", "sentiment", "--data", file, "--backbone", bert, "--method", "head", "--out", odd / "b", "epochs=1"
        ),
        "evaluate": shoplm("evaluate", out, "--shop", shop, "--split", "all"),
        "predict": shoplm("predict", out, "--text", "good"),
        "predict a file": shoplm("predict", out, "sentiment", "--data", file, "--out", odd / "answers.csv"),
        "verify": shoplm("verify", out),
    }
    for verb, answer in said.items():
        assert answer.code == 0, (verb, answer.err)
        (hint,) = [line for line in (answer.out + answer.err).splitlines() if line.startswith("next:")]
        typed = shlex.split(hint.removeprefix("next:"))
        assert typed[0] == "shoplm"
        assert any(str(odd) in word for word in typed), (verb, hint)
        assert all(word in (str(odd / "new shop"), str(file), str(shop), str(out), str(odd / "b")) for word in typed if str(odd) in word), (
            hint
        )
    page = (out / "run" / "report.html").read_text(encoding="utf-8")
    assert str(markupsafe.escape(shlex.quote(str(out)))) in page


def test_an_epoch_is_said_in_one_line_of_a_fixed_form(bert, rows_csv, tmp_path):
    from shoplm.pipeline.describe import epoch_line

    assert (
        epoch_line({"epoch": 1, "step": 9, "train_loss": 0.69314, "valid_accuracy": 0.712})
        == "Epoch 1, train loss: 0.693, valid accuracy: 0.712"
    )
    said = shoplm("train", "sentiment", "--data", rows_csv, "--backbone", bert, "--method", "head", "--out", tmp_path / "out", "epochs=2")
    lines = [line for line in said.err.splitlines() if line.startswith("Epoch")]
    assert len(lines) == 2
    assert all(
        re.fullmatch(r"Epoch \d, train loss: \d\.\d{3}, valid accuracy: \d\.\d{3}, valid macro_f1: \d\.\d{3}", line) for line in lines
    )


@pytest.mark.parametrize(("settings", "most", "least"), [({"batch_size": 5}, 5, 2), ({"batch_size": 50, "token_budget": 40}, 50, 1)])
def test_rows_and_tokens_of_a_batch_are_capped_as_asked(bert, table, monkeypatch, settings, most, least):
    from shoplm.pipeline import learning

    sizes = []
    fit = learning.loop.fit

    def counted(model, source, plan, config, state):
        def seen(rows):
            batch, trunk = source(rows)
            sizes.append(batch.ids.shape)
            return batch, trunk

        return fit(model, seen, plan, config, state)

    monkeypatch.setattr(learning.loop, "fit", counted)
    library.fit("sentiment", table, backbone=bert, method="head", epochs=1, **settings)
    assert max(rows for rows, _ in sizes) <= most
    assert min(rows for rows, _ in sizes) >= least or "token_budget" in settings
    if "token_budget" in settings:
        assert all(rows == 1 or rows * tokens <= settings["token_budget"] for rows, tokens in sizes)
        assert max(rows for rows, _ in sizes) < 50
    else:
        assert [rows for rows, _ in sizes].count(most) >= len(sizes) - 1


def test_validation_rows_without_an_answer_choose_nothing(bert):
    count = 30
    rows = pa.table({
        "text": [f"good {i}" if i % 2 else f"bad {i}" for i in range(count)],
        "rating": [5 if i % 2 else 1 for i in range(count - 6)] + [None] * 6,
        "split": ["train"] * (count - 6) + ["valid"] * 6,
    })  # fmt: skip
    bundle = library.fit("sentiment", rows, backbone=bert, method="head", epochs=2)
    assert len(bundle.predict(["x"])) == 1
    with pytest.raises(DataError, match="no valid rows with an answer"):
        bundle.evaluate(data=_csv(rows), split="valid")


def _csv(rows: pa.Table) -> Path:
    import tempfile

    file = Path(tempfile.mkdtemp()) / "rows.csv"
    pa.csv.write_csv(rows, file)
    return file


def test_a_failure_before_the_first_checkpoint_leaves_nothing(bert, table, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(learning.loop, "fit", fail)
        with pytest.raises(RuntimeError, match="a bug"):
            library.fit("sentiment", table, tmp_path / "deep" / "out", backbone=bert, method="head")
    assert not (tmp_path / "deep" / "out").exists()
    (tmp_path / "mine").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(learning.loop, "fit", fail)
        with pytest.raises(RuntimeError, match="a bug"):
            library.fit("sentiment", table, tmp_path / "mine", backbone=bert, method="head")
    assert not (tmp_path / "mine" / "run").exists()


def test_a_manifest_that_is_none_is_refused(bert, rows_csv, tmp_path):
    run = tmp_path / "out" / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "latest.safetensors").write_bytes(b"x")
    words = ["train", "sentiment", "--data", rows_csv, "--backbone", bert, "--method", "head", "--out", tmp_path / "out", "--resume"]
    for text in ("", "[]", "{}", "{"):
        (run / "manifest.json").write_text(text)
        said = shoplm(*words)
        assert said.code == 2
        assert "start again with --restart instead of --resume" in said.line


def test_tasks_are_named_once_and_not_set():
    from shoplm.pipeline.config import RunConfig

    assert RunConfig.read(["sentiment", "sentiment"]).tasks == ("sentiment",)
    with pytest.raises(ConfigError, match="name the tasks themselves"):
        RunConfig.read(["sentiment"], tasks=["intent"])


def test_a_run_leaves_its_journal_and_no_scraps(trained):
    out = trained["full"]
    assert sorted(os.listdir(out / "run")) == ["manifest.json", "recipe.yaml", "report.html", "steps.jsonl"]
    manifest = json.loads((out / "run" / "manifest.json").read_text())
    assert {"data_version", "rows_digest", "seed", "machine", "versions", "train_rows"} <= set(manifest)
    page = (out / "run" / "report.html").read_text()
    assert "<script src" not in page
    assert "https://" not in page.replace("https://www.w3.org", "").replace("http://www.w3.org", "")


def test_texts_that_nearly_repeat_across_splits_are_a_line_and_a_finding_without_a_word_of_theirs(bert, tmp_path):
    secret = "Frau Aprikosenbaum wrote that the kettle whistles loudly and looks good on every stove"
    rows = [f"{secret},5,train", f"{secret.upper()}!!,5,test", "the lid broke after a single day of use and nobody answered the letters,1,train", "good,5,valid", "bad,1,valid"]  # fmt: skip
    file = tmp_path / "rows.csv"
    file.write_text("\n".join(["text,rating,split", *rows, ""]))
    said = shoplm("train", "sentiment", "--data", file, "--backbone", bert, "--method", "head", "--out", tmp_path / "out", "epochs=1")
    assert said.code == 0, said.err
    lines = [line for line in said.err.splitlines() if line.startswith("warning: reviews: 1 of 3 rows that steer or judge")]
    assert len(lines) == 1
    assert "rows 1 and 2" in lines[0]
    assert "split.kind=near" in lines[0]
    report = (tmp_path / "out" / "run" / "report.html").read_text("utf-8")
    assert "rows 1 and 2" in report
    assert "aprikosenbaum" not in (said.err + said.out + report).lower()


@pytest.mark.parametrize(
    ("name", "rows", "layers"),
    [("interest", 5000, 2), ("intent", 5000, 5), ("intent", 500, 3), ("sentiment", 5000, 6), ("sentiment", 500, 3)],
)
def test_as_many_of_six_layers_learn_as_the_task_asks_for_and_half_of_them_when_rows_are_few(name, rows, layers):
    from shoplm.pipeline.config import RunConfig, resolve

    assert resolve(RunConfig.read([name]), rows, 6).adapter.layers == layers
    assert resolve(RunConfig.read([name], layers=1), rows, 6).adapter.layers == 1
    both = RunConfig.read(["sentiment", "intent", "interest"], method="lora")
    assert resolve(both, rows, 6, name).adapter.layers == layers


def test_where_most_layers_are_fully_tuned_fewer_and_gentler_passes_are_made():
    from shoplm.pipeline.config import RunConfig, resolve

    deep, flat = (resolve(RunConfig.read(["sentiment"], layers=layers), 5000, 6).fit for layers in (4, 3))
    assert (deep.epochs, deep.learning_rate, deep.head_rate) == (2, 2e-4, 5e-4)
    assert (flat.epochs, flat.learning_rate, flat.head_rate) == (4, 4e-4, 1e-3)
    assert resolve(RunConfig.read(["sentiment"], epochs=5, learning_rate=1e-3), 5000, 6).fit.epochs == 5
    few = [resolve(RunConfig.read(["traits"]), 600, 6, "traits", settled=settled).fit.epochs for settled in (False, True)]
    assert few == [8, 1]  # what numbers beside the text have said already is not learnt by heart
    assert resolve(RunConfig.read(["traits"], epochs=3), 600, 6, "traits", settled=True).fit.epochs == 3
