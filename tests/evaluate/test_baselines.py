"""The baselines learn what words can tell, answer in the model's shape, and survive poor data."""

import numpy as np
import pytest

from shoplm.evaluate import baselines
from shoplm.evaluate.baselines import fit_baselines, mostly_cjk

WORDS = {0: "awful broken torn", 1: "okay average plain", 2: "lovely perfect great"}
FILLER = ["the", "dress", "I", "got", "in", "may", "was", "and", "it", "for", "my", "size", "again"]


def reviews(count: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    mood = rng.choice(3, count, p=[0.2, 0.2, 0.6])
    texts = [" ".join([*rng.choice(FILLER, 5), rng.choice(WORDS[m].split())]) for m in mood.tolist()]
    return texts, {"mood": mood, "liked": (mood == 2).astype(int), "stars": mood * 2.0 + 1}


HEADS = {"mood": ("choice", 3), "liked": ("binary",), "stars": ("regression",)}


def test_tfidf_learns_telling_words_and_majority_only_shares():
    texts, targets = reviews(600)
    fitted = fit_baselines(texts, targets, HEADS)
    fresh, truth = reviews(200, seed=1)
    linear, plain = (fitted[name].values(fresh) for name in ("tfidf", "majority"))
    assert (linear["mood"].argmax(1) == truth["mood"]).mean() > 0.98
    assert ((linear["liked"] > 0.5) == truth["liked"]).mean() > 0.98
    assert np.abs(linear["stars"] - truth["stars"]).mean() < 0.3
    np.testing.assert_allclose(plain["mood"][0], np.bincount(targets["mood"]) / 600)
    assert plain["liked"][0] == targets["liked"].mean()
    assert plain["stars"][0] == targets["stars"].mean()


def test_values_are_probabilities_in_the_models_shape():
    texts, targets = reviews(300)
    for baseline in fit_baselines(texts, targets, HEADS).values():
        values = baseline.values(["never seen word", "", "lovely"])
        assert (values["mood"].shape, values["liked"].shape, values["stars"].shape) == ((3, 3), (3,), (3,))
        np.testing.assert_allclose(values["mood"].sum(1), 1)
        assert ((values["liked"] >= 0) & (values["liked"] <= 1)).all()


def test_the_same_seed_gives_the_same_baseline():
    texts, targets = reviews(300)
    first, second = (fit_baselines(texts, targets, HEADS, seed=4)["tfidf"].values(texts) for _ in range(2))
    for name in HEADS:
        np.testing.assert_array_equal(first[name], second[name])


def test_missing_targets_are_not_learnt():
    texts, targets = reviews(300)
    holes = {"mood": np.append(targets["mood"], [-1] * 100), "stars": np.append(targets["stars"], [np.nan] * 100)}
    values = fit_baselines([*texts, *["lovely " * 3] * 100], holes, {"mood": ("choice", 3), "stars": ("regression",)})
    assert values["majority"].values(["x"])["mood"][0].tolist() == (np.bincount(targets["mood"]) / 300).tolist()
    assert values["tfidf"].values(["lovely"])["mood"].argmax() == 2


def test_a_class_without_train_rows_gets_next_to_nothing_and_its_own_column():
    texts, targets = reviews(300)
    value = fit_baselines(texts, {"mood": targets["mood"] * 2}, {"mood": ("choice", 5)})["tfidf"].values(["lovely", "awful"])["mood"]
    assert value.shape == (2, 5)
    assert value.argmax(1).tolist() == [4, 0]
    assert value[:, [1, 3]].max() < 1e-6


@pytest.mark.parametrize(
    ("texts", "target"),
    [(["a b"] * 9, [1] * 9), ([""] * 9, [0, 1, 0] * 3), (["!?"] * 9, [0, 1, 0] * 3), ([], []), (["a", "b"], [0, 1]), (["a"] * 9, [-1] * 9)],
    ids=["one class", "empty texts", "no words", "no rows", "two rows", "no targets"],
)
def test_where_nothing_can_be_learnt_tfidf_answers_as_majority(texts, target):
    fitted = fit_baselines(texts, {"t": np.array(target, int)}, {"t": ("choice", 2)})
    np.testing.assert_array_equal(fitted["tfidf"].values(["new", ""])["t"], fitted["majority"].values(["new", ""])["t"])


def test_chinese_is_read_by_characters():
    assert mostly_cjk(["质量很差，不推荐"])
    assert not mostly_cjk(["a fine dress", "很"])
    assert not mostly_cjk(["", "123 !?"])
    good, bad = ["质量很好很满意", "非常喜欢值得买"] * 20, ["质量太差退货了", "不值这个钱后悔"] * 20
    fitted = fit_baselines([*good, *bad], {"t": np.repeat([1, 0], 40)}, {"t": ("binary",)})
    said = fitted["tfidf"].values(["很满意喜欢", "太差后悔退货"])["t"]
    assert said[0] > 0.5 > said[1]


def test_rows_beyond_the_cap_are_left_out_and_it_says_so(monkeypatch):
    monkeypatch.setattr(baselines, "CAP", 100)
    texts, targets = reviews(300)
    fitted = fit_baselines(texts, targets, HEADS)
    assert fitted["tfidf"].note == "fitted on 100 of 300 rows, drawn at random"
    assert fitted["majority"].note == ""
