"""A split is obeyed where given, and otherwise a pure function of seed and key."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplm.data.split import SplitReport, assign, by_time
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
