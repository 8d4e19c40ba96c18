"""A view answers SQL, hands out parts, and lets nothing else happen."""

import pyarrow as pa
import pytest

from shoplm.data import delta
from shoplm.data.shop import Shop
from shoplm.errors import DataError


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.setattr(delta, "GROUP_ROWS", 4)
    shop = Shop(tmp_path / "shop", create=True)
    n = 23
    shop.upsert("reviews", pa.table({"review_id": [f"r{i}" for i in range(n)], "item_id": [f"i{i % 3}" for i in range(n)],
                                     "rating": [i % 5 + 1 for i in range(n)], "created_at": [1_700_000_000 + i for i in range(n)],
                                     "Is VIP/~\"x'": [i % 2 == 0 for i in range(n)], "len": list(range(n))}))  # fmt: skip
    shop.upsert("products", pa.table({"id": ["i0", "i1"], "title": ["a", "b"]}))
    return shop


@pytest.mark.parametrize("rows", [1, 4, 5, 23, 100])
def test_parts_together_are_the_table_in_order(shop, rows):
    parts = list(shop.view().parts("reviews", rows=rows))
    assert [part.rows("reviews") for part in parts[:-1]] == [rows] * (len(parts) - 1)
    assert [i for part in parts for i in part.table["_id"].to_pylist()] == [f"r{i}" for i in range(23)]
    for part in parts:
        assert part.table["_row"].to_pylist() == list(range(part.table.num_rows))
        assert part.sql("select count(*) n from reviews")["n"].to_pylist() == [part.table.num_rows]
        assert part.sql("select count(*) n from products")["n"].to_pylist() == [2]


def test_a_condition_filters_across_parts_and_may_look_at_other_tables(shop):
    where = "item_id in (select id from products where title = 'a') and len >= 6 -- the end"
    assert [p.table["_id"].to_pylist() for p in shop.view(where=where).parts("reviews", rows=3)] == [
        ["r6", "r9", "r12"],
        ["r15", "r18", "r21"],
    ]
    both = shop.view(where="len > 3").parts("reviews", where="len < 6 or false")
    assert [p.table["len"].to_pylist() for p in both] == [[4, 5]]
    whole = "len > (select avg(len) from reviews)"
    assert [n for p in shop.view().parts("reviews", rows=2, where=whole) for n in p.table["len"].to_pylist()] == list(range(12, 23))
    assert list(shop.view().parts("reviews", where="rating > 9")) == []


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("ratng > 1", "did you mean `rating`"), ("rating >", "not one SQL expression"),
        ("1=1; drop table reviews", "not one SQL expression"),
        ("true) or (true", "not one SQL expression"), ("rating, len", "not one SQL expression"), ("", "not one SQL expression"),
        ("exists(select * from read_text('/etc/passwd'))", "disabled by configuration"),
        ("exists(select * from '/etc/passwd')", "no table"),
    ],
)  # fmt: skip
def test_a_condition_that_is_none_is_refused_in_one_line(shop, where, words):
    with pytest.raises(DataError, match=words) as error:
        list(shop.view().parts("reviews", where=where))
    assert "\n" not in str(error.value)
    assert repr(where) in str(error.value)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select ratng from reviews", "did you mean `rating`"), ("select * from revews", "did you mean `reviews`"),
        ("copy reviews to '{}'", "one SELECT"), ("select 1; select 2", "one SELECT"), ("", "one SELECT"), ("selec", "syntax error"),
        ("set memory_limit='1GB'", "one SELECT"), ("attach '{}'", "one SELECT"), ("select * from read_csv('/etc/passwd')", "disabled"),
        ("select * from glob('/*')", "disabled"), ("select 1/'a'", "query: "), ("select error('x')", "query: "),
    ],
)  # fmt: skip
def test_a_query_that_is_no_plain_question_is_refused_in_one_line(shop, tmp_path, query, words):
    with pytest.raises(DataError, match=words) as error:
        shop.view().sql(query.format(tmp_path / "out.csv"))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out.csv").exists()


def test_attribute_names_of_any_form_are_columns(shop):
    view = shop.view()
    assert view.columns("reviews")[-2:] == ["is vip/~\"x'", "len"]
    assert view.sql("""select "is vip/~""x'" as v from reviews where len < 2 order by len""")["v"].to_pylist() == [True, False]
    assert next(view.parts("reviews")).table.schema.field("len").type == pa.int64()


def test_times_come_out_in_utc_and_compare_with_plain_words(shop):
    answer = shop.view().sql("select max(created_at) t, epoch_us(max(created_at)) us from reviews where created_at > '2023-01-01'")
    assert answer.schema.field("t").type == pa.timestamp("us", "UTC")
    assert answer["us"].to_pylist() == [1_700_000_022_000_000]
    assert next(shop.view().parts("reviews")).table.schema.field("created_at").type == pa.timestamp("us", "UTC")


def test_a_table_that_the_shop_lacks_is_empty(shop):
    view = shop.view()
    assert (view.has("users"), view.rows("users"), view.has("reviews")) == (False, 0, True)
    assert view.sql("select user_id from users").num_rows == 0
    assert list(view.parts("users")) == []
    with pytest.raises(DataError, match="did you mean `users`"):
        view.rows("user")
    with pytest.raises(DataError, match="whole shop"):
        _ = view.table


def test_a_part_can_be_cut_again(shop):
    (part,) = shop.view().parts("reviews", where="len >= 20")
    assert [p.table["_id"].to_pylist() for p in part.parts("reviews", rows=2)] == [["r20", "r21"], ["r22"]]
