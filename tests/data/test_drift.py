"""The one pass over a table counts every column as a plain count of that column does."""

import math

import numpy as np
import pyarrow as pa
import pytest

from shoplm.data import contract
from shoplm.data.health import drift
from shoplm.data.shop import Shop

ROWS = 3000
WEEK_US = 7 * 86_400_000_000
START_US = 1_750_000_000_000_000


def test_the_index_of_every_column_is_that_of_its_own_counts(tmp_path):
    random = np.random.default_rng(0)
    week = random.integers(0, 12, ROWS)
    late = week >= 8
    words = {
        "device": np.where(late & (random.random(ROWS) < 0.5), "tablet", random.choice(["mobile", "desktop"], ROWS)).tolist(),
        "country": [None if n % 3 == 0 else str(random.choice(["GB", "DE", "CN"])) for n in range(ROWS)],
        "currency": [f"C{n}" for n in random.zipf(1.7, ROWS) % 40],  # more values than are looked at one by one
    }
    at = START_US // WEEK_US * WEEK_US + week * WEEK_US + random.integers(0, WEEK_US, ROWS)
    price = np.where(late, 3.0, 1.0) * random.lognormal(0, 1, ROWS)
    shop = Shop(tmp_path / "shop", create=True)
    shop.upsert("events", pa.table({"event_id": [f"e{n}" for n in range(ROWS)], "event_time": pa.array(at, contract.TIME), "event_name": ["view_item"] * ROWS,
                                    "user_id": [f"u{n}" for n in range(ROWS)], "item_id": ["i"] * ROWS, "price": price.round(2), **words}))  # fmt: skip
    edge = START_US // WEEK_US * WEEK_US + 8 * WEEK_US
    since = shop.view().sql(f"select make_timestamp({edge})").column(0)[0].as_py()
    assert since.hour == since.minute == 0  # so that a day says it
    after = at >= edge
    found = {name: psi for name, psi, _ in drift._columns(shop.view(), contract.EVENTS, since)}
    for name, values in words.items():
        counts: dict[str, list[int]] = {}
        for value, is_after in zip(values, after.tolist(), strict=True):
            if value is not None:
                counts.setdefault(value, [0, 0])[is_after] += 1
        cells = [pair for _, pair in sorted(counts.items(), key=lambda item: (-sum(item[1]), item[0]))]
        cells = cells[: drift.VALUES] + (
            [[sum(column) for column in zip(*cells[drift.VALUES :], strict=True)]] if cells[drift.VALUES :] else []
        )
        whole = [sum(column) for column in zip(*cells, strict=True)]
        p, q = ([(pair[side] + 0.5) / (whole[side] + 0.5 * len(cells)) for pair in cells] for side in (0, 1))
        assert found[name] == pytest.approx(sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True)), rel=1e-12)
    cuts = np.quantile(price.round(2)[~after], drift._TENTHS)
    cells = np.array([[((np.searchsorted(cuts, price) == part) & side).sum() for part in range(10)] for side in (~after, after)])
    shares = (cells + 0.5) / (cells.sum(1, keepdims=True) + 5)
    # DuckDB's cuts are approximate, to about a hundredth of the rows: a tenth of the index
    assert found["price"] == pytest.approx(float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()), rel=0.1)
    assert "quantity" not in found  # never filled
