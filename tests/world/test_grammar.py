"""The grammar says what its text allows, and the same thing for the same seed."""

import numpy as np
import pytest

from shoplm.world.grammar import Grammar, pick_weighted
from shoplm.world.speech import grammars, reworded, slipped

TEXT = """
greeting = [good |]{time}, {name}
    | hello
time = morning | evening
shop.time = noon
"""


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_rule_says_all_its_alternatives_and_no_other():
    grammar, draws = Grammar(TEXT), rng()
    said = {grammar.say("greeting", draws, {"name": "Ann"}) for _ in range(200)}
    assert said == {"hello"} | {f"{good}{time}, Ann" for good in ("", "good ") for time in ("morning", "evening")}


def test_a_scope_hides_the_general_rule():
    grammar = Grammar(TEXT)
    assert grammar.say("time", rng(), scope="shop") == "noon"
    assert grammar.say("time", rng(), scope="elsewhere") in {"morning", "evening"}


@pytest.mark.parametrize("broken", ["a = [b", "a = b]", "a = b\na = c"])
def test_a_broken_grammar_is_refused_with_the_name_of_its_rule(broken):
    with pytest.raises(ValueError, match="`a`"):
        Grammar(broken)


def test_a_weighted_pick_follows_its_weights():
    draws = rng()
    picked = [pick_weighted(draws, {"a": 3.0, "b": 1.0}) for _ in range(4000)]
    assert picked.count("a") == pytest.approx(3000, abs=4 * (4000 * 0.75 * 0.25) ** 0.5)  # four standard deviations


@pytest.mark.parametrize("language", ["en", "zh"])
def test_both_languages_have_words_for_the_same_rules(language):
    ours, english = grammars(language), grammars("en")
    aspects = {name for name in english.reviews.names() if name.endswith((".x", ".pos", ".neg"))}
    assert aspects <= set(ours.reviews.names())
    assert {f"{kind}_{part}" for kind in ("pos", "neg", "mid") for part in ("frame", "whole", "title")} <= set(ours.reviews.names())
    assert {name for name in english.catalogue.names() if "." in name and not name.endswith(".piece")} <= set(ours.catalogue.names())


def test_slips_spare_order_numbers_and_mail_addresses():
    text = "please send order A-12345678 to anna41@example.com before Wednesday"
    worn = [slipped(text, 1.0, rng(seed), "en") for seed in range(20)]
    assert all("A-12345678" in line and "anna41@example.com" in line for line in worn)
    assert all(line != text for line in worn)


def test_other_words_replace_only_words_that_have_any():
    assert reworded("send the parcel", Grammar("parcel = box"), 1.0, rng()) == "send the box"
