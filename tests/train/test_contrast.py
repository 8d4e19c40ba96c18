"""The contrastive losses against loops that anyone would write, and batches in which every label has company."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from shoplm.train.contrast import Alike, anchors, likeness, pairs, simcse, supervised

RANDOM = np.random.default_rng(0)


def rows(count, width=5):
    return F.normalize(torch.from_numpy(RANDOM.normal(size=(count, width))), dim=-1)


def batches(labels, batch_size=8, seed=0, epochs=2):
    return Alike(np.ones(len(labels), np.int64), epochs, batch_size, np.asarray(labels, np.int64), seed)


def test_the_supervised_loss_is_that_of_the_paper_row_by_row():
    row, labels = rows(7), [0, 0, 0, 1, 1, 2, -1]
    found = supervised(row, torch.from_numpy(likeness(np.array(labels))).double(), 0.2)
    total, count = 0.0, 0
    for i in range(7):
        like = [p for p in range(7) if p != i and labels[p] == labels[i] != -1]
        if like:
            below = sum(torch.exp(row[i] @ row[a] / 0.2) for a in range(7) if a != i)
            total += -sum(torch.log(torch.exp(row[i] @ row[p] / 0.2) / below) for p in like) / len(like)
            count += 1
    assert (found.count, count) == (5, 5)
    torch.testing.assert_close(found.total, total, rtol=1e-6, atol=0)  # likeness is float32: ones and zeros, so only sums reorder


def test_the_loss_of_pairs_weighs_like_and_unlike_ones_the_same():
    row, labels = rows(6), [0, 0, 0, 1, 1, 2]
    found = pairs(row, torch.from_numpy(likeness(np.array(labels))).double())
    cosines = {(i, j): float(row[i] @ row[j]) for i in range(6) for j in range(i)}
    like = [(1 - cosine) ** 2 for (i, j), cosine in cosines.items() if labels[i] == labels[j]]
    unlike = [cosine**2 for (i, j), cosine in cosines.items() if labels[i] != labels[j]]
    assert (len(like), len(unlike)) == (4, 11)
    assert found.count == 5  # the sixth row has no like one
    assert float(found.mean) == pytest.approx((np.mean(like) + np.mean(unlike)) / 2, rel=1e-9)


def test_the_loss_without_labels_asks_for_the_same_text_among_all_others():
    row = rows(8)
    near = (row[:4] @ row[4:].T / 0.05).numpy()
    each = [np.log(np.exp(near[i]).sum()) - near[i, i] + np.log(np.exp(near[:, i]).sum()) - near[i, i] for i in range(4)]
    found = simcse(row, 0.05)
    assert found.count == 8
    assert float(found.total) == pytest.approx(sum(each), rel=1e-9)


def test_likeness_of_several_labels_is_the_share_of_those_both_know_that_both_say_yes_to():
    unknown = np.nan
    target = np.array([[1, 1, 0], [1, 0, 0], [unknown, 1, 1], [0, 0, 0]], np.float32)
    # rows 0, 1: yes to {0} of {0, 1}; rows 0, 2: known to both are 1 and 2, yes to {1} of {1, 2}; rows 1, 2: nothing in common
    assert likeness(target).tolist() == [[0, 0.5, 0.5, 0], [0.5, 0, 0, 0], [0.5, 0, 0, 0], [0, 0, 0, 0]]
    assert anchors(likeness(target)) == 3


def test_rows_without_label_are_like_no_other():
    assert likeness(np.array([-1, -1, 3, 3])).sum() == 2


def test_a_batch_without_any_like_pair_gives_nothing_and_no_nan():
    row = rows(3).requires_grad_()
    nothing = torch.zeros(3, 3, dtype=torch.float64)
    for tally in (supervised(row, nothing, 0.1), pairs(row, nothing)):
        assert tally.count == 0
        tally.total.backward()
        assert torch.isfinite(row.grad).all()


@given(labels=st.lists(st.integers(-1, 6), max_size=60), batch_size=st.integers(4, 17), seed=st.integers(0, 5))
def test_every_labelled_row_comes_once_or_twice_a_pass_and_never_without_a_like_one(labels, batch_size, seed):
    found = batches(labels, batch_size, seed)
    for epoch in range(2):
        made = found.epoch(epoch)
        drawn = np.concatenate(made) if made else np.zeros(0, np.int64)
        counts = np.bincount(drawn, minlength=len(labels))
        for at, label in enumerate(labels):
            assert counts[at] in ((1, 2) if label >= 0 else (0,))
        assert sum(counts == 2) <= len(set(labels))  # at most one row of a label a second time
        for batch in made:
            assert len(batch) <= batch_size
            assert all((np.asarray(labels)[batch] == labels[at]).sum() >= 2 for at in batch)


def test_a_pass_grows_with_the_rows_and_not_with_their_pairs():
    labels = np.arange(4000) % 4
    assert len(batches(labels[:400], 40).epoch(0)) == 10
    assert len(batches(labels, 40).epoch(0)) == 100


def test_the_rows_of_a_step_depend_on_seed_and_step_alone():
    labels = RANDOM.integers(0, 5, 50)
    first, second = batches(labels, seed=3), batches(labels, seed=3)
    order = list(range(first.steps))
    forwards = {step: first.rows(step).tolist() for step in order}
    assert {step: second.rows(step).tolist() for step in reversed(order)} == forwards
    assert forwards != {step: batches(labels, seed=4).rows(step).tolist() for step in order}
    assert first.epoch(0)[0].tolist() != first.epoch(1)[0].tolist()
