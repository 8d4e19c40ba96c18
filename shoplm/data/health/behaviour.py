"""Row by row: what stands twice, acts like a machine, buys for a trade, was given back, or speaks of unknown things."""

from __future__ import annotations

from collections.abc import Sequence

from shoplm.data.health.finding import Chart, Finding, ask, number, percent
from shoplm.data.shop import View

ACTS_A_MINUTE = 30
"""More acts of one visitor within a minute than a person makes."""
HOURS_AWAKE = 20
"""A visitor who acts in so many of a day's hours never sleeps."""
VIEWS_WITHOUT = 300
"""Acts without a single one that a buyer makes."""
BULK_PIECES = 20.0
"""Pieces of one item in one purchase that a household seldom buys."""
BULK_TIMES = 25.0
"""Times the usual number of purchases."""
_WHO = "coalesce(user_id, user_pseudo_id)"
_VISITORS = f"""with minutes as (
    select {_WHO} as who, date_trunc('minute', event_time) as minute, count(*) as n,
           count(*) filter (event_name in ('purchase', 'add_to_cart', 'begin_checkout', 'add_to_wishlist')) as bought
    from events group by all),
  people as (select who, sum(n) as acts, max(n) as most, sum(bought) as bought, count(distinct date_trunc('hour', minute)) as hours,
                    count(distinct date_trunc('day', minute)) as days from minutes group by 1)
  select *, most > {ACTS_A_MINUTE} as fast, acts >= {VIEWS_WITHOUT} and bought = 0 as idle,
         hours >= {HOURS_AWAKE} * days and hours >= {HOURS_AWAKE} as awake from people"""
"""Every visitor, and what about it is like a machine."""
_TRADERS = f"""with buyers as (select {_WHO} as who, count(*) as bought, max(quantity) as most from events where event_name = 'purchase' group by 1)
  select * from buyers where most >= {BULK_PIECES} or bought >= {BULK_TIMES} * greatest(2, (select median(bought) from buyers))"""
"""Shoppers who buy like a trade."""
UNLIKE_PERSONS = f"select who from ({_VISITORS}) where fast or awake or idle union select who from ({_TRADERS})"
"""SQL for ``who`` acts like a machine or buys like a trade: no example of what private shoppers like."""
REFUNDED = """(p.transaction_id is not null and exists (select 1 from events r where r.event_name = 'refund' and r.transaction_id = p.transaction_id
    and (r.item_id is null or r.item_id = p.item_id) and (r.quantity is null or r.quantity >= coalesce(p.quantity, 1))))"""
"""SQL: the purchase ``p`` of events was refunded, all its pieces."""
CAME_BACK = """exists (select 1 from orders o where o.order_id = p.transaction_id
    and (p.item_id is null or o.item_id = p.item_id) and o.status in ('returned', 'refunded', 'cancelled'))"""
"""SQL: the purchase ``p`` of events is a line of an order that was cancelled or came back."""
_ITEM = {"events": "item_id", "reviews": "item_id", "orders": "item_id", "ads": "item_id", "chats": "item_id"}


def examine(view: View, tables: Sequence[str]) -> tuple[list[Finding], list[Chart]]:
    """Duplicates, machines, bulk buyers, returns counted as sales, orphans."""
    findings = _products(view) if "products" in tables else []
    charts: list[Chart] = []
    if "events" in tables:
        findings += [*_repeated(view), *_machines(view), *_bulk(view)]
        charts += _hours(view)
    findings += [*_returns(view, tables), *_orphans(view, tables), *_chats(view, tables)]
    return findings, charts


def _products(view: View) -> list[Finding]:
    twice = ask(
        view,
        """select coalesce(sum(n - 1), 0) as extra, count(*) as titles, min(title) as one from (
             select min(title) as title, count(*) as n from products where item_group_id is null
             group by lower(trim(title)), lower(trim(coalesce(brand, ''))), coalesce(size, ''), coalesce(color, '') having count(*) > 1)""",
    )[0]
    if not twice["extra"]:
        return []
    text = f"{twice['extra']:,} have the title, brand, size and colour of another (such as {twice['one'][:60]!r})"
    fix = "keep one id, or give variants one item_group_id: their acts and reviews are split between them now"
    return [Finding("warning", "duplicate", "products", "title", text, fix, int(twice["extra"]), view.rows("products"))]


def _repeated(view: View) -> list[Finding]:
    extra = number(
        view,
        f"""select sum(n - 1) from (select count(*) as n from events where event_name <> 'view_item_list' group by
            hash({_WHO}, event_name, item_id, event_time, transaction_id, search_term, session_id, event_value, coalesce(event_seq, 0), "index") having count(*) > 1)""",
    )
    if not extra:
        return []
    text = f"{extra:,} repeat another in everything but their id"
    fix = "the tracker fires twice: give each act one id at its origin, so that a second import finds it"
    return [Finding("warning", "duplicate", "events", "event_id", text, fix, extra, view.rows("events"))]


def _machines(view: View) -> list[Finding]:
    found = ask(
        view,
        f"""with judged as ({_VISITORS})
            select count(*) as n, sum(acts) as acts, count(*) filter (fast) as fast, count(*) filter (idle) as idle, count(*) filter (awake) as awake,
                   max(most) as most, max_by(who, acts) as who, max(acts) as loudest from judged where fast or awake or idle""",
    )[0]
    if not found["n"]:
        return []
    why = [
        f"{found['fast']:,} with up to {found['most']:,} acts in a minute" if found["fast"] else "",
        f"{found['awake']:,} awake day and night" if found["awake"] else "",
        f"{found['idle']:,} with hundreds of acts and none of a buyer" if found["idle"] else "",
    ]
    text = f"{found['n']:,} visitor(s) act like a machine ({', '.join(word for word in why if word)}; the loudest, `{found['who']}`, has {found['loudest']:,} acts)"
    fix = "leave them out before you count tastes: --where \"user_id <> '…'\", and block them at the source"
    return [Finding("warning", "bot", "events", "user_id", text, fix, int(found["acts"]), view.rows("events"))]


def _bulk(view: View) -> list[Finding]:
    found = ask(
        view,
        f"select count(*) as n, sum(bought) as bought, max(most) as most from ({_TRADERS})",
    )[0]
    if not found["n"]:
        return []
    text = f"{found['n']:,} shopper(s) buy like a trade (up to {found['most'] or 1:,.0f} pieces at once), {found['bought']:,} purchases together"
    fix = "mark them in users.segments and leave them out of what private shoppers like"
    return [Finding("warning", "bulk", "events", "quantity", text, fix, int(found["bought"]), view.rows("events"))]


def _returns(view: View, tables: Sequence[str]) -> list[Finding]:
    found = []
    if "events" in tables:
        rows = view.rows("events")
        negative = number(view, "select count(*) from events where event_name = 'purchase' and quantity < 0")
        if negative:
            text = f"{negative:,} purchases have a negative quantity: returns counted as sales"
            found.append(
                Finding(
                    "wrong", "returns", "events", "quantity", text, "bring them in as `refund` with a positive quantity", negative, rows
                )
            )
        kept = number(
            view,
            f"select count(*) from events p where event_name = 'purchase' and {REFUNDED}",
        )
        if kept:
            text = f"{kept:,} purchases were refunded and still count as bought"
            fix = "leave them out where you count what shoppers like; the refund events name them"
            found.append(Finding("warning", "returns", "events", "transaction_id", text, fix, kept, rows))
    if "orders" in tables and "events" in tables:
        back = number(
            view,
            f"select count(*) from events p where event_name = 'purchase' and {CAME_BACK}",
        )
        if back:
            text = f"{back:,} purchases belong to order lines that were cancelled or came back, and still count as bought"
            found.append(
                Finding(
                    "warning",
                    "returns",
                    "events",
                    "transaction_id",
                    text,
                    "take the orders' status into account",
                    back,
                    view.rows("events"),
                )
            )
    return found


def _orphans(view: View, tables: Sequence[str]) -> list[Finding]:
    found = []
    pairs = [(name, column, "products", "id") for name, column in _ITEM.items()] if "products" in tables else []
    if "users" in tables:
        pairs += [(name, "user_id", "users", "user_id") for name in ("events", "reviews", "orders", "chats")]
    for name, column, other, key in pairs:
        if name not in tables:
            continue
        seen = ask(
            view,
            f"""with lost as (select {column} as what, count(*) as n from {name} where {column} is not null group by 1)
                select sum(n) as n, count(*) as ids, min(what) as one from lost where what not in (select {key} from {other})""",
        )[0]
        if seen["n"]:
            rows = view.rows(name)
            text = f"{seen['n']:,} rows ({percent(seen['n'], rows)}) speak of {seen['ids']:,} {'products' if other == 'products' else 'shoppers'} that {other} does not know (such as `{seen['one']}`)"
            fix = (
                f"import the missing {other}, also those no longer sold"
                if other == "products"
                else "import the missing users, or check that both systems write the same id"
            )
            severity = "warning" if other == "products" else "note"
            found.append(Finding("warning" if severity == "warning" else "note", "orphan", name, column, text, fix, int(seen["n"]), rows))
    return found


RARE_ROWS = 10
"""Fewer rows than this teach a label badly."""


def _chats(view: View, tables: Sequence[str]) -> list[Finding]:
    if "chats" not in tables:
        return []
    rows = ask(view, "select intent, count(*) as n from chats where role = 'user' group by 1 order by 2, 1")
    rare = [row for row in rows if row["intent"] is not None and row["n"] < RARE_ROWS]
    mute = sum(row["n"] for row in rows if row["intent"] is None)
    whole, found = view.rows("chats"), []
    if rare:
        text = f"{len(rare)} intents have fewer than {RARE_ROWS} turns (`{rare[0]['intent']}` has {rare[0]['n']})"
        found.append(
            Finding("warning", "missing", "chats", "intent", text, "collect more or merge them", sum(row["n"] for row in rare), whole)
        )
    if mute:
        found.append(
            Finding(
                "note",
                "missing",
                "chats",
                "intent",
                f"{mute:,} user turns carry no intent and teach none",
                "label some where you can",
                mute,
                whole,
            )
        )
    return found


def _hours(view: View) -> list[Chart]:
    rows = ask(
        view,
        "select hour(event_time) as hour, count(*) as n, count(*) filter (event_name = 'purchase') as bought from events group by 1 order by 1",
    )
    whole, bought = max(1, sum(row["n"] for row in rows)), max(1, sum(row["bought"] for row in rows))
    by_hour = {row["hour"]: row for row in rows}
    hours = list(range(24))
    acts = [100 * by_hour[hour]["n"] / whole if hour in by_hour else 0.0 for hour in hours]
    purchases = [100 * by_hour[hour]["bought"] / bought if hour in by_hour else 0.0 for hour in hours]
    return [
        Chart(
            "lines",
            "events: hours of the day (UTC), %",
            [str(hour) for hour in hours],
            {"acts": acts, "purchases": purchases},
            "Machines flatten the night.",
        )
    ]
