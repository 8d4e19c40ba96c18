"""Prices change and orders come along, each at its time: what an act shows was true then, and the export's last word is no secret of the past."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from shoplm.data import contract, leaks
from shoplm.data.context import as_of
from shoplm.world.catalogue import START_US, WEEK_US
from shoplm.world.loop import World
from shoplm.world.sample import WorldConfig, tables

CONFIG = WorldConfig(shoppers=60, products=120, weeks=60)


@pytest.fixture(scope="module")
def world():
    return World(CONFIG)


@pytest.fixture(scope="module")
def shop():
    return tables(CONFIG)


def micros(column):
    return np.asarray(column.cast(pa.int64()))


def plainly(world, item, at_us):
    """What a product cost at a moment, by a walk over its states."""
    prices, found = world.prices, None
    for since, regular, sale in zip(prices.since_us[item], prices.regular[item], prices.sale[item], strict=True):
        if since <= at_us:
            found = (regular, sale)
    return found


def test_acts_and_orders_show_what_a_product_cost_at_that_moment(world, shop):
    place = {name: at for at, name in enumerate(world.goods.ids.tolist())}
    for table, clock in (("events", "event_time"), ("orders", "ordered_at")):
        rows = shop[table].filter(pc.and_(pc.is_valid(shop[table]["item_id"]), pc.is_valid(shop[table]["price"])))
        if table == "events":
            rows = rows.filter(pc.not_equal(rows["event_name"], "refund"))  # it gives back what was paid when it was ordered
        for item, at_us, price in zip(rows["item_id"].to_pylist(), micros(rows[clock]).tolist(), rows["price"].to_pylist(), strict=True):
            regular, sale = plainly(world, place[item], at_us)
            assert int(price * 100) == (sale or regular)


def test_a_refund_gives_back_what_was_paid(shop):
    events = shop["events"]
    paid = {
        (order, item): price
        for order, item, price in zip(*(shop["orders"][name].to_pylist() for name in ("order_id", "item_id", "price")), strict=True)
    }
    back = events.filter(pc.equal(events["event_name"], "refund"))
    assert back.num_rows > 10
    for order, item, price in zip(*(back[name].to_pylist() for name in ("transaction_id", "item_id", "price")), strict=True):
        assert price == paid[order, item]


def test_the_catalogue_is_that_of_the_last_day_and_says_since_when(world, shop):
    end = START_US + CONFIG.weeks * WEEK_US
    changed = 0
    for at, row in enumerate(shop["products"].to_pylist()):
        if row["price"] == 0:
            continue  # planted
        regular, sale = plainly(world, at, end)
        assert (int(row["price"] * 100), int((row["sale_price"] or 0) * 100)) == (regular, sale)
        last = max(since for since in world.prices.since_us[at] if since <= end)
        if last > START_US:
            changed += 1
            assert row["updated_at"].timestamp() * 1e6 == last
    assert changed > 0.9 * 120  # in 60 weeks 60/26 revisions and 60/12 promotions: exp(-7.3) see none


def test_what_one_product_costs_its_other_colour_costs(world):
    for group in range(int(world.goods.group.max()) + 1):
        mine = np.flatnonzero(world.goods.group == group)
        assert (world.prices.since_us[mine] == world.prices.since_us[mine[0]]).all()
        assert (world.prices.regular[mine] == world.prices.regular[mine[0]]).all()


def test_as_of_hides_the_price_and_the_status_of_later_days(world, shop):
    """Asked of the middle of the year: the price is the last one seen until then, and no order is further than it was."""
    at_us = START_US + 30 * WEEK_US
    products, place = shop["products"], {name: at for at, name in enumerate(world.goods.ids.tolist())}
    contexts = as_of(products, np.arange(120), np.full(120, at_us), contract.PRODUCTS, shop["events"], facts={"products": products})
    later = np.asarray(pc.greater(products["updated_at"].cast(pa.int64()), at_us))
    assert later.sum() > 60
    seen = wrong = 0
    for at, context in enumerate(contexts):
        if not later[at]:
            continue
        assert context.subject.price is None  # the catalogue's own price is of a later day
        if context.item.price is None:
            continue  # nobody had looked at it yet
        seen += 1
        regular, sale = plainly(world, place[context.item.id], at_us)
        wrong += int(context.item.price * 100) != (sale or regular)
        assert context.item.sale_price is None
    assert seen > 40
    assert wrong < 0.4 * seen  # where the price changed after the last look at it, a shop that only sees acts is behind, too
    users = shop["users"]
    orders = as_of(users, np.arange(len(users)), np.full(len(users), at_us), contract.USERS, facts={"orders": shop["orders"]})
    shown = [row for context in orders for row in context.known("orders")]
    assert all(row.status is None or row.status_at.timestamp() * 1e6 <= at_us for row in shown)
    assert any(row.status is None for row in shown)
    assert not any(getattr(row, "return_reason", None) for row in shown)


def test_a_leak_through_a_later_status_or_price_is_caught_with_its_name(shop):
    orders, products = shop["orders"], shop["products"]
    returned = pc.is_in(orders["status"], pa.array(["returned", "refunded"]))
    found = leaks.suspects(orders, returned, "sent_back", contract.ORDERS)
    assert [leak.column for leak in found] == ["status"]
    assert "`status` holds only since `status_at`" in str(found[0])
    # the catalogue of the export, joined to orders of the past: what became of the price tells who waited too little
    today = pc.cast(products["price"].take(pc.index_in(orders["item_id"], value_set=products["id"].combine_chunks())), pa.float64())
    became = pc.divide(today, pc.cast(orders["price"], pa.float64()))
    planted = orders.append_column("price_today_over_paid", became).drop_columns(["status"])
    assert [
        leak.column for leak in leaks.suspects(planted, pc.less(became, 1.0), "cheaper_later", contract.ORDERS)
    ] == []  # hidden by the contract:
    moments = micros(planted["ordered_at"]) + 1
    assert as_of(planted, np.arange(50), moments[:50], contract.ORDERS).subject["price_today_over_paid"].null_count == 50
    # beside a table whose own columns are known at once nothing hides it, so it is named
    renamed = planted.rename_columns(["event_time" if name == "ordered_at" else name for name in planted.schema.names])
    named = leaks.suspects(renamed, pc.less(became, 1.0), "cheaper_later", contract.EVENTS)
    assert "price_today_over_paid" in [leak.column for leak in named]
