"""One person, one pseudonym, everywhere and always; nothing of what was hidden leaks."""

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplm.data import privacy
from shoplm.data.privacy import Doorkeeper, Pseudonyms, guard_for, key_from
from shoplm.data.shop import Shop
from shoplm.errors import DataError

KEY = {privacy.KEY: "correct horse battery staple"}
NAMES = Pseudonyms(KEY[privacy.KEY].encode())


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path / "shop", create=True)


def bytes_under(folder):
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_a_person_has_the_same_pseudonym_in_all_tables_and_all_imports(shop):
    for _ in range(2):
        guard = guard_for(shop, pseudonymise=True, redacting=False, environment=KEY)
        with shop.transaction(guard) as transaction:
            transaction.upsert("users", [pa.table({"user_id": ["anna"], "email_hash": ["ab" * 32], "customer_id": ["anna"]})])
            transaction.upsert(
                "events",
                [pa.table({"event_time": ["2024-01-01"], "event_name": ["view_item"], "user_id": ["anna"], "user_pseudo_id": ["dev"]})],
            )
            transaction.upsert("reviews", [pa.table({"review_id": ["r"], "item_id": ["i"], "user_id": ["anna"], "rating": [4]})])
            transaction.upsert("relations", [pa.table({"head": ["anna", "i"], "relation": ["same_as", "is_a"], "tail": ["dev", "dress"]})])
    who, device = NAMES.of("anna"), NAMES.of("dev")
    view = shop.view()
    assert shop.counts() == {"events": 1, "relations": 2, "reviews": 1, "users": 1}
    assert view.sql("select user_id, email_hash, customer_id from users").to_pylist() == [
        {"user_id": who, "email_hash": "ab" * 32, "customer_id": who}
    ]
    assert view.sql("select user_id, user_pseudo_id from events").to_pylist() == [{"user_id": who, "user_pseudo_id": device}]
    assert view.sql("select user_id from reviews")["user_id"].to_pylist() == [who]
    assert view.sql("select head, tail from relations order by relation").to_pylist() == [
        {"head": "i", "tail": "dress"},
        {"head": who, "tail": device},
    ]


def test_the_key_stays_outside_and_another_key_is_refused(shop, tmp_path):
    inside = shop.path / "key"
    inside.write_text("k" * 32)
    with pytest.raises(DataError, match="lies inside the shop"):
        key_from({privacy.KEY_FILE: str(inside)}, shop.path)
    inside.unlink()
    (tmp_path / "key").write_text("k" * 32)
    with pytest.raises(DataError, match="needs a key"):
        guard_for(shop, pseudonymise=True, redacting=False, environment={})
    with pytest.raises(DataError, match="expected at least 16"):
        guard_for(shop, pseudonymise=True, redacting=False, environment={privacy.KEY: "short"})
    guard_for(shop, pseudonymise=True, redacting=False, environment={privacy.KEY_FILE: str(tmp_path / "key")})
    with pytest.raises(DataError, match="have pseudonyms under"):
        guard_for(shop, pseudonymise=True, redacting=False, environment=KEY)
    with pytest.raises(DataError, match="import with --pseudonymise"):
        guard_for(shop, pseudonymise=False, redacting=False, environment={})
    assert b"k" * 32 not in bytes_under(shop.path)


def test_pseudonyms_begin_with_an_empty_shop(shop):
    shop.upsert("users", pa.table({"user_id": ["u"]}))
    with pytest.raises(DataError, match="already hold plain ids"):
        guard_for(shop, pseudonymise=True, redacting=False, environment=KEY)


def test_quarantine_and_report_do_not_say_what_was_hidden(tmp_path):
    shop = Shop(tmp_path / "shop", create=True)
    file = tmp_path / "reviews.csv"
    file.write_text("review_id,item_id,user_id,rating,body\nr1,i,u1,anna@example.com,call 0113 496 0453\nr2,i,u1,5,I am anna@example.com\n")
    guard = guard_for(shop, pseudonymise=False, redacting=True, environment={})
    report = shop.import_files(file, guard=guard)
    assert (report.quarantined, report.inserted) == (1, 1)
    assert "[EMAIL]" in report.tables["reviews"].first_fault
    assert b"anna@example.com" not in bytes_under(shop.path)
    assert shop.view().sql("select body from reviews")["body"].to_pylist() == ["I am [EMAIL]"]


def test_attributes_are_redacted_by_name_and_by_content():
    guard = Doorkeeper(None, True)
    rows = pa.table({"attributes": [json.dumps({"customer_name": "Xq Zw", "note": "mail a@example.com", "n": 1.5}), None, '{"a": 1}']})
    from shoplm.data import contract

    full = pa.table({c.name: rows["attributes"] if c.name == "attributes" else pa.nulls(3, c.type) for c in contract.ORDERS.columns},
                    schema=pa.schema([pa.field(c.name, c.type) for c in contract.ORDERS.columns]))  # fmt: skip
    assert guard.rows(contract.ORDERS, full)["attributes"].to_pylist() == [
        '{"customer_name":"[NAME]","note":"mail [EMAIL]","n":1.5}',
        None,
        '{"a": 1}',
    ]


@given(st.sets(st.text(min_size=1, max_size=40), max_size=30))
def test_pseudonyms_are_stable_and_tell_everybody_apart(names):
    assert len({NAMES.of(name) for name in names}) == len(names)
    assert all(NAMES.of(name) == Pseudonyms(NAMES.key).of(name) for name in names)
    other = Pseudonyms(b"another key of length")
    assert all(NAMES.of(name) != other.of(name) for name in names)


@given(st.text(max_size=300))
def test_what_quarantine_may_show_under_pseudonyms_is_never_an_id(text):
    shown = Doorkeeper(NAMES, True).words(text)
    assert shown == "[HIDDEN]" or len(shown) <= 40
