"""Decisions as validation rows choose them."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from shoplm.evaluate.decide import FAVOURS, WEIGHTY, best_favour, best_favours, best_threshold, favoured


def test_favouring_divides_by_the_shares_and_keeps_probabilities_where_it_is_nothing():
    logs, shares = np.log([[0.4, 0.6]]), np.array([0.2, 0.8])
    np.testing.assert_allclose(favoured(logs, shares, 0.0), [[0.4, 0.6]], rtol=1e-6)  # float32
    np.testing.assert_allclose(favoured(logs, shares, 1.0), [[2 / 2.75, 0.75 / 2.75]], rtol=1e-6)  # .4 / .2 against .6 / .8


def test_the_best_favour_is_the_least_of_equals_and_nothing_where_nothing_counts():
    assert best_favour(lambda favour: min(favour, 0.5)) == 0.5
    assert best_favour(lambda favour: float("nan")) == 0.0


def test_few_rows_lean_on_what_all_questions_say_and_many_speak_for_themselves():
    worth = {
        "chance": lambda favour: 0.1 - abs(favour - 0.0) / 100,
        **{f"q{at}": lambda favour: 0.5 - abs(favour - 0.8) for at in range(6)},
    }
    few = best_favours(worth, dict.fromkeys(worth, 50))
    assert set(few.values()) == {0.8}
    many = best_favours(worth, {**dict.fromkeys(worth, 50), "chance": 10**6 * WEIGHTY})
    assert many["chance"] == 0.0
    assert many["q0"] == 0.8


@pytest.mark.parametrize("rows", [0, 7, 10**6])
def test_a_lone_question_has_the_favour_of_its_own_rows(rows):
    assert best_favours({"one": lambda favour: -((favour - 0.3) ** 2)}, {"one": rows}) == {"one": pytest.approx(0.3)}


def test_without_anything_that_counts_nothing_is_favoured():
    assert best_favours({"one": lambda favour: float("nan"), "two": lambda favour: min(favour, 0.5)}, {"one": 0, "two": 3}) == {
        "one": 0.5,  # what the other says
        "two": 0.5,
    }
    assert best_favours({"one": lambda favour: float("nan")}, {"one": 0}) == {"one": FAVOURS[0]}
    assert best_favours({}, {}) == {}


def test_with_many_rows_the_threshold_is_that_of_the_best_f1():
    rng = np.random.default_rng(0)
    sure = rng.random(4000)
    event = (rng.random(4000) < sure**3).astype(float)  # the probabilities are wrong: the rows must be heard
    found = best_threshold(sure, event)
    best = max(f1_score(event, sure >= step) for step in np.linspace(0.01, 0.99, 99))
    assert f1_score(event, sure >= found) > best - 0.005
    holes = np.append(event, [np.nan] * 5)
    assert best_threshold(np.append(sure, [0.5] * 5), holes) == found


def test_a_few_rows_move_it_little_and_without_any_yes_it_is_what_the_probabilities_expect():
    rng = np.random.default_rng(1)
    sure = rng.beta(1, 4, 60)
    order = np.argsort(-sure)
    expected = [2 * sure[order[:k]].sum() / (k + sure.sum()) for k in range(1, 61)]
    cut = sure[order[int(np.argmax(expected))]]
    assert best_threshold(sure, np.zeros(60)) <= cut
    assert (sure >= best_threshold(sure, np.zeros(60))).sum() == np.argmax(expected) + 1
    assert best_threshold(np.array([]), np.array([])) == 0.5
    assert best_threshold(np.array([0.3, 0.3]), np.array([1.0, 0.0])) == pytest.approx(0.15)  # equals are decided alike
