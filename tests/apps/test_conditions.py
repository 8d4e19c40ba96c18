"""Conditions: what holds of which item, absent values, refusals that name the place; any text is a tree or one clean refusal."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.apps.conditions import Both, Compared, Condition, Either, Inside, Not, OneOf, holds, names, parse
from shoplm.errors import ConfigError

KINDS = {
    "price": "number", "brand": "text", "availability": "text", "tags": "words", "sale": "flag", "age_days": "number", "shopper.country": "text",
    "shopper.segments": "words", "shopper.new": "flag",
}  # fmt: skip
ITEMS = pa.table({
    "price": pa.array([10.0, 60.0, None, 30.0]), "brand": ["Acme", "Bolt", None, "acme co"], "availability": ["in_stock", "backorder", None, "in_stock"],
    "tags": pa.array([["red", "new"], [], None, ["blue"]], pa.list_(pa.string())), "sale": [True, False, None, True], "age_days": [1, 400, 3, 30],
})  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("price < 50", [1, 0, 0, 1]),
        ('price < 50 and brand != "Acme"', [0, 0, 0, 1]),
        ("not price < 50", [0, 1, 0, 0]),  # where nothing is known nothing holds, nor its opposite
        ("price is null", [0, 0, 1, 0]),
        ("price is not null and (age_days > 20 or sale)", [1, 1, 0, 1]),
        ('brand in ("Acme", "Bolt")', [1, 1, 0, 0]),
        ("brand not in ['Acme']", [0, 1, 0, 1]),
        ("price in (10, 30)", [1, 0, 0, 1]),
        ("age_days in (1, 3)", [1, 0, 1, 0]),
        ('brand contains "ACME"', [1, 0, 0, 1]),
        ('tags contains "new"', [1, 0, 0, 0]),
        ("sale == false", [0, 1, 0, 0]),
        ("sale", [1, 0, 0, 1]),
        ("price >= -1e1 AND NOT sale", [0, 1, 0, 0]),
        ('sale or price > 50 and brand == "Acme"', [1, 0, 0, 1]),  # `and` binds closer than `or`
        ('shopper.country == "DE"', [1, 1, 1, 1]),
        ('shopper.country == "FR" or price < 20', [1, 0, 0, 0]),
        ('shopper.segments contains "vip" and sale', [1, 0, 0, 1]),
        ("shopper.new", [0, 0, 0, 0]),
        ("shopper.new is null", [1, 1, 1, 1]),
    ],
)
def test_a_condition_holds_of_these_items(text, expected):
    found = holds(parse(text, KINDS), ITEMS, {"country": "DE", "segments": ["vip"]})
    assert found.astype(int).tolist() == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "column 1: seen the end, expected a column's name"),
        ("prise < 5", "column 1: no column `prise`; did you mean `price`?"),
        ("price < 5 and brnad == 'x'", "column 15: no column `brnad`; did you mean `brand`?"),
        ("price < 'x'", "column 9: seen `'x'`, expected a number"),
        ("brand < 'x'", "column 7: seen `<`, expected == or !="),
        ("price < 5)", "column 10: seen `)`, expected `and`, `or` or the end"),
        ("(price < 5", "column 11: seen the end, expected `)`"),
        ("price contains 'x'", "column 7: seen `contains`, expected a comparison"),
        ("brand == 'x", "column 10: a text begins with ' and never ends"),
        ("price < 5; drop", "column 10: seen ';'"),
        ("__import__('os').system('x')", "column 17: seen '.', expected a name"),
        ("tags == 'x'", "column 6: seen `==`, expected `contains`"),
        ("brand in ()", "column 11: seen `)`, expected a text in quotes"),
        ("not " * 100 + "sale", "more than 50"),
        ("(" * 5000 + "sale", "more than 50"),
        ("x" * 20_000, "20,000 characters"),
    ],
)
def test_what_is_no_condition_is_refused_at_its_place(text, said):
    with pytest.raises(ConfigError) as caught:
        parse(text, KINDS, "rules: filter 1")
    assert str(caught.value).startswith("rules: filter 1: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


PIECES = st.sampled_from(
    [*KINDS, "and", "or", "not", "in", "contains", "is", "null", "true", "(", ")", "[", ",", "<", "==", "!=", "5", "-1", "'a'", '"b"']
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=14).map(" ".join)))
def test_any_text_is_a_condition_that_can_be_asked_or_one_refusal(text):
    try:
        found = parse(text, KINDS)
    except ConfigError:
        return
    assert names(found) <= set(KINDS)
    answer = holds(found, ITEMS, {"country": "DE"})
    assert answer.dtype == bool
    assert len(answer) == ITEMS.num_rows


@st.composite
def trees(draw, depth=3):
    """A condition in words, and a plain function that says the same of a row (None = unknown)."""
    kind = draw(st.sampled_from(["leaf", "not", "and", "or"])) if depth else "leaf"
    if kind == "leaf":
        at = draw(st.integers(0, 60))
        return draw(st.sampled_from([
            (f"price < {at}", lambda row: None if row["price"] is None else row["price"] < at),
            ("sale", lambda row: row["sale"]),
            ("brand == 'Acme'", lambda row: None if row["brand"] is None else row["brand"] == "Acme"),
            ("price is null", lambda row: row["price"] is None),
        ]))  # fmt: skip
    if kind == "not":
        text, plain = draw(trees(depth=depth - 1))
        return f"not ({text})", lambda row: None if plain(row) is None else not plain(row)
    (one, first), (other, second) = draw(trees(depth=depth - 1)), draw(trees(depth=depth - 1))
    decisive = kind == "or"

    def both(row):
        said = (first(row), second(row))
        return decisive if decisive in said else None if None in said else not decisive

    return f"({one}) {kind} ({other})", both


ROWS = [
    {"price": price, "sale": sale, "brand": brand}
    for price in (10.0, 50.0, None)
    for sale in (True, False, None)
    for brand in ("Acme", "Bolt", None)
]
"""Every combination of known and unknown values."""


@settings(max_examples=150, deadline=None)
@given(trees())
def test_what_holds_is_what_a_plain_reading_of_each_row_says(tree):
    text, plain = tree
    expected = [plain(row) is True for row in ROWS]
    assert holds(parse(text, KINDS), pa.Table.from_pylist(ROWS)).tolist() == expected


def test_a_tree_is_of_frozen_parts():
    found: Condition = parse("price < 5 and not (brand in ('a') or tags contains 'b')", KINDS)
    assert isinstance(found, Both)
    assert isinstance(found.parts[0], Compared)
    assert isinstance(found.parts[1], Not)
    assert isinstance(found.parts[1].of, Either)
    assert [type(part) for part in found.parts[1].of.parts] == [OneOf, Inside]
    with pytest.raises(AttributeError):
        found.parts = ()
    assert names(found) == {"price", "brand", "tags"}
