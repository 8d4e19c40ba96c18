"""The contrastive stage: rows of a label come nearer, a broken-off stage ends as one never stopped, and what it refuses."""

from __future__ import annotations

import contextlib
import itertools

import numpy as np
import pytest

import shoplm as library
from pipeline.worked import shoplm
from shoplm.errors import ConfigError
from shoplm.model.bundle import read
from shoplm.pipeline import learning, warming
from shoplm.pipeline.config import RunConfig
from shoplm.pipeline.progress import Silent
from shoplm.pipeline.training import train

SETTINGS = {"epochs": 1, "contrastive": "supervised", "contrastive_batch_size": 8, "layers": 2, "precision": "fp32"}


class Stops(Silent):
    """Somebody who presses Ctrl-C in the middle of the stage."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.lines: list[str] = []

    def say(self, line):
        self.lines.append(line)

    @contextlib.contextmanager
    def bar(self, title, total):
        def advance(count):
            if "contrastive" in title and count:
                self.left -= 1
                if not self.left:
                    raise KeyboardInterrupt

        yield advance


def weights(folder):
    return {
        name: tensor.detach().numpy().copy() for part in read(folder).tasks.values() for name, tensor in part.network.named_parameters()
    }


@pytest.mark.parametrize("kind", ["supervised", "pairs"])
def test_rows_of_one_label_are_nearer_to_each_other_afterwards(bert, rows_csv, kind, monkeypatch):
    seen = []

    def between(study):
        rows = study.lesson.train_rows
        pooled = study.network.eval().states(study.lesson.tokens.batch(rows, study.network.backbone.tokenizer.pad)).pooled.detach().numpy()
        pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
        label = study.lesson.targets["label"][rows]
        near, same = pooled @ pooled.T, label[:, None] == label[None]
        return near[same].mean() - near[~same].mean()

    def warm(study, rows, folder):
        before = between(study)
        heads = [tensor.clone() for tensor in study.network.heads.state_dict().values()]
        warming_warm(study, rows, folder)
        seen.extend([before, between(study)])
        assert all((old == new).all() for old, new in zip(heads, study.network.heads.state_dict().values(), strict=True))

    warming_warm = warming.warm
    monkeypatch.setattr(learning.warming, "warm", warm)
    library.fit("sentiment", rows_csv, backbone=bert, **{**SETTINGS, "contrastive": kind, "contrastive_epochs": 4, "learning_rate": 2e-3})
    assert seen[1] > seen[0] + 0.05


def test_a_stage_that_was_broken_off_ends_as_one_never_stopped(bert, rows_csv, tmp_path):
    config = RunConfig.read(["sentiment"], backbone=bert, checkpoint_seconds=0, **SETTINGS)
    train(config, data=rows_csv, out=tmp_path / "whole")
    waiting = Stops(after=4)  # the bar is moved to where the stage begins, then by one each step
    with pytest.raises(KeyboardInterrupt):
        train(config, data=rows_csv, out=tmp_path / "broken", progress=waiting)
    with pytest.raises(ConfigError, match="holds a run that has not ended"):
        train(config, data=rows_csv, out=tmp_path / "broken")
    going = Stops(after=0)
    train(config, data=rows_csv, out=tmp_path / "broken", unfinished="resume", progress=going)
    assert any("contrastive stage resumed after step" in line for line in going.lines)
    whole, broken = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert all((whole[name] == broken[name]).all() for name in whole)


def test_a_run_broken_off_after_the_stage_does_not_repeat_it(bert, rows_csv, tmp_path, monkeypatch):
    config = RunConfig.read(["sentiment"], backbone=bert, checkpoint_seconds=0, **SETTINGS)
    train(config, data=rows_csv, out=tmp_path / "whole")

    def stops(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(learning.choosing, "settle", stops)
        train(config, data=rows_csv, out=tmp_path / "broken")
    going = Stops(after=0)
    train(config, data=rows_csv, out=tmp_path / "broken", unfinished="resume", progress=going)
    assert not any("contrastive" in line for line in going.lines)
    whole, broken = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert all((whole[name] == broken[name]).all() for name in whole)


def test_without_validation_rows_the_second_run_has_the_stage_too_and_never_sees_the_rows_aside(bert, tmp_path, monkeypatch):
    words = ["where", "order", "return", "shoes", "dress", "lovely", "soft", "colour", "wash", "refund", "parcel", "address", "gift"]
    lines = [
        f"{'good' if at % 2 else 'bad'} {one} {two},{5 if at % 2 else 1}" for at, (one, two) in enumerate(itertools.combinations(words, 2))
    ]
    file = tmp_path / "rows.csv"
    file.write_text("\n".join(["text,rating", *lines[:60]]))
    seen = []
    warm = warming.warm

    def watched(study, rows, folder):
        seen.append((len(rows), study.lesson.train, folder is not None))
        warm(study, rows, folder)

    monkeypatch.setattr(warming, "warm", watched)
    library.fit("sentiment", file, backbone=bert, valid=0, **SETTINGS)
    (all_rows, train_rows, saved), (kept, _, saved_again) = seen
    assert all_rows == train_rows
    assert kept < train_rows
    assert (saved, saved_again) == (True, False)


def test_simcse_needs_no_labels_but_two_dropouts(bert, rows_csv):
    with pytest.raises(ConfigError, match=r"dropout is 0; set dropout=0\.1"):
        library.fit("sentiment", rows_csv, backbone=bert, **{**SETTINGS, "contrastive": "simcse"})
    bundle = library.fit("sentiment", rows_csv, backbone=bert, dropout=0.1, **{**SETTINGS, "contrastive": "simcse"})
    assert len(bundle.predict(["good"])) == 1


@pytest.mark.parametrize("method", ["lora", "adalora", "prefix", "bottleneck"])
def test_every_method_whose_backbone_learns_takes_the_stage(bert, rows_csv, method):
    settings = {key: value for key, value in SETTINGS.items() if key != "layers"}
    bundle = library.fit("sentiment", rows_csv, backbone=bert, method=method, max_length=40, **settings)
    assert np.isfinite(bundle.predict_proba(["good", "bad"])).all()


def test_a_method_whose_backbone_does_not_learn_is_refused_in_one_line(bert, rows_csv, tmp_path):
    said = shoplm(
        "train", "sentiment", "--data", rows_csv, "--backbone", bert, "--method", "head", "--out", tmp_path / "o", "contrastive=pairs"
    )
    assert said.code == 2
    assert "method=head learns nothing; choose another method" in said.line
    assert not (tmp_path / "o").exists()


def test_an_unknown_kind_is_refused_with_what_there_is(bert, rows_csv, tmp_path):
    said = shoplm("train", "sentiment", "--data", rows_csv, "--backbone", bert, "--out", tmp_path / "o", "contrastive=setfit")
    assert said.code == 2
    assert "supervised" in said.line
