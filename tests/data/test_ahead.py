"""What is made ahead comes in order, errors in their place, and nobody is left making."""

import pytest

from shoplm.data.ahead import ahead
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
