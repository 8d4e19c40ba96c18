"""Digests of keys tell different keys apart and say the same of the same key, however the rows lie."""

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplm.data import contract
from shoplm.data.keys import Keys

IDS = st.lists(
    st.one_of(st.text(max_size=9), st.sampled_from(["a", "aa", "aaa", "aaaa", "aaaaa", "é" * 256, "😀" * 256])), min_size=1, max_size=30
)


def of(keys, ids):
    with duckdb.connect() as con:
        hi, lo = keys.of(contract.table("events"), pa.table({"event_id": ids}), con)
    return list(zip(hi.tolist(), lo.tolist(), strict=True))


def by_hand(keys, text):
    """Multilinear hashing, one word after the other, with Python's own whole numbers."""
    raw = text.encode()
    lanes = []
    for secret in keys._secret.tolist():
        total = secret[0] + secret[1] * len(raw)
        for place in range(0, len(raw), 4):
            total += secret[2 + place // 4] * int.from_bytes(raw[place : place + 4], "little")
        lanes.append(total % 2**64 >> 32)
    return lanes[0] << 32 | lanes[1], lanes[2] << 32 | lanes[3]


@settings(max_examples=60, deadline=None)
@given(ids=IDS)
def test_a_key_has_the_hash_that_the_formula_says_whatever_lies_beside_it(ids):
    keys = Keys()
    found = of(keys, ids)
    assert found == [by_hand(keys, each) for each in ids]
    assert len(set(found)) == len(set(ids))
    sliced = pa.array(["x" * 40, *ids]).slice(1)
    assert of(keys, sliced) == found
    assert of(keys, pa.chunked_array([ids[:1], ids[1:]], pa.string())) == found


def test_another_import_has_another_secret():
    assert of(Keys(), ["a"]) != of(Keys(), ["a"])


@pytest.mark.parametrize("count", [0, 1])
def test_no_rows_and_empty_keys_are_no_trouble(count):
    assert len(of(Keys(), pa.array([""] * count, pa.string()))) == count
