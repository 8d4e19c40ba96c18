"""Lists come out of a shop's events with the clicks that belong to them, and not at all where there are too few to learn from."""

import numpy as np
import pyarrow as pa
import pytest

from shoplm.data import contract
from shoplm.data.shop import Shop
from shoplm.pipeline import shown
from shoplm.pipeline.shown import exposures_of

MINUTE = 60_000_000


def event(number, minute, name, session, **more):
    plain = {"user_id": "ann", "item_id": None, "item_list_name": None, "index": None, "impression": None}
    return {"event_id": f"e{number}", "event_time": minute * MINUTE, "event_name": name, "session_id": session, **plain, **more}


EVENTS = [
    event(1, 1, "view_item", "s1", item_id="b", item_list_name="for_you", index=1),  # before the list: of an earlier page
    event(2, 2, "view_item_list", "s1", item_list_name="for_you", impression=["a", "b", "new"]),
    event(3, 3, "view_item", "s1", item_id="a", item_list_name="for_you", index=0),
    event(4, 4, "view_item", "s1", item_id="c", item_list_name="search", index=0),  # of another list
    event(5, 5, "view_item", "s2", item_id="b", item_list_name="for_you", index=1),  # of another session
    event(6, 6, "view_item_list", "s3", user_id="bob", item_list_name="for_you", impression=["c", "a"]),
    event(7, 7, "view_item", "s3", user_id="bob", item_id="a"),  # looked at, not out of a list
    event(8, 8, "view_item_list", "s4", user_id="unknown", impression=["a", "b"]),
    event(9, 9, "view_item_list", "s5", user_id="bob", impression=["c"]),  # no choice
]


@pytest.fixture(scope="module")
def view(tmp_path_factory):
    made = Shop(tmp_path_factory.mktemp("shown") / "shop", create=True)
    rows = pa.Table.from_pylist(EVENTS)
    times = pa.array(rows["event_time"].to_pylist(), pa.int64()).cast(contract.TIME)
    made.upsert("events", rows.set_column(rows.schema.get_field_index("event_time"), "event_time", times))
    return made.view()


def test_a_click_belongs_to_the_list_of_its_session_and_name_shown_before_it(view, monkeypatch):
    monkeypatch.setattr(shown, "LEAST", 1)
    found = exposures_of(view, pa.array(["bob", "ann"]), ["a", "b", "c"])
    assert found.items.tolist() == [0, 1, 2, 0]  # `new` is no item that is known
    assert found.start.tolist() == [0, 2, 4]
    assert found.owner.tolist() == [1, 0]
    assert found.at_us.tolist() == [2 * MINUTE, 6 * MINUTE]
    assert found.until_us.tolist() == [3 * MINUTE, 6 * MINUTE]
    assert np.flatnonzero(found.clicked).tolist() == [0]


def test_too_few_clicks_teach_nothing(view):
    assert exposures_of(view, pa.array(["bob", "ann"]), ["a", "b", "c"]) is None
    assert exposures_of(view, pa.array([], pa.string()), []) is None
