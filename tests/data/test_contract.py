"""The contract holds together and its page is current."""

from pathlib import Path

import pytest

from shoplm.data import contract
from shoplm.errors import DataError

PAGE = Path(__file__).parents[2] / "docs" / "contract.md"


def test_the_docs_page_is_what_the_declarations_say():
    assert PAGE.read_text(encoding="utf-8") == contract.markdown()


@pytest.mark.parametrize("table", contract.TABLES.values(), ids=lambda table: table.name)
def test_every_table_names_only_its_own_columns(table):
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)
    assert {*table.key, *table.derived, *(name for name, _ in table.fallback), *(n for group in table.any_of for n in group)} <= set(names)
    assert table.clock is None or table[table.clock].type == contract.TIME
    assert all(table[name].required for name in table.key if (table.name, name) != ("spend", "campaign_id"))  # not every channel is divided
    assert table.updated is None or table[table.updated].type == contract.TIME
    assert all(column.description for column in table.columns)
    assert table.clock or all(column.known in ("always", "later") for column in table.columns)


def test_an_unknown_table_or_column_is_answered_with_the_closest():
    with pytest.raises(DataError, match="did you mean `reviews`"):
        contract.table("review")
    with pytest.raises(DataError, match="did you mean `rating`"):
        contract.REVIEWS["ratng"]
