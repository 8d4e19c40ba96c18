"""profile: every claim is a sum over acts that it names, fades with them, and says nothing that they do not."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplm.apps.profile import ACTS, DAY_US, HALF_LIFE_DAYS, Act, Review, drawn, fading

NOW = 20_000 * DAY_US


def act(number, name="purchase", kind="Shoes", days=1.0, price=10.0, **more):
    return Act(
        f"e{number}", NOW - int(days * DAY_US), name, f"thing {number}", f"i{number}", price, 1.0, {"kind": kind} if kind else {}, **more
    )


def of(acts, reviews=(), paid=None, usual=None):
    acts = sorted(acts, key=lambda one: one.at_us)
    return drawn("ann", ["ann"], acts, reviews, usual=usual or {"kind": {"Shoes": 0.1}}, paid=paid or {}, currency="GBP", at_us=NOW)


def test_an_act_says_half_after_each_half_life():
    assert fading(int(HALF_LIFE_DAYS * DAY_US)) == pytest.approx(0.5)
    found = of([act(1), act(2), act(3, kind="Mugs", days=1 + HALF_LIFE_DAYS), act(4, kind="Mugs", days=1 + HALF_LIFE_DAYS)])
    assert {claim.value: claim.share for claim in found.tastes} == {"Shoes": pytest.approx(2 / 3), "Mugs": pytest.approx(1 / 3)}
    assert found.tastes[0].usual == 0.1


def test_one_act_is_no_taste():
    assert of([act(1)]).tastes == ()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["purchase", "view_item", "search", "refund"]), st.sampled_from(["Shoes", "Mugs", ""]), st.floats(0.1, 900)
        ),
        max_size=30,
    )
)
def test_every_claim_rests_on_acts_that_say_it(rows):
    found = of([act(number, name, kind, days) for number, (name, kind, days) in enumerate(rows)])
    assert sum(claim.share for claim in found.tastes) <= 1 + 1e-9
    for claim in found.tastes:
        assert claim.acts >= ACTS
        assert claim.evidence
        assert all(one.facets["kind"] == claim.value and one.name in ("purchase", "view_item") for one in claim.evidence)
        assert claim.acts == sum(kind == claim.value and name in ("purchase", "view_item") for name, kind, _ in rows)
    for line in found.over_time.values():
        assert len(line) == len(found.months)
        assert all(math.isnan(one) or 0 <= one <= 1 + 1e-9 for one in line)
    assert (found.rhythm is None) == (not rows)


def test_the_price_band_is_of_what_was_bought_and_placed_among_what_others_paid():
    found = of(
        [act(at, price=float(at)) for at in range(1, 6)] + [act(9, "view_item", price=500.0)],
        paid={"Shoes": [float(at) for at in range(1, 101)]},
    )
    assert (found.price.low, found.price.middle, found.price.high) == (2.0, 3.0, 4.0)
    assert found.price.place == pytest.approx((0.5 + 1.5 + 2.5 + 3.5 + 4.5) / 5 / 100)  # the mid-ranks of 1 to 5 among 100
    assert found.price.words == "cheaper than most"
    assert found.price.purchases == 5
    assert of([act(1), act(2)]).price.words == "nothing to compare with"


def test_rhythm_is_recency_frequency_and_money():
    rhythm = of(
        [act(1, days=30.5, price=5.0), act(2, days=20.5, price=7.0), act(3, days=4.5, price=8.0), act(4, "refund", days=2.5)]
    ).rhythm
    assert (rhythm.recency_days, rhythm.bought_days) == (2.5, 4.5)
    assert (rhythm.orders, rhythm.between_days, rhythm.spent, rhythm.returned, rhythm.visits) == (
        3,
        13.0,
        20.0,
        1,
        4,
    )  # gaps of 10 and 16 days


def test_likes_and_searches_are_counted_and_dated():
    reviews = [Review(act(number, "review"), 5.0, (("fit", "positive"), ("price", "negative"))) for number in (7, 8)]
    searches = [Act(f"s{at}", NOW - at, "search", words) for at, words in ((3, "red shoes"), (2, "Red Shoes"), (1, "mug"))]
    found = of(searches, reviews)
    assert [(claim.value, claim.acts) for claim in found.liked] == [("fit", 2)]
    assert [(claim.value, claim.acts) for claim in found.disliked] == [("price", 2)]
    assert [(claim.value, claim.acts, claim.share) for claim in found.searches] == [
        ("red shoes", 2, pytest.approx(2 / 3)),
        ("mug", 1, pytest.approx(1 / 3)),
    ]
    assert found.plain()["liked"][0]["evidence"][0]["id"] == "e8"
