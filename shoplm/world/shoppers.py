"""Shoppers with tastes, and the visits that follow from them.

A shopper likes some categories, some brands, and minds the price more or less. What is viewed, put in the
cart and bought follows from that and from chance, so a model that reads the events can find the taste again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shoplm.world.catalogue import CATEGORIES, DAY_US, START_US, Product
from shoplm.world.grammar import pick
from shoplm.world.speech import Grammars, Hand, Language, draw_hand

DAYS = 180
"""How long the shop is watched."""
SECOND_US = 1_000_000

_COUNTRIES = {"en": ("GB", "GB", "GB", "IE", "DE", "NL", "US"), "zh": ("CN", "CN", "CN", "CN", "SG", "MY")}


@dataclass(frozen=True)
class Shopper:
    """One shopper: what the shop knows, and the truth."""

    user_id: str
    created_at_us: int
    country: str
    membership: str
    segments: tuple[str, ...]
    consent_analytics: bool
    consent_ads: bool
    consent_personalization: bool
    taste: tuple[float, ...]
    """Truth: share of interest in each category, in the order of ``CATEGORIES``; sums to 1."""
    brands: tuple[str, ...]
    """Truth: brands that are preferred."""
    thrift: float
    """Truth: how much the price matters; above 0 the cheap is preferred, below 0 the dear."""
    mood: float
    """Truth: how kindly stars are given."""
    body: float
    """Truth: how far from its usual size, in sizes, clothes had better run."""
    visits: float
    """Truth: expected number of visits over ``DAYS``."""
    hand: Hand

    def size(self, sizes: Sequence[str]) -> str:
        """The size this shopper orders."""
        middle = (len(sizes) - 1) / 2
        return sizes[round(min(max(middle + self.body * 1.4, 0), len(sizes) - 1))]


@dataclass(frozen=True)
class Event:
    """One act; ``event_id`` is given once all acts are in order."""

    event_time_us: int
    event_seq: int
    event_name: str
    user_id: str
    session_id: str
    item_id: str | None = None
    price_cents: int | None = None
    quantity: int | None = None
    search_term: str | None = None
    transaction_id: str | None = None
    device: str = "mobile"
    channel: str = "direct"
    country: str | None = None


def shoppers(count: int, rng: np.random.Generator, said: Grammars, language: Language) -> list[Shopper]:
    """``count`` shoppers, most of them with two or three categories at heart."""
    brands = said.catalogue.options("brand")
    made = []
    for number in range(count):
        taste = rng.dirichlet(np.full(len(CATEGORIES), 0.3))
        thrift = float(rng.normal())
        visits = float(np.clip(rng.lognormal(2.6, 0.5), 3, 60))
        segments = [name for name, share in (("newsletter", 0.5), ("app", 0.4), ("student", 0.12)) if rng.random() < share]
        made.append(
            Shopper(
                user_id=f"u{number + 1:05d}",
                created_at_us=START_US - int(rng.integers(1, 900)) * DAY_US + int(rng.integers(0, 86_400)) * SECOND_US,
                country=pick(rng, _COUNTRIES[language]),
                membership="gold" if visits > 24 else "silver" if visits > 15 else "basic",
                segments=tuple(segments),
                consent_analytics=bool(rng.random() < 0.9),
                consent_ads=bool(rng.random() < 0.6),
                consent_personalization=bool(rng.random() < 0.8),
                taste=tuple(float(share) for share in taste),
                brands=tuple(brands[i] for i in sorted(rng.permutation(len(brands))[:4])),
                thrift=thrift,
                mood=float(rng.normal()),
                body=float(rng.normal()),
                visits=visits,
                hand=draw_hand(rng),
            )
        )
    return made


def liking(people: Sequence[Shopper], goods: Sequence[Product], rng: np.random.Generator) -> np.ndarray:
    """How much each shopper likes each product beside others of its category: (shoppers, products)."""
    favoured = np.array([[good.brand in person.brands for good in goods] for person in people], dtype=np.float64)
    thrift = np.array([person.thrift for person in people])[:, None]
    rank = np.array([good.price_rank for good in goods])[None, :]
    fashion = rng.normal(0, 0.5, size=(1, len(goods)))
    liked: np.ndarray = 1.5 * favoured - 1.2 * thrift * rank + fashion
    return liked


def events(people: Sequence[Shopper], goods: Sequence[Product], rng: np.random.Generator, said: Grammars) -> list[Event]:
    """Everything that was viewed, searched, put in the cart and bought, in order of time."""
    names = list(CATEGORIES)
    shelves = [np.array([i for i, good in enumerate(goods) if good.category == name], dtype=np.int64) for name in names]
    liked = liking(people, goods, rng)
    acts: list[Event] = []
    for row, person in enumerate(people):
        taste = np.cumsum(person.taste)
        for number in range(max(1, int(rng.poisson(person.visits)))):
            shelf = shelves[min(int(np.searchsorted(taste, rng.random())), len(names) - 1)]
            if len(shelf):
                acts.extend(_visit(person, f"{person.user_id}-s{number + 1}", goods, shelf, liked[row], rng, said))
    return sorted(acts, key=lambda act: (act.event_time_us, act.user_id, act.event_seq))


def _visit(
    person: Shopper, session: str, goods: Sequence[Product], shelf: np.ndarray, liked: np.ndarray, rng: np.random.Generator, said: Grammars
) -> list[Event]:
    now = START_US + int(rng.integers(0, DAYS)) * DAY_US + int(np.clip(rng.normal(17, 4), 0, 23.5) * 3600) * SECOND_US
    keen = liked[shelf] + rng.gumbel(size=len(shelf))
    seen = shelf[np.argsort(-keen)][: 2 + int(rng.poisson(2.2))]
    device, channel = pick(rng, ("mobile", "mobile", "desktop", "tablet")), pick(rng, ("direct", "search", "email", "social", "direct"))
    acts: list[Event] = []

    def act(name: str, good: Product | None = None, term: str | None = None, order: str | None = None) -> None:
        nonlocal now
        now += int(rng.integers(6, 95)) * SECOND_US
        price = (good.sale_cents or good.price_cents) if good else None
        quantity = None if good is None or name == "view_item" else 2 if rng.random() < 0.06 else 1
        item = good.id if good else None
        acts.append(
            Event(now, len(acts), name, person.user_id, session, item, price, quantity, term, order, device, channel, person.country)
        )

    if rng.random() < 0.35:
        wanted = goods[seen[0]]
        act("search", term=said.catalogue.say("search", rng, wanted.facts() | {"noun": wanted.noun, "use": wanted.use}, wanted.category))
    basket = []
    for index in seen:
        good = goods[index]
        act("view_item", good)
        if rng.random() < 1 / (1 + np.exp(-(liked[index] - 2.2))):
            act("add_to_cart", good)
            basket.append(good)
    if basket and rng.random() < 0.6:
        order = f"A-{10_000_000 + int(rng.integers(0, 89_999_999))}"
        for good in basket[:3]:
            act("purchase", good, order=order)
    return acts
