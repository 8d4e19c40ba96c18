"""search in a shop: words, meaning and taste end to end; only what changed is read again, and nothing about a person is kept."""

import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest

import shoplm
from shoplm.cli import run
from shoplm.data.shop import Shop
from shoplm.errors import DataError
from shoplm.pipeline import persons, searching
from shoplm.pipeline.filtering import passing
from shoplm.pipeline.meaning import Reader

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = [
    ("KT-1", "Ostrava Kettle 1.7 l", "Ostrava", "Home > Kitchen > Kettles", 30.0, "in_stock"),
    ("KT-2", "Junipero Kettle, Blue", "Junipero", "Home > Kitchen > Kettles", 45.0, "in_stock"),
    ("DR-1", "Linen Dress, Blue", "Solano", "Fashion > Dresses", 80.0, "in_stock"),
    ("DR-2", "红色连衣裙", "Solano", "Fashion > Dresses", 60.0, "in_stock"),
    ("DR-3", "Blue Dress, sold out", "Solano", "Fashion > Dresses", 20.0, "out_of_stock"),
]


def products(*rows):
    names = ("id", "title", "brand", "product_type", "price", "availability")
    return pa.Table.from_pylist([{**dict(zip(names, row, strict=True)), "currency": "GBP", "updated_at": BEGIN} for row in rows or ROWS])


def act(user, item, name="purchase"):
    return {"user_id": user, "item_id": item, "event_name": name, "event_time": BEGIN}


@pytest.fixture
def shop(tmp_path):
    made = Shop(tmp_path / "shop", create=True)
    made.upsert("products", products())
    made.upsert(
        "events", pa.Table.from_pylist([act("ann", "DR-1"), act("bob", "KT-1"), act("eve", "KT-1"), act("eve", "DR-2", "view_item")])
    )
    made.upsert("users", pa.table({"user_id": ["eve"], "consent_personalization": [False]}))
    return made


@pytest.fixture
def reader(backbones):
    return Reader(backbones["bert"], "fp32")


def ids(page):
    return [hit.item_id for hit in page.hits]


def test_a_query_with_a_slip_is_answered_from_the_command_line(shop, capsys):
    assert run(["search", str(shop.path), "kettel bleu", "--words-only", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["corrected"] == "kettle blue"
    assert found["hits"][0]["item_id"] == "KT-2"
    assert (found["hits"][0]["price"], found["hits"][0]["currency"]) == (45.0, "GBP")
    assert run(["search", str(shop.path), "blue", "--words-only", "--filter", "brnd=Solano"]) == 2
    assert "did you mean `brand`" in capsys.readouterr().err


def test_python_gives_the_same_rows(shop):
    rows = shoplm.search(shop, "连衣裙", words_only=True)
    assert [row["item_id"] for row in rows] == ["DR-2"]
    where = searching.opened(shop, words_only=True)
    assert shoplm.search(where, "连衣裙") == rows


def test_what_is_out_of_stock_is_left_out_and_said(shop):
    where = searching.opened(shop, words_only=True)
    page = searching.searched(where, "blue dress")
    assert "DR-3" not in ids(page)
    assert "out of stock" in page.notes[0]
    assert "DR-3" in ids(searching.searched(where, "blue dress", all_stock=True))


def test_only_new_and_changed_products_are_read_again(shop, reader):
    first = searching.opened(shop, reader=reader)
    assert first.read == len(ROWS)
    assert searching.opened(shop, reader=reader).read == 0
    shop.upsert(
        "products",
        products(("KT-1", "Ostrava Kettle, now red", *ROWS[0][2:]), ("MG-1", "Mug", "Ostrava", "Home > Kitchen", 5.0, "in_stock")),
    )
    again = searching.opened(shop, reader=reader)
    assert again.read == 2
    assert again.index.ids == sorted(again.products.ids) == again.products.ids
    shop.upsert("products", products((*ROWS[0][:1], "Ostrava Kettle, now red", *ROWS[0][2:4], 31.0, "in_stock")))
    assert searching.opened(shop, reader=reader).read == 0  # a price is not read
    kept = again.index.nearest(reader.read([searching.meaning.told("Mug", "Ostrava", "Home > Kitchen", "")]), 1)[0][0]
    assert kept[0] == "MG-1"
    assert kept[1] == pytest.approx(1, abs=1e-5)


def test_a_spoilt_file_is_made_again(shop, reader):
    searching.opened(shop, reader=reader)
    folder = shop.path / searching.FOLDER
    for name in ("words.bin", "meaning.bin"):
        (folder / name).write_bytes(b"no index")
    again = searching.opened(shop, reader=reader)
    assert again.read == len(ROWS)
    assert ids(searching.searched(again, "kettle"))[0] in ("KT-1", "KT-2")


def test_a_shopper_who_bought_it_before_sees_it_first(shop):
    where = searching.opened(shop, words_only=True)
    blue = searching.searched(where, "blue", user="ann")
    assert ids(blue)[0] == "DR-1"
    assert blue.hits[0].because[-1].startswith("you bought")
    assert ids(searching.searched(where, "kettle", user="bob"))[0] == "KT-1"


def test_who_withheld_consent_or_is_unknown_is_a_new_shopper(shop):
    where = searching.opened(shop, words_only=True)
    for who in ("eve", "nobody ☂"):
        page = searching.searched(where, "kettle", user=who)
        assert ids(page) == ids(searching.searched(where, "kettle"))
        assert "answered as a new shopper" in page.notes[-1]


def test_an_erased_person_leaves_no_taste_and_no_derived_file(shop):
    searching.opened(shop, words_only=True)
    assert persons.erase(shop, "ann").clean
    assert not (shop.path / "derived").exists()
    page = searching.searched(searching.opened(shop, words_only=True), "blue", user="ann")
    assert "answered as a new shopper" in page.notes[-1]


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        (["brand=solano"], {"DR-1", "DR-2", "DR-3"}), (["brand=Ostrava|junipero"], {"KT-1", "KT-2"}), (["price=40..60"], {"KT-2", "DR-2"}),
        (["price<=30"], {"KT-1", "DR-3"}), (["price>=80"], {"DR-1"}), (["product_type=Home"], {"KT-1", "KT-2"}), (["product_type=Kitchen"], {"KT-1", "KT-2"}),
        (["price=..45", "brand=Junipero"], {"KT-2"}), (["title=x' OR true --"], set()), (["availability=out_of_stock"], {"DR-3"}),
    ],
)  # fmt: skip
def test_filters_pass_what_they_say(shop, filters, wanted):
    names = sorted(row[0] for row in ROWS)
    passed = passing(shop.view(), filters, pa.array(names))
    assert {name for name, kept in zip(names, passed, strict=True) if kept} == wanted


@pytest.mark.parametrize("wrong", ["brand", "=x", "price=cheap", "price=1..many", "title>=a", "price=", "nothing=1", "price=nan"])
def test_a_wrong_filter_is_refused_in_one_line(shop, wrong):
    with pytest.raises(DataError, match="--filter"):
        passing(shop.view(), [wrong], pa.array(["KT-1"]))


def test_a_shop_without_products_says_so(tmp_path, capsys):
    Shop(tmp_path / "empty", create=True)
    assert run(["search", str(tmp_path / "empty"), "kettle"]) == 0
    assert "the shop has no products" in capsys.readouterr().out
