"""A search: ends by number or by seconds, halves by validation, goes on after a kill with the same draws."""

from __future__ import annotations

import pytest

from shoplm.pipeline.compare.attempt import Attempt
from shoplm.pipeline.compare.search import Limits, Quest, Studies, Trial, best, front, search
from shoplm.pipeline.compare.spaces import OneOf, Span
from shoplm.pipeline.progress import Silent

SPACE = {"learning_rate": Span(1e-4, 1e-1), "r": Span(4, 64, whole=True), "prefix_init": OneOf(("text", "random"))}
FIRST = {"learning_rate": 1e-3, "r": 16, "prefix_init": "text"}


def quality(params):
    """Best at a rate of 1e-2 and a rank of 32."""
    return 1 - abs(params["learning_rate"] - 1e-2) - abs(params["r"] - 32) / 1000


def trying(seconds=1.0, seen=None):
    """A trial that takes ``seconds`` and is as good half-way as at its end."""

    def attempt(params, allowed, rung):
        if seen is not None:
            seen.append(dict(params))
        for part in (1, 2):
            if not rung(part, quality(params)):
                return Attempt("halved", None, seconds * part / 4)
        if seconds > allowed:
            return Attempt("out of time", None, allowed + 0.01)
        return Attempt("done", quality(params), seconds, latency_ms=params["r"], kept_bytes=params["r"])

    return attempt


def run(folder, attempt, trials=8, seconds=1e9, objective=("quality",), seed=0):
    studies = Studies(folder / "study.db", objective)
    try:
        return search(studies, Quest("lora", SPACE, FIRST, attempt), Limits(trials, seconds), seed, Silent())
    finally:
        studies.close()


def test_the_first_trial_is_the_recipe_as_it_is_and_the_best_is_never_below_it(tmp_path):
    found = run(tmp_path, trying())
    assert dict(found[0].params) == FIRST
    assert found[0].state == "done"
    assert best(found).value >= quality(FIRST)
    assert sum(trial.counts for trial in found) == 8
    for trial in found:
        assert 1e-4 <= trial.params["learning_rate"] <= 1e-1
        assert 4 <= trial.params["r"] <= 64


def test_the_worse_half_is_stopped_early_and_the_best_is_not(tmp_path):
    found = run(tmp_path, trying(), trials=16)
    halved = [trial for trial in found if trial.state == "halved"]
    assert 4 <= len(halved) < 16
    assert all(trial.seconds < 1 for trial in halved)
    assert max(trial.value for trial in found) == best(found).value


def test_a_search_ends_when_its_seconds_are_used_but_the_first_trial_is_brought_to_its_end(tmp_path):
    found = run(tmp_path, trying(seconds=1.0), seconds=0.5)
    assert [trial.state for trial in found] == ["done"]
    assert run(tmp_path, trying(seconds=1.0), seconds=0.5) == found


def test_a_trial_that_runs_out_of_time_is_not_one_of_those_asked_for_and_more_seconds_go_on(tmp_path):
    found = run(tmp_path, trying(), seconds=1.6)
    assert not found[-1].counts or sum(trial.seconds for trial in found) >= 1.6
    counted = sum(trial.counts for trial in found)
    more = run(tmp_path, trying(), seconds=1e9)
    assert more[: len(found)] == found
    assert sum(trial.counts for trial in more) == 8 > counted


def test_a_killed_search_goes_on_with_the_draws_of_one_never_killed(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole: list = []
    run(tmp_path / "whole", trying(seen=whole))
    seen: list = []
    for survived in (0, 0, 3):
        left = iter(range(survived))
        there = trying(seen=seen)

        def dying(params, allowed, rung, left=left, there=there):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return there(params, allowed, rung)

        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "killed", dying)
    found = run(tmp_path / "killed", trying(seen=seen))
    assert seen == whole
    assert [trial.state for trial in found].count("killed") == 3
    assert sum(trial.counts for trial in found) == 8


def test_another_seed_draws_other_values(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert run(tmp_path / "a", trying(), trials=2)[1].params != run(tmp_path / "b", trying(), trials=2, seed=1)[1].params


def test_a_trial_that_diverged_counts_and_is_never_the_best(tmp_path):
    def attempt(params, allowed, rung):
        if params == FIRST:
            return Attempt("diverged", None, 0.1)
        return Attempt("done", quality(params), 0.1)

    found = run(tmp_path, attempt, trials=3)
    assert [trial.state for trial in found] == ["diverged", "done", "done"]
    assert best(found).number > 0
    assert best(found[:1]) is None


def test_a_search_of_several_objectives_halves_nothing_and_keeps_what_no_other_beats(tmp_path):
    found = run(tmp_path, trying(), objective=("quality", "latency", "size"))
    assert [trial.state for trial in found] == ["done"] * 8
    kept = [trial for _, trial in front([("lora", trial) for trial in found], ("quality", "size"))]
    assert 1 <= len(kept) <= 8
    for trial in found:
        beaten = any(other.value >= trial.value and other.kept_bytes <= trial.kept_bytes for other in kept)
        assert beaten or trial in kept
    assert [trial.value for trial in kept] == sorted((trial.value for trial in kept), reverse=True)


def test_of_two_equal_trials_only_one_is_on_the_front():
    one, other = (Trial(number, "done", {}, 0.5, 1.0, 3.0, 10) for number in (0, 1))
    assert front([("a", one), ("b", other)], ("quality", "latency")) == [("a", one)]
