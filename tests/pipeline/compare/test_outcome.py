"""What a comparison says in words: who is best, who does as well for less, and when the plain method is enough."""

import pytest

from shoplm.evaluate.bootstrap import Estimate
from shoplm.evaluate.compare_page import Row
from shoplm.pipeline.compare.outcome import verdict


def row(name, value, behind=None, *, seconds=None, candidate="", chosen=False):
    gap = None if behind is None else Estimate(*behind)
    return Row(name, Estimate(value, value - 0.1, value + 0.1), gap, valid=0.8, seconds=seconds, candidate=candidate, chosen=chosen)


@pytest.mark.parametrize(
    ("behind", "said"),
    [
        ((0.2, 0.1, 0.3), "TF-IDF is better: the plain method is enough here"),
        ((0.0, -0.1, 0.1), "TF-IDF does as well: the plain method is enough here"),
        ((-0.2, -0.3, -0.1), None),
    ],
)
def test_a_plain_method_that_is_as_good_or_better_is_named_as_that(behind, said):
    found = verdict(
        [row("lora", 0.8, seconds=9, candidate="lora", chosen=True), row("TF-IDF", 0.8 + behind[0], behind)], "macro_f1", "test", 40, 3
    )
    assert found.startswith("lora is best on validation (0.800, the mean over 3 seeds).")
    assert (said in found) if said else ("TF-IDF" not in found)


def test_one_that_ties_in_half_the_time_is_named_and_one_that_is_better_is_no_reason_to_choose_it():
    rows = [
        row("full", 0.8, seconds=100, candidate="full", chosen=True),
        row("head", 0.79, (-0.01, -0.03, 0.01), seconds=10, candidate="head"),
        row("lora", 0.85, (0.05, 0.01, 0.09), seconds=200, candidate="lora"),
    ]
    found = verdict(rows, "macro_f1", "test", 40, 1)
    assert "head ties with it there in 10 % of the time" in found
    assert "lora did better on the test rows; validation did not see it" in found
