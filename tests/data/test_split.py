"""A split is obeyed where given, and otherwise a pure function of seed and key."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplm.data.split import SplitReport, assign, by_source, by_time, leave_one_out
from shoplm.errors import DataError

KEYS = st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=30)


@given(keys=KEYS, seed=st.integers(0, 99), order=st.randoms())
def test_a_row_s_split_depends_only_on_seed_and_key(keys, seed, order):
    whole = dict(zip(keys, assign(None, keys, seed).tolist(), strict=True))
    shuffled = order.sample(keys, len(keys))
    assert assign(None, shuffled, seed).tolist() == [whole[key] for key in shuffled]
    assert [assign(None, [key], seed)[0] for key in keys[:3]] == [whole[key] for key in keys[:3]]
    assert SplitReport.of(assign(None, keys, seed), keys).leak_check == 0


def test_shares_are_kept_and_seeds_differ():
    keys = [str(i) for i in range(20_000)]
    split = assign(None, keys, seed=1, valid=0.1, test=0.2)
    shares = [float((split == name).mean()) for name in ("train", "valid", "test")]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.015)  # 5 standard errors of a share of 20,000
    assert (split != assign(None, keys, seed=2, valid=0.1, test=0.2)).any()


def test_given_words_are_obeyed_and_the_rest_is_made():
    given_words = pa.array(["train", "VAL", " dev ", "validation", "test", None, ""])
    split = assign(given_words, list("abcdefg"), seed=0)
    assert split[:5].tolist() == ["train", "valid", "valid", "valid", "test"]
    assert split[5:].tolist() == assign(None, ["f", "g"], seed=0).tolist()


def test_another_word_is_refused():
    with pytest.raises(DataError, match="seen 'trian', expected train, valid or test; did you mean `train`"):
        assign(pa.array(["trian"]), ["a"], seed=0)


def test_a_key_on_both_sides_is_a_leak():
    report = SplitReport.of(np.array(["train", "test", "test", "valid"]), ["a", "a", "b", None])
    assert (report.train, report.valid, report.test, report.leak_check) == (1, 1, 2, 1)
    assert "1 keys stand in more than one split" in str(report)


@given(times=st.lists(st.integers(0, 50), min_size=1, max_size=40))
def test_the_past_teaches_and_the_newest_judges(times):
    at_us = np.array(times, np.int64)
    try:
        split = by_time(at_us, valid=0.2, test=0.2)
    except DataError:
        assert len(set(times)) < len(times) or len(times) < 3
        return
    rank = {"train": 0, "valid": 1, "test": 2}
    found = sorted((time, rank[name]) for time, name in zip(times, split.tolist(), strict=True))
    assert [place for _, place in found] == sorted(place for _, place in found)
    assert all(len({place for t, place in found if t == time}) == 1 for time in times)


def test_shares_must_leave_something_to_learn_from():
    with pytest.raises(ValueError, match="below 1"):
        assign(None, ["a"], seed=0, valid=0.5, test=0.5)


@given(rows=st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 5)), max_size=20))
def test_each_shopper_s_last_row_judges_and_the_one_before_it_steers(rows):
    at_us = np.array([at for _, at in rows], np.int64)
    split = leave_one_out([who for who, _ in rows], at_us)
    for shopper in {who for who, _ in rows}:
        mine = sorted((at, place) for place, (who, at) in enumerate(rows) if who == shopper)
        words = [str(split[place]) for _, place in mine]
        if shopper is None or len(mine) == 1:
            assert set(words) == {"train"}
        else:
            assert words[-1] == "test"
            assert words[-2] == ("valid" if len(mine) > 2 else "train")
            assert set(words[:-2]) <= {"train"}
    report = SplitReport.of(split, [who for who, _ in rows], "leave_one_out", at_us)
    assert report.leak_check == 0
    assert "each shopper's last row judges" in str(report)


def test_one_source_judges_and_teaches_nothing():
    source = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    split = by_source(source, seed=0)
    assert {source[place] for place in np.flatnonzero(split == "test")} == {"c"}
    assert (split == "valid").any()
    assert SplitReport.of(split, source, "source").leak_check == 0
    chosen = by_source(source, seed=0, held_out="a")
    assert (chosen[:60] == "test").all()
    assert SplitReport.of(np.array(["train", "test"]), ["a", "a"], "source").leak_check == 1
    with pytest.raises(DataError, match="no source `d`"):
        by_source(source, seed=0, held_out="d")
    with pytest.raises(DataError, match="all 2 rows have one source"):
        by_source(["a", "a"], seed=0)


def test_a_row_that_teaches_what_is_later_is_a_leak():
    times = np.array([1, 2, 3])
    assert SplitReport.of(np.array(["train", "valid", "test"]), [None] * 3, "time", times).leak_check == 0
    broken = SplitReport.of(np.array(["train", "test", "train"]), [None] * 3, "time", times)
    assert broken.leak_check == 1
    assert "1 rows teach what is not older" in str(broken)
    assert SplitReport.of(np.array(["test", "train"]), ["a", "a"], "leave_one_out", times[:2]).leak_check == 1
