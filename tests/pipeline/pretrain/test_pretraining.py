"""pretrain: what is read and what is not, the same weights after a kill, a folder that train and transformers take."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.worked import shoplm
from shoplm.data.shop import Shop
from shoplm.data.split import SplitConfig
from shoplm.errors import ConfigError
from shoplm.pipeline.config import RunConfig
from shoplm.pipeline.prepare import origin, prepare
from shoplm.pipeline.pretrain import corpus as corpora
from shoplm.pipeline.pretrain.config import PretrainConfig, resolve
from shoplm.pipeline.pretrain.corpus import Corpus, corpus, of_files, of_shop
from shoplm.pipeline.progress import Silent
from shoplm.task import get

QUICK = ["epochs=2", "head_steps=4", "max_length=32", "precision=fp32"]


def lines(count=160, start=0):
    """Texts that differ in more than a word, in words that the tiny backbone knows."""
    words = [
        "where",
        "is",
        "my",
        "order",
        "when",
        "will",
        "it",
        "arrive",
        "i",
        "want",
        "to",
        "return",
        "these",
        "shoes",
        "because",
        "they",
        "do",
        "not",
        "fit",
        "the",
        "dress",
        "lovely",
        "soft",
        "warm",
    ]
    random = np.random.default_rng(5)
    return [" ".join(random.choice(words, random.integers(4, 12))) + f" {number}" for number in range(start, start + count)]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    file = tmp_path_factory.mktemp("texts") / "texts.txt"
    file.write_text("\n".join(lines()), "utf-8")
    return file


@pytest.fixture(scope="module")
def adapted(bert, texts, tmp_path_factory):
    out = tmp_path_factory.mktemp("adapted") / "backbone"
    said = shoplm(
        "pretrain", "--text-files", texts, "--objective", "mlm", "--backbone", bert, "--out", out, *QUICK, "epochs=4", "learning_rate=2e-3"
    )
    assert said.code == 0, said.err
    return out, said


def read(pieces, tokenizer, tmp_path, **options) -> tuple[Corpus, set[str]]:
    """The corpus, and the texts that are learnt from, as the tokenizer writes them."""
    found = corpus(pieces, tokenizer, tmp_path / "ids", Silent(), **options)
    fast = tokenizer._fast
    return found, {fast.decode(found.train.ids[a:b].tolist()) for a, b in itertools.pairwise(found.train.start)}


def test_the_command_says_what_it_read_estimates_judges_and_what_to_type_next(adapted, texts):
    out, said = adapted
    assert "160 texts read" in said.err
    assert "of the test split left unread" in said.err
    assert "about" in said.err
    assert "memory up to" in said.err
    assert said.err.count("Epoch") == 4
    assert f"backbone: {out}" in said.out
    assert said.out.splitlines()[-1] == f"next: shoplm train intent --data messages.csv --backbone {out} --out intent"
    figures = json.loads((out / "metrics.json").read_text())
    assert figures["after"]["loss"] < figures["before"]["loss"]
    assert figures["after"]["perplexity"] == pytest.approx(np.exp(figures["after"]["loss"]))
    assert figures["before"]["cosine"] == pytest.approx(1.0, abs=1e-5)
    assert figures["after"]["cosine"] < 0.99999


def test_what_it_leaves_is_a_whole_folder_a_card_a_report_and_no_scraps(adapted):
    out, _ = adapted
    held = {path.name for path in out.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "checksums.json", "metrics.json", "run"} <= held
    assert not any(path.suffix in (".bin", ".pt", ".pkl") for path in out.rglob("*"))
    assert {path.name for path in (out / "run").iterdir()} == {"manifest.json", "recipe.yaml", "report.html", "steps.jsonl"}
    card = (out / "README.md").read_text()
    assert "test split" in card
    assert "base_model" in card
    page = (out / "run" / "report.html").read_text()
    assert "train loss" in page
    assert "perplexity" in page.lower()


def test_train_takes_the_folder_at_once_and_so_does_transformers(adapted, rows_csv, tmp_path):
    import transformers

    out, _ = adapted
    said = shoplm("train", "sentiment", "--data", rows_csv, "--backbone", out, "--method", "head", "--out", tmp_path / "bundle", "epochs=1")
    assert said.code == 0, said.err
    assert shoplm("predict", tmp_path / "bundle", "--text", "good dress").code == 0
    model, said = transformers.AutoModelForMaskedLM.from_pretrained(out, output_loading_info=True)
    assert not said["missing_keys"]
    assert not said["mismatched_keys"]
    assert type(model).__name__ == "BertForMaskedLM"


def test_the_journal_s_last_figures_are_those_of_the_folder(adapted, bert, texts, tmp_path):
    """What the folder's weights say of the held-out texts is what was written down: nothing is lost on the way to the disk."""
    from shoplm.model.backbone import load_backbone
    from shoplm.model.masked import filling
    from shoplm.pipeline.pretrain import filling as module
    from shoplm.pipeline.pretrain.filling import set_up

    out, _ = adapted
    config = PretrainConfig.read("mlm", ["max_length=32", "precision=fp32", "anchor=0"])
    backbone = load_backbone(str(out), config.text)
    found = corpus(lambda: of_files([texts], None, config.split), backbone.tokenizer, tmp_path / "ids", Silent())
    run = set_up(config, backbone, filling(backbone), found, {}, tmp_path / "run", "refuse", Silent())
    assert run.config.head_steps == 0  # its own head came with it
    said = module._judged(run, module._pooled(run))
    figures = json.loads((out / "metrics.json").read_text())["after"]
    assert said["valid_loss"] == pytest.approx(figures["loss"], rel=1e-6)
    assert said["valid_accuracy"] == figures["accuracy"]


@pytest.mark.parametrize("dropout", ["0.1"])
def test_a_run_killed_and_resumed_writes_the_bytes_of_one_never_stopped(bert, texts, tmp_path, dropout):
    settings = [
        "epochs=6",
        "head_steps=3",
        "max_length=24",
        "precision=fp32",
        "batch_size=16",
        "checkpoint_seconds=0",
        f"dropout={dropout}",
    ]
    words = ["pretrain", "--text-files", str(texts), "--backbone", bert]

    def digest(out):
        return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest(), [
            {key: value for key, value in json.loads(line).items() if key != "seconds"}
            for line in (out / "run" / "steps.jsonl").read_text().splitlines()
        ]

    assert shoplm(*words, "--out", tmp_path / "whole", *settings).code == 0
    killed = tmp_path / "killed"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", "from shoplm.cli import main; main()", *words, "--out", str(killed), *settings]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    steps, until = killed / "run" / "steps.jsonl", time.monotonic() + 300
    while not steps.is_file() or steps.read_text().count("gradient_norm") < 7:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert not (killed / "checksums.json").exists()
    refused = shoplm(*words, "--out", killed, *settings)
    assert refused.code == 2
    assert "--resume" in refused.line
    other = shoplm(*words, "--out", killed, *settings, "mlm_probability=0.3", "--resume")
    assert other.code == 2
    assert "mask.mlm_probability" in other.line
    said = shoplm(*words, "--out", killed, *settings, "--resume")
    assert said.code == 0, said.err
    assert "resumed after step" in said.err
    assert digest(killed) == digest(tmp_path / "whole")
    again = shoplm(*words, "--out", killed, *settings, "--resume")
    assert again.code == 0
    assert "ended already" in again.err


def test_no_text_of_a_task_s_own_test_split_is_read_from_a_shop(bert, fresh, tmp_path):
    shop = Shop(tmp_path / "shop", create=True)
    said = lines(120)
    shop.upsert("reviews", pa.table({"review_id": [f"r{n}" for n in range(120)], "title": ["Nice" if n % 2 else None for n in range(120)],
                                     "body": said, "rating": [float(1 + n % 5) for n in range(120)]}), defaults={"item_id": "x"})  # fmt: skip
    shop.upsert("chats", pa.table({"conversation_id": [f"c{n}" for n in range(90)], "turn": [0] * 90, "role": ["user"] * 90,
                                   "content": lines(90, start=500), "intent": [f"i{n % 3}" for n in range(90)]}))  # fmt: skip
    tokenizer = fresh("bert").tokenizer
    for name, table in (("sentiment", "reviews"), ("intent", "chats")):
        config = RunConfig.read([name])
        with origin(get(name), shop, None) as source:
            prepared = prepare(source.view, get(name), config, tokenizer, Silent())
        fast = tokenizer._fast
        starts, ids = prepared.tokens.start, prepared.tokens.ids
        texts = [fast.decode(ids[a:b].tolist()) for a, b in itertools.pairwise(starts)]
        test = {texts[at] for at in prepared.at("test")} - {texts[at] for at in prepared.at("train")}
        train = {texts[at] for at in prepared.at("train")}
        view = shop.view()
        _, learnt = read(lambda table=table, view=view: of_shop(view, [table], SplitConfig()), tokenizer, tmp_path)
        assert len(test) > 3
        assert not test & learnt
        assert len(train & learnt) > 0.9 * len(train)  # near copies aside, all that may be read is read


def test_a_shopper_who_refuses_is_not_read_and_a_copy_is_read_once(fresh, tmp_path):
    from shoplm.data.consent import learnable

    shop = Shop(tmp_path / "shop", create=True)
    said = [*lines(60), *lines(1)]
    shop.upsert("reviews", pa.table({"review_id": [f"r{n}" for n in range(61)], "user_id": [f"u{n % 6}" for n in range(61)], "body": said}),
                defaults={"item_id": "x"})  # fmt: skip
    shop.upsert("users", pa.table({"user_id": ["u3"], "consent_analytics": [False]}))
    view = learnable(shop)
    everything = SplitConfig(valid=0.0, test=0.0)
    found, _ = read(lambda: of_shop(view, [], everything), fresh("bert").tokenizer, tmp_path)
    assert found.tallied.read == {"reviews": 51}
    assert found.tallied.copies == 1
    assert found.tallied.train == 50


def test_what_people_wrote_is_redacted_and_what_the_shop_wrote_is_not(fresh, tmp_path, monkeypatch):
    shop = Shop(tmp_path / "shop", create=True)
    shop.upsert(
        "chats", pa.table({"conversation_id": ["c"], "turn": [0], "role": ["user"], "content": ["write to ann@example.com please"]})
    )
    shop.upsert("products", pa.table({"id": ["p"], "title": ["Lamp"], "description": ["<p>ask <b>help@example.com</b></p>"]}))
    seen = []
    tokenizer = fresh("bert").tokenizer
    windows = type(tokenizer).windows
    monkeypatch.setattr(type(tokenizer), "windows", lambda self, texts, fewest=1: seen.extend(texts) or windows(self, texts, fewest))
    view, everything = shop.view(), SplitConfig(valid=0.0, test=0.0)
    corpus(lambda: of_shop(view, [], everything), tokenizer, tmp_path / "ids", Silent())
    assert seen == ["Lamp. ask help@example.com", "write to [EMAIL] please"]
    seen.clear()
    corpus(lambda: of_shop(view, ["chats"], everything), tokenizer, tmp_path / "ids", Silent(), redacting=False)
    assert seen == ["write to ann@example.com please"]


def test_what_nearly_repeats_a_test_text_is_not_learnt(fresh, tmp_path):
    long = "the dress is lovely soft and warm and true to size but the colour faded after one wash and then it broke"
    rows = [(long, "test"), (long.replace("then it", "than it"), "train"), *[(text, "train") for text in lines(20)]]
    (tmp_path / "a.csv").write_text("text,split\n" + "".join(f"{text},{side}\n" for text, side in rows))
    found, learnt = read(lambda: of_files([tmp_path / "a.csv"], None, SplitConfig()), fresh("bert").tokenizer, tmp_path)
    assert not any("faded" in text for text in learnt)
    assert (found.tallied.train, found.tallied.tested) == (20, 2)


def test_a_long_text_goes_on_in_the_next_sequence(fresh):
    tokenizer = fresh("bert", 16).tokenizer
    whole = fresh("bert", 60).tokenizer.windows(["where is my order " * 9])
    found = tokenizer.windows(["where is my order " * 9, ""], fewest=3)
    assert found.lengths.tolist() == [16, 16, 10]  # 36 words of one token, 14 in a sequence
    inner = np.concatenate([found.ids[a + 1 : b - 1] for a, b in itertools.pairwise(found.start)])
    np.testing.assert_array_equal(inner, whole.ids[1:-1])


def test_held_out_texts_beyond_what_is_judged_are_drawn_by_their_words(fresh, texts, tmp_path, monkeypatch):
    monkeypatch.setattr(corpora, "HELD_OUT", 5)
    tokenizer = fresh("bert").tokenizer
    found, _ = read(lambda: of_files([texts], None, SplitConfig()), tokenizer, tmp_path)
    (tmp_path / "turned.txt").write_text("\n".join(reversed(texts.read_text().splitlines())))
    other, _ = read(lambda: of_files([tmp_path / "turned.txt"], None, SplitConfig()), tokenizer, tmp_path)
    assert found.tallied.valid == 5
    assert sorted(found.valid.ids.tolist()) == sorted(other.valid.ids.tolist())


def test_the_head_alone_moves_nothing_below_it(bert, texts, tmp_path):
    from shoplm.model.backbone import load_backbone, weights_digest
    from shoplm.model.masked import filling
    from shoplm.pipeline.pretrain import filling as module
    from shoplm.pipeline.pretrain.filling import set_up

    config = PretrainConfig.read("mlm", [*QUICK, "head_steps=6"])
    backbone = load_backbone(bert, config.text)
    found = corpus(lambda: of_files([texts], None, config.split), backbone.tokenizer, tmp_path / "ids", Silent())
    run = set_up(config, backbone, filling(backbone), found, {}, tmp_path / "run", "refuse", Silent())
    rows = np.arange(8)
    asked = [run.batch(rows, step).targets["text"] for step in (0, 0, 1)]
    assert (asked[0] == asked[1]).all()
    assert (asked[0] != asked[2]).any()  # every step hides other words
    before, turn = weights_digest(backbone.model), run.network.heads["text"].turn.weight.clone()
    learning = {name for name, p in run.network.named_parameters() if p.requires_grad}
    module._head_alone(run, run.plan)
    assert weights_digest(backbone.model) == before
    assert not torch.equal(run.network.heads["text"].turn.weight, turn)
    assert {name for name, p in run.network.named_parameters() if p.requires_grad} == learning


def test_the_anchor_holds_pooled_vectors_where_they_were(bert, texts, tmp_path):
    cosine = {}
    for anchor in (0, 5):
        words = [
            "--text-files",
            texts,
            "--backbone",
            bert,
            "--out",
            tmp_path / str(anchor),
            *QUICK,
            "epochs=6",  # with fewer steps both are still where they began
            "learning_rate=2e-3",
            f"anchor={anchor}",
            "--json",
        ]
        cosine[anchor] = shoplm("pretrain", *words).json["after"]["cosine"]
    assert 1 - cosine[5] < 0.5 * (1 - cosine[0])


def test_only_the_top_layers_move_when_they_alone_are_asked_for(bert, texts, tmp_path):
    from safetensors.torch import load_file

    assert shoplm("pretrain", "--text-files", texts, "--backbone", bert, "--out", tmp_path / "out", *QUICK, "layers=1").code == 0
    before, after = load_file(f"{bert}/model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    moved = {name for name, tensor in after.items() if name.startswith("bert.") and not torch.equal(tensor, before[name[5:]])}
    assert moved
    assert all(name.startswith("bert.encoder.layer.2.") for name in moved)


def test_more_files_after_the_first_are_files_and_a_shell_may_name_them_all(bert, texts, tmp_path):
    (tmp_path / "more=1.txt").write_text("\n".join(lines(40, start=900)))
    said = shoplm(
        "pretrain", "--text-files", texts, tmp_path / "more=1.txt", "--backbone", bert, "--out", tmp_path / "out", *QUICK, "--json"
    )
    assert said.code == 0, said.err
    assert said.json["facts"]["read"] == {str(texts): 160, str(tmp_path / "more=1.txt"): 40}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--objective", "causal"], "--objective causal: not there yet, only mlm is"),
        (["--objective", "mlm+nsp"], "--objective mlm+nsp: not there yet, only mlm is"),
        (["--objective", "mln"], "--objective mln: no such objective; did you mean `mlm`?"),
        (["mlm_probabilty=0.2"], "unknown key `mlm_probabilty`, did you mean `mlm_probability`?"),
        (["mlm_probability=1.5"], "`mask.mlm_probability`: input should be less than 1"),
        (["tables=[reviews]"], "`tables` are a shop's"),
        (["layers=9"], "`layers`: expected 1 to 3"),
        (["cache_mb=0"], "more than cache_mb=0; raise cache_mb or set anchor=0"),
        (["--shop", "shop"], "two sources of texts"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(bert, texts, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    found = shoplm("pretrain", "--text-files", texts, "--backbone", bert, "--out", "out", *QUICK, *words)
    assert found.code == 2
    assert said in found.line
    assert not (tmp_path / "out").exists()


def test_a_shop_without_texts_no_source_and_another_s_place_are_refused(bert, texts, trained, adapted, tmp_path):
    Shop(tmp_path / "shop", create=True)
    refused = {
        ("--shop", tmp_path / "shop", "--out", tmp_path / "o"): "nothing to learn from",
        ("--shop", tmp_path / "shop", "--out", tmp_path / "o", "tables=[reveiws]"): "did you mean `reviews`",
        ("--out", tmp_path / "o"): "no texts: give either --shop DIR or --text-files FILES",
        ("--out", tmp_path / "o", "notes.txt"): "`notes.txt`: expected KEY=VALUE",
        ("--shop", tmp_path / "shop", "--map", "text=body", "--out", tmp_path / "o"): "--map text=…: names a column of --text-files",
        ("--text-files", texts, "--out", trained["full"]): "holds a bundle",
        ("--text-files", texts, "--out", tmp_path): "is not empty and no backbone",
        ("--text-files", texts, "--backbone", adapted[0], "--out", adapted[0]): "is the backbone that is to be trained further",
    }
    for words, said in refused.items():
        given = words if "--backbone" in words else (*words, "--backbone", bert)
        found = shoplm("pretrain", *given)
        assert found.code == 2, said
        assert said in found.line
    found = shoplm("train", "sentiment", "--data", texts, "--backbone", adapted[0], "--out", adapted[0])
    assert "is the backbone itself" in found.line
    assert (adapted[0] / "model.safetensors").is_file()
    assert not (tmp_path / "o").exists()


def test_without_held_out_texts_nothing_is_judged_and_the_last_weights_answer(bert, texts, tmp_path):
    said = shoplm("pretrain", "--text-files", texts, "--backbone", bert, "--out", tmp_path / "out", *QUICK, "valid=0", "test=0")
    assert said.code == 0, said.err
    assert "no held-out texts, so nothing is judged" in said.out
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["facts"]["train_texts"] == 160


def test_more_tokens_need_fewer_passes_and_a_checkpoint_s_own_head_none_alone():
    def resolved(tokens, *settings, fresh=True):
        return resolve(PretrainConfig.read("mlm", settings), np.full(tokens // 100, 100), fresh=fresh)

    assert [resolved(tokens).fit.epochs for tokens in (1000, 5_000_000, 50_000_000)] == [3, 2, 1]
    assert resolved(1000, "epochs=7").fit.epochs == 7
    assert resolved(1000).head_steps == 3  # three passes of one step
    assert [resolved(5_000_000, fresh=fresh).head_steps for fresh in (True, False)] == [300, 0]
    assert resolved(5_000_000, "head_steps=8", fresh=False).head_steps == 8
    assert all(getattr(resolved(1000).fit, name) is not None for name in ("epochs", "batch_size", "learning_rate", "head_rate", "keep"))


def test_settings_may_stand_in_their_group_or_alone():
    assert PretrainConfig.read("mlm", ["fit.epochs=2", "mask.whole_word_mask=true"]) == PretrainConfig.read(
        "mlm", ["epochs=2", "whole_word_mask=true"]
    )
    with pytest.raises(ConfigError, match="`mask`: expected a group of settings"):
        PretrainConfig.read("mlm", ["mask=3"])
