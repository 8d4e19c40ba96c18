"""What is made ahead comes in order, errors in their place, and nobody is left making."""

import time

import pytest

from shoplm.data.ahead import ahead, spread
from shoplm.errors import DataError


def test_reading_ahead_keeps_order_and_raises_where_the_error_came():
    def values():
        yield from range(5)
        raise DataError("here")

    found = []
    with pytest.raises(DataError, match="here"):
        found.extend(ahead(values()))
    taken = ahead(iter(range(10**9)))
    assert [next(taken), next(taken)] == [0, 1]
    taken.close()  # ends its thread


def test_work_spread_over_threads_keeps_order_and_raises_where_the_error_came():
    def work(value: int) -> int:
        if value == 7:
            raise DataError("here")
        time.sleep(0.002 * (7 - value))  # later values are ready sooner
        return value * 2

    found = []
    with pytest.raises(DataError, match="here"):
        found.extend(spread(work, iter(range(20)), workers=3))
    assert found == [0, 2, 4, 6, 8, 10, 12]


def test_work_is_spread_no_further_ahead_than_the_threads():
    taken: list[int] = []

    def values():
        for value in range(10**9):
            taken.append(value)
            yield value

    done = spread(lambda value: value, values(), workers=2)
    assert [next(done), next(done)] == [0, 1]
    assert len(taken) <= 4
    done.close()
