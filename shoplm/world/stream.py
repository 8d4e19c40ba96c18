"""A world as a stream of Arrow chunks: what the shop has, and beside it the truth that it never sees.

A week is simulated, turned into chunks and forgotten, so that memory does not grow with the weeks or the acts. Chunks come
mostly in order of time. ``fill`` puts a stream into a shop through its public contract, in one transaction.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shoplm.data.ingest import ImportReport
from shoplm.data.shop import Shop
from shoplm.errors import ResourceError
from shoplm.files import write_text
from shoplm.world import columns
from shoplm.world.advertising import CHANNELS
from shoplm.world.aftermath import NEVER, Orders
from shoplm.world.catalogue import CATEGORIES, SECOND_US, START_US, WEEK_US
from shoplm.world.chats import RULES, Case, Order, Turn, conversation
from shoplm.world.columns import Names
from shoplm.world.faults import (
    BOT,
    EVERY_COPIED,
    EVERY_EMPTY,
    EVERY_FAKE,
    EVERY_STRANGE_RATING,
    Fault,
    bot_views,
    fake_words,
    spoil_products,
)  # fmt: skip
from shoplm.world.goods import Ints
from shoplm.world.grammar import pick
from shoplm.world.loop import DEVICES, VISIT_CHANNELS, Week, World, joined, part
from shoplm.world.people import TRAITS
from shoplm.world.reviews import Subject, write
from shoplm.world.settings import WorldConfig
from shoplm.world.speech import Language
from shoplm.world.visits import BUY, VIEW, Acts

CHUNK = 100_000
"""Rows of ``users`` in a chunk; chunks of what happens are as large as a block of visits."""
BOUGHT_SHARE = 0.82
"""Share of reviews that are of something the writer bought here."""


@dataclass(frozen=True)
class Chunk:
    """Rows of one table: of the contract, or, where ``truth``, of what only the world knows."""

    table: str
    rows: pa.Table
    truth: bool = False


@dataclass(frozen=True)
class _Drafts:
    """Reviews that will be written: R rows."""

    due_us: Ints
    shopper: Ints
    item: Ints
    bought: Ints
    gap: np.ndarray[Any, np.dtype[np.float32]]


class Stream:
    """One pass over a world; ``faults`` is complete once ``chunks`` has been read to its end."""

    def __init__(self, config: WorldConfig) -> None:
        self.config = config
        self.world = World(config)
        self.faults: list[Fault] = []
        rng = self._rng(1)
        self._shown, wrong = spoil_products(self.world.products, rng)
        self.faults += wrong
        self._fault_rows: dict[str, list[str]] = {"rating_out_of_range": [], "empty_review": [], "fake_review": []}
        self._names = Names(self.world.goods, self.world.prices, self.world.people, config.language, self._terms(rng))
        self._texts = self._creatives()
        self._events = self._reviews = self._conversations = 0
        self._drafts: list[_Drafts] = []
        self._asked: list[Orders] = []
        self._weekly: list[dict[str, Any]] = []
        self._bot_week = config.weeks // 2
        self._wearable = [good for good in self.world.products if CATEGORIES[good.category].sizes]

    def chunks(self) -> Iterator[Chunk]:
        """Everything, week after week."""
        language = self.config.language
        yield Chunk("products", columns.products(self._shown, language, self.world.prices, self.world.end_us))
        yield Chunk("relations", self._relations())
        yield Chunk("articles", self._articles())
        for start in range(0, self.config.shoppers, CHUNK):
            yield Chunk("users", columns.users(self.world.people, slice(start, min(start + CHUNK, self.config.shoppers)), language))
        yield from self._truths()
        for week in self.world.run():
            yield from self._week(week)
        for kind, ids in self._fault_rows.items():
            if ids:
                self.faults.append(Fault(kind, "reviews", "review_id", tuple(ids)))  # type: ignore[arg-type]

    def facts(self) -> dict[str, Any]:
        """Truth in words and numbers: settings, channels, weeks, policies, faults."""
        return {
            "settings": self.config.model_dump(),
            "begins_us": START_US,
            "shift_week": self.config.shift_week,
            "channels": {name: dataclasses.asdict(channel) for name, channel in CHANNELS.items()},
            "rules": dict(RULES),
            "weeks": self._weekly,
            "faults": [dataclasses.asdict(fault) for fault in self.faults],
        }

    def _rng(self, *part_of: int) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, 1_000_000, *part_of])

    def _week(self, week: Week) -> Iterator[Chunk]:
        world, names, number = self.world, self._names, week.week
        order_of_visit = week.orders.visit[np.argsort(week.orders.visit, kind="stable")]
        order_number = week.orders.order[np.argsort(week.orders.visit, kind="stable")]
        for acts in week.acts:
            place = np.searchsorted(order_of_visit, acts.visit)
            order = np.where(
                acts.name == BUY, order_number[np.minimum(place, max(len(order_number) - 1, 0))] if len(order_number) else -1, -1
            )
            if len(acts):
                yield Chunk("events", columns.events(acts, order, self._events, names, (DEVICES, VISIT_CHANNELS)))
                yield Chunk("exposures", self._exposures(acts), truth=True)
            self._events += len(acts)
        if len(week.refunds):
            yield Chunk("events", columns.refunds(week.refunds, self._events, names))
            self._events += len(week.refunds)
        if number == self._bot_week:
            yield Chunk("events", self._bot())
        if len(week.orders):
            yield Chunk("orders", columns.orders(week.orders, world.end_us, names))
        crowd, seen = world.crowd, week.impressions
        if len(seen.ad):
            yield Chunk("ads", columns.impressions(seen, crowd.ads, week.converted, world.people, names, self._texts))
            ids = columns.numbered("i", seen.number, 9)
            yield Chunk("ads", pa.table({"ad_event_id": ids, "shopper": seen.shopper, "p_click": seen.p_click}), truth=True)
        yield Chunk("spend", columns.spend(number, seen, crowd.ads, week.converted, names))
        base = float(world.people.rate.sum())
        self._weekly.append(
            {"week": number, "baseline_visits": base, "season": float(world.tide[number]), "visits": week.visits, "satisfaction": week.satisfaction,
             "added_by_channel": dict(zip(CHANNELS, (float(share) for share in crowd.answers[number]), strict=True))}
        )  # fmt: skip
        self._draft(week)
        yield from self._written(number)
        yield from self._questions(week)

    def _exposures(self, acts: Acts) -> pa.Table:
        rows = np.nonzero(acts.list_row >= 0)[0]
        lists = acts.list_row[rows]
        width = acts.lists.shape[1]

        def of(values: np.ndarray[Any, Any]) -> pa.Array:
            return pa.FixedSizeListArray.from_arrays(pa.array(values[lists].ravel()), width)

        return pa.table({"event_id": columns.numbered("e", self._events + rows, 9), "p_click": of(acts.p_click), "p_buy": of(acts.p_buy)})

    def _bot(self) -> pa.Table:
        at_us, item = bot_views(len(self.world.goods.ids), self._bot_week, self._rng(2))
        count = len(at_us)
        first, self._events = self._events, self._events + count
        self.faults.append(Fault("bot", "events", "user_id", (BOT,)))
        made = {
            "event_id": columns.numbered("e", first + np.arange(count), 9),
            "event_time": pa.array(at_us).cast(pa.timestamp("us", tz="UTC")),
            "event_seq": pa.array(np.arange(count)),
            "event_name": pa.array(["view_item"] * count),
            "user_id": pa.array([BOT] * count),
            "session_id": pa.array([f"{BOT}-s1"] * count),
            "item_id": self._names.items.take(pa.array(item)),
            "price": columns.money(self._names.prices.paid(item, at_us)),
            "currency": pa.array([columns.CURRENCY[self.config.language]] * count),
            "device": pa.array(["desktop"] * count),
            "country": pa.array(["US"] * count),
        }
        return pa.table(made)

    # Reviews.

    def _draft(self, week: Week) -> None:
        """Choose who will write about what."""
        rng = self._rng(3, week.week)
        wanted = self.config.reviews * self.config.shoppers * week.visits / self._visits_expected()
        kept = np.nonzero(week.orders.delivered_us < NEVER)[0]
        own = rng.permutation(kept)[: int(rng.poisson(wanted * BOUGHT_SHARE))]
        looked = [acts.name == VIEW for acts in week.acts]
        who, item, at_us = (
            np.concatenate([getattr(acts, name)[rows] for acts, rows in zip(week.acts, looked, strict=True)] or [np.zeros(0, np.int64)])
            for name in ("shopper", "item", "at_us")
        )
        others = rng.permutation(len(who))[: int(rng.poisson(wanted * (1 - BOUGHT_SHARE)))]
        orders = part(week.orders, own)
        when = (
            np.concatenate([orders.delivered_us, at_us[others]]) + rng.integers(3 * 86_400, 30 * 86_400, len(own) + len(others)) * SECOND_US
        )
        shopper, items = np.concatenate([orders.shopper, who[others]]), np.concatenate([orders.item, item[others]])
        goods, people = self.world.goods, self.world.people
        off = np.where(goods.sized[items], np.abs(goods.runs[items] + 0.5 * people.body[shopper]), 0).astype(np.float32)
        self._drafts.append(
            _Drafts(when, shopper, items, np.concatenate([np.ones(len(own), np.int64), np.zeros(len(others), np.int64)]), off)
        )

    def _visits_expected(self) -> float:
        return self.config.shoppers * self.config.visits * 1.35  # ads and satisfaction bring a third more than come at rest

    def _written(self, week: int) -> Iterator[Chunk]:
        """The reviews that fall due this week, in order of time."""
        every = _Drafts(*(np.concatenate([getattr(one, field.name) for one in self._drafts]) for field in dataclasses.fields(_Drafts)))
        now = every.due_us < START_US + (week + 1) * WEEK_US
        self._drafts = [_Drafts(*(getattr(every, field.name)[~now] for field in dataclasses.fields(_Drafts)))]
        rng = self._rng(4, week)
        people, goods = self.world.people, self.world.goods
        stars = 3.75 + 1.0 * goods.quality[every.item] - 1.1 * np.maximum(every.gap - 0.5, 0) + 0.35 * people.mood[every.shopper]
        stars -= 0.25 * people.thrift[every.shopper] * goods.price_rank[every.item]
        rows: list[dict[str, object]] = []
        truths: list[dict[str, object]] = []
        for i in np.nonzero(now)[0][np.argsort(every.due_us[now], kind="stable")]:
            self._one_review(every, int(i), float(stars[i]), rng, rows, truths)
        if rows:
            yield Chunk("reviews", columns.reviews(rows, self.config.language))
            yield Chunk("reviews", pa.Table.from_pylist(truths, schema=_REVIEW_TRUTH), truth=True)

    def _one_review(self, drafts: _Drafts, i: int, liked: float, rng: np.random.Generator, rows: list[Any], truths: list[Any]) -> None:
        world, language = self.world, self.config.language
        shopper, item, number = int(drafts.shopper[i]), int(drafts.item[i]), self._reviews
        product = world.products[item]
        meant = int(np.clip(round(liked + rng.normal(0, 0.7)), 1, 5))
        sizes = CATEGORIES[product.category].sizes
        size = sizes[round(min(max((len(sizes) - 1) / 2 + world.people.body[shopper] * 1.4, 0), len(sizes) - 1))] if sizes else "M"
        said = write(Subject(product, meant, bool(drafts.gap[i] < 0.8), size, world.people.hand(shopper)), world.said, rng, language)
        rating = meant if rng.random() >= 0.03 else pick(rng, [star for star in range(1, 6) if star != meant])
        title, body, fault = said.title, said.body, None
        bought = bool(drafts.bought[i])
        if number % EVERY_STRANGE_RATING == 5:
            rating, fault = 7, "rating_out_of_range"
        elif number % EVERY_EMPTY == 9:
            title, body, fault = None, None, "empty_review"  # type: ignore[assignment]
        elif number % EVERY_FAKE == 11:
            title, body = fake_words("fake_review", world.said.reviews, rng)
            item = int(rng.choice(np.argsort(world.goods.quality)[: max(3, len(world.products) // 20)]))
            rating, fault, bought = 5, "fake_review", False
        self._append(
            rows, truths, item, shopper, rating, (title, body), int(drafts.due_us[i]), bought, rng, (meant, said.plan, said.aspects, fault)
        )
        if number % EVERY_COPIED == 20:
            words = fake_words("copied_review", world.said.reviews, rng)
            names = []
            for other in rng.permutation(len(world.products))[: 5 + int(rng.random() * 3)]:
                when = int(drafts.due_us[i]) + int(rng.integers(0, 6 * 3600)) * SECOND_US
                writer = int(rng.integers(0, len(world.people)))
                names.append(self._append(rows, truths, int(other), writer, 5, words, when, False, rng, (5, "", "", "copied_review")))
            self.faults.append(Fault("copied_review", "reviews", "review_id", tuple(names)))

    def _append(
        self, rows: list[Any], truths: list[Any], item: int, shopper: int, rating: int, words: tuple[str | None, str | None], at_us: int,
        bought: bool, rng: np.random.Generator, truth: tuple[int, str, str, str | None],
    ) -> str:  # fmt: skip
        self._reviews += 1
        name = f"r{self._reviews:07d}"
        meant, plan, aspects, fault = truth
        if fault in self._fault_rows:
            self._fault_rows[fault].append(name)
        votes = int(rng.poisson(0.2 + len(words[1] or "") / 160)) if words[1] else 0
        rows.append(
            {"review_id": name, "item_id": str(self.world.goods.ids[item]), "user_id": f"u{shopper + 1:07d}", "rating": rating,
             "title": words[0], "body": words[1], "created_at": at_us, "verified_purchase": bought, "helpful_votes": votes}
        )  # fmt: skip
        fake = fault in ("copied_review", "fake_review")
        plan, aspects = ("", "") if fake or words[1] is None else (plan, aspects)
        truths.append({"review_id": name, "stars_meant": meant, "plan": plan, "aspects": aspects, "fake": fake, "fault": fault})
        return name

    # Chats.

    def _questions(self, week: Week) -> Iterator[Chunk]:
        rng = self._rng(5, week.week)
        count = int(rng.poisson(self.config.questions / 1.08 * self.config.shoppers * week.visits / self._visits_expected()))
        self._asked = [*self._asked[-3:], week.orders]
        pool = joined(self._asked)
        turns: list[Turn] = []
        for _ in range(count):
            self._conversations += 1
            wearable = pick(rng, self._wearable or self.world.products)
            name = f"c{self._conversations:07d}"
            turns += conversation(name, self._case(week, pool, rng), wearable, rng, self.world.said, self.config.language)
        if turns:
            yield Chunk("chats", columns.chats(turns, self.config.language))
            asked = [turn for turn in turns if turn.role == "user"]
            truth = {name: [getattr(turn, name) for turn in asked] for name in ("conversation_id", "turn")}
            yield Chunk("chats", pa.table({**truth, "meant": pa.array([turn.meant for turn in asked], pa.string())}), truth=True)

    def _case(self, week: Week, pool: Orders, rng: np.random.Generator) -> Case:
        world = self.world
        begin = START_US + week.week * WEEK_US
        channel = pick(rng, ("web", "web", "web", "email", "social"))
        if len(pool) and rng.random() < 0.8:
            i = int(rng.integers(0, len(pool)))
            start = max(begin, int(pool.ordered_us[i]) + 600 * SECOND_US) + int(rng.integers(0, 3 * 86_400)) * SECOND_US
            shopper, item = int(pool.shopper[i]), int(pool.item[i])
            name = columns.order_id(int(pool.order[i]))
            order = Order(name, int(pool.shipped_us[i]), int(pool.delivered_us[i]), int(pool.returned_us[i]))
            return Case(start, f"u{shopper + 1:07d}", world.people.hand(shopper), world.products[item], order, channel)
        shopper, item = int(rng.integers(0, len(world.people))), int(rng.integers(0, len(world.products)))
        start = begin + int(rng.integers(0, 7 * 86_400)) * SECOND_US
        known = f"u{shopper + 1:07d}" if rng.random() < 0.5 else None
        return Case(start, known, world.people.hand(shopper), world.products[item], None, channel)

    # What stands from the beginning.

    def _terms(self, rng: np.random.Generator) -> list[tuple[str, ...]]:
        grammar, language = self.world.said.catalogue, self.config.language
        said = []
        for good in self.world.products:
            facts = good.facts() | {"noun": good.noun, "use": good.use}
            terms = [grammar.say("search", rng, facts, good.category) for _ in range(3)]
            said.append(tuple(term if language == "en" else term.replace(" ", "") for term in terms))
        return said

    def _creatives(self) -> list[str]:
        templates = _articles(self.config.language)[1]
        texts, ads = [], self.world.crowd.ads
        for item, campaign in zip(ads.item, ads.campaign, strict=True):
            good = self.world.products[int(item)]
            price = f"£{good.price_cents / 100:.2f}" if self.config.language == "en" else f"{good.price_cents // 100}元"
            texts.append(templates[int(campaign)].format(**good.facts() | {"use": good.use, "price": price}))
        return texts

    def _articles(self) -> pa.Table:
        rules = {name: str(value) for name, value in RULES.items()}
        rows = [
            (f"help-{number + 1:02d}", title, body.format(**rules), intents)
            for number, (title, body, intents) in enumerate(_articles(self.config.language)[0])
        ]
        return columns.articles(rows, self.config.language)

    def _relations(self) -> pa.Table:
        """Kinds, brands, what stands in for what, what goes with what: as a shop's own staff would keep them."""
        goods, products = self.world.goods, self.world.products
        names = list(CATEGORIES)
        goes = {"dress": "knit", "jacket": "backpack", "trainers": "watch", "kettle": "pan", "lamp": "bedding", "headphones": "backpack"}
        rows: list[tuple[str, str, str, float | None]] = []
        rng = self._rng(6)
        for i, good in enumerate(products):
            rows.append((good.id, "is_a", f"category:{good.category}", None))
            rows.append((f"brand:{good.brand}", "brand_of", good.id, None))
            shelf = goods.shelves[int(goods.category[i])]
            others = shelf[shelf != i]
            if len(others):
                near = np.argsort(((goods.style[others] - goods.style[i]) ** 2).sum(axis=1))[:2]
                rows += [(good.id, "substitutes", products[int(others[j])].id, None) for j in near]
            if good.category in goes:
                other = pick(rng, goods.shelves[names.index(goes[good.category])].tolist())
                rows.append((good.id, "bought_with", products[int(other)].id, float(np.round(rng.uniform(0.1, 0.9), 2))))
            if good.category == "cream":
                rows.append((good.id, "fits", f"need:{good.use}", None))
        heads, kinds, tails, weights = zip(*rows, strict=True)
        return columns.relations(heads, kinds, tails, weights)

    def _truths(self) -> Iterator[Chunk]:
        people, goods, world = self.world.people, self.world.goods, self.world
        names = list(CATEGORIES)
        yield Chunk(
            "products",
            pa.table(
                {"id": goods.ids.tolist(), "category": [names[i] for i in goods.category], "quality": goods.quality, "look": goods.look,
                 "runs": goods.runs, "strong": [good.strong for good in world.products], "weak": [good.weak for good in world.products]}
            ),
            truth=True,
        )  # fmt: skip
        for start in range(0, len(people), CHUNK):
            rows = slice(start, start + CHUNK)
            count = len(people.thrift[rows])
            made: dict[str, Any] = {"user_id": columns.numbered("u", np.arange(start, start + count) + 1, 7)}
            made |= {f"taste_{name}": people.taste[rows, i] for i, name in enumerate(names)}
            made |= {f"later_{name}": people.later_taste[rows, i] for i, name in enumerate(names)} if self.config.shift_week else {}
            made |= {f"trait_{name}": people.traits[rows, i] for i, name in enumerate(TRAITS)}
            made |= {
                "thrift": people.thrift[rows],
                "mood": people.mood[rows],
                "build": people.body[rows],
                "visits_a_week": people.rate[rows],
            }
            yield Chunk("shoppers", pa.table(made), truth=True)


_REVIEW_TRUTH = pa.schema(
    [
        ("review_id", pa.string()),
        ("stars_meant", pa.int64()),
        ("plan", pa.string()),
        ("aspects", pa.string()),
        ("fake", pa.bool_()),
        ("fault", pa.string()),
    ]
)


def _articles(language: Language) -> tuple[tuple[tuple[str, str, tuple[str, ...]], ...], tuple[str, str]]:
    if language == "en":
        from shoplm.world.english import articles
    else:
        from shoplm.world.chinese import articles  # type: ignore[no-redef]
    return articles.ARTICLES, articles.CREATIVES


class TruthFolder:
    """Truth as parquet files, one a table, and ``world.json``; written row group by row group."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._writers = folder, dict[str, pq.ParquetWriter]()

    def add(self, chunk: Chunk) -> None:
        """Append rows."""
        if chunk.table not in self._writers:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._writers[chunk.table] = pq.ParquetWriter(self._folder / f"{chunk.table}.parquet", chunk.rows.schema)
        self._writers[chunk.table].write_table(chunk.rows)

    def close(self, facts: Mapping[str, Any]) -> None:
        """End every file."""
        for writer in self._writers.values():
            writer.close()
        write_text(self._folder / "world.json", json.dumps(facts, ensure_ascii=False, indent=1) + "\n")


def gathered(chunks: Iterator[Chunk], rows: int = CHUNK) -> Iterator[Chunk]:
    """The same rows in fewer and larger chunks of about ``rows``; each table keeps its own order."""
    waiting: dict[tuple[str, bool], list[pa.Table]] = {}
    for chunk in chunks:
        key = (chunk.table, chunk.truth)
        waiting.setdefault(key, []).append(chunk.rows)
        if sum(part.num_rows for part in waiting[key]) >= rows:
            yield Chunk(chunk.table, pa.concat_tables(waiting.pop(key), promote_options="default"), chunk.truth)
    for (table, truth), parts in waiting.items():
        yield Chunk(table, pa.concat_tables(parts, promote_options="default"), truth)


def fill(shop: Shop, config: WorldConfig, truth: Path | None = None) -> ImportReport:
    """Bring a whole world into a shop, in one transaction; what is planted wrong goes the way of all wrong rows.

    Args:
        shop: where to.
        config: which world.
        truth: a folder outside the shop for what the shop must not know; None keeps it nowhere.

    Raises:
        ResourceError: the truth's folder lies inside the shop or cannot be written, or disk or memory ran out.
    """
    if truth is not None and truth.resolve().is_relative_to(shop.path.resolve()):
        raise ResourceError(f"{truth}: lies inside the shop {shop.path}, which must not know the truth; give a folder beside it")
    stream, kept = Stream(config), TruthFolder(truth) if truth is not None else None
    try:
        with shop.transaction() as transaction:
            for chunk in gathered(stream.chunks()):
                if not chunk.truth:
                    transaction.upsert(chunk.table, [chunk.rows])
                elif kept is not None:
                    kept.add(chunk)
    except pa.ArrowException as error:
        raise ResourceError(f"{truth or shop.path}: cannot be written ({error})") from None
    if kept is not None:
        kept.close(stream.facts())
    return transaction.report
