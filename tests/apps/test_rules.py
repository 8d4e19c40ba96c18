"""Rules: what they bar, promote and pin, for whom; and that they look only at what they name."""

import numpy as np
import pyarrow as pa
import pytest

from shoplm.apps.rules import NONE, RulesConfig, of, read
from shoplm.errors import ConfigError

KINDS = {"brand": "text", "price": "number", "shopper.new": "flag", "shopper.country": "text"}
ITEMS = pa.table({"brand": ["Acme", "Bolt", None], "price": [5.0, None, 20.0]})
PLACE = {"a": 0, "b": 1, "c": 2}


def made(**given):
    return of(RulesConfig.of(given), KINDS)


def test_no_rules_bar_nothing():
    found = NONE.applied(ITEMS, PLACE)
    assert not found.barred.any()
    assert found.boost.tolist() == [1, 1, 1]
    assert not found.pins


def test_filters_must_hold_and_hides_must_not_and_each_is_counted():
    found = made(filter=["price < 10"], hide=['brand == "Acme"', 'brand == "Zeta"']).applied(ITEMS, PLACE)
    assert found.barred.tolist() == [True, True, True]  # Acme is hidden; a price that is not known is not below 10; 20 is above
    assert dict(found.bars) == {"filter 1 (price < 10)": 2, 'hide 1 (brand == "Acme")': 1, 'hide 2 (brand == "Zeta")': 0}


def test_promotions_multiply():
    rules = made(promote=[{"when": "price < 100", "by": 2.0}, {"when": 'brand == "Acme"', "by": 0.5}, {"when": "price > 10", "by": 3.0}])
    np.testing.assert_allclose(rules.applied(ITEMS, PLACE).boost, [1, 1, 6])


def test_of_two_pins_on_one_place_the_first_that_is_meant_stands_and_an_unknown_item_nowhere():
    rules = made(pin=[{"item": "a", "place": 1, "when": "shopper.new"}, {"item": "b", "place": 1}, {"item": "zz", "place": 2}])
    assert rules.applied(ITEMS, PLACE, {"new": True}).pins == {0: 0}
    assert rules.applied(ITEMS, PLACE, {"new": False}).pins == {0: 1}


def test_rules_say_which_columns_they_read_and_whether_they_look_at_the_shopper():
    assert made(filter=["price < 10"], cap={"brand": 2}).columns == {"price", "brand"}
    assert not made(filter=["price < 10"]).asks_who
    assert made(hide=['shopper.country == "DE"']).asks_who
    assert made(hide=['shopper.country == "DE"']).applied(ITEMS, PLACE, {"country": "DE"}).barred.all()


def test_a_file_is_read_and_a_faulty_one_named(tmp_path):
    (tmp_path / "r.yaml").write_text("cap: {brand: 2}\npromote:\n- when: price < 3\n  by: 1.5\n", "utf-8")
    assert read(tmp_path / "r.yaml", KINDS).caps == {"brand": 2}
    for text, said in (
        ("cap: {brand: 0}", "greater than 0"),
        ("hide: 3", "`hide`"),
        ("- a", "key: value"),
        ("pin: [{item: a, place: 0}]", "`pin.0.place`"),
    ):
        (tmp_path / "r.yaml").write_text(text, "utf-8")
        with pytest.raises(ConfigError, match=r"r\.yaml") as caught:
            read(tmp_path / "r.yaml", KINDS)
        assert said in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "none.yaml", KINDS)
