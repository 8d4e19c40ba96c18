"""profile: from what one shopper did to what the shop may say of them, each claim with the acts that it rests on.

Nothing is guessed: a claim is a sum over rows that are handed in, and names them. What is handed in is all that was known at the
moment; an older act counts half for every ``HALF_LIFE_DAYS`` that it lies back, so tastes follow the shopper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

DAY_US = 86_400_000_000
HALF_LIFE_DAYS = 90.0
"""After how many days an act says half of a taste."""
SIGNS: Mapping[str, float] = {
    "view_item": 0.2, "select_item": 0.2, "add_to_wishlist": 0.5, "add_to_cart": 0.6, "begin_checkout": 0.7, "purchase": 1.0,
}  # fmt: skip
"""How much an act says of a taste."""
ACTS = 2
"""Acts that a taste rests on, at least."""
SHOWN, EVIDENCE = 5, 5
"""Claims of a kind, and acts of a claim, that are told; all are counted."""
MONTHS = 12
"""Months of the picture of tastes over time."""
LIKED, DISLIKED = 4.0, 2.0
"""Stars from which, and up to which, a review's words speak for and against."""


@dataclass(frozen=True)
class Act:
    """Something that the shopper did."""

    id: str
    at_us: int
    name: str
    """``purchase``, ``search`` and so on; ``review`` of a review."""
    about: str
    """The product's title, or the words searched for."""
    item_id: str | None = None
    price: float | None = None
    quantity: float = 1.0
    facets: Mapping[str, str] = field(default_factory=dict)
    """What the product is: kind, brand, colour, …"""

    def plain(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        return {"id": self.id, "at": written(self.at_us), "act": self.name, "about": self.about}


@dataclass(frozen=True)
class Review:
    """Something that the shopper wrote."""

    act: Act
    rating: float | None
    said: Sequence[tuple[str, str]]
    """(aspect or word, ``positive`` or ``negative``)."""


@dataclass(frozen=True)
class Claim:
    """Something that may be said of the shopper."""

    what: str
    value: str
    share: float | None
    """In [0, 1], its part of what the shopper's acts say; None where that means nothing."""
    usual: float | None
    """The same of all shoppers."""
    acts: int
    """How many it rests on."""
    evidence: tuple[Act, ...]
    """The weightiest of these, the newest first."""

    def plain(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        return {"what": self.what, "value": self.value, "share": _rounded(self.share), "usual": _rounded(self.usual), "acts": self.acts,
                "evidence": [act.plain() for act in self.evidence]}  # fmt: skip


@dataclass(frozen=True)
class Band:
    """What the shopper pays, in one currency."""

    low: float
    middle: float
    high: float
    """Quartiles of the prices of what was bought."""
    place: float | None
    """Mean place of these prices among those that everybody paid for things of the same kind, in [0, 1]; None where nothing compares."""
    purchases: int
    evidence: tuple[Act, ...]

    @property
    def words(self) -> str:
        """Where that is."""
        if self.place is None:
            return "nothing to compare with"
        return "cheaper than most" if self.place < 1 / 3 else "dearer than most" if self.place > 2 / 3 else "like most"


@dataclass(frozen=True)
class Rhythm:
    """How often and how much."""

    recency_days: float
    """Since the last act."""
    bought_days: float | None
    """Since the last purchase."""
    orders: int
    """Days on which something was bought."""
    between_days: float | None
    """Median days from one such day to the next."""
    spent: float
    """Sum of prices times pieces."""
    returned: int
    visits: int
    """Days with any act."""
    since_us: int


@dataclass(frozen=True)
class Profile:
    """What may be said of one shopper at one moment."""

    user_id: str
    at_us: int
    ids: tuple[str, ...]
    acts: int
    tastes: tuple[Claim, ...]
    months: Sequence[str]
    over_time: Mapping[str, Sequence[float]]
    """Of each of the foremost kinds its share in each month, NaN in one without acts."""
    price: Band | None
    currency: str
    liked: tuple[Claim, ...]
    disliked: tuple[Claim, ...]
    searches: tuple[Claim, ...]
    rhythm: Rhythm | None
    notes: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As ``--json`` gives it."""
        price = None
        if self.price is not None:
            price = {"low": self.price.low, "middle": self.price.middle, "high": self.price.high, "currency": self.currency, "place": _rounded(self.price.place),
                     "words": self.price.words, "purchases": self.price.purchases, "evidence": [act.plain() for act in self.price.evidence]}  # fmt: skip
        rhythm = None if self.rhythm is None else {**asdict(self.rhythm), "since": written(self.rhythm.since_us)}
        return {
            "user_id": self.user_id, "at": written(self.at_us), "ids": list(self.ids), "acts": self.acts, "half_life_days": HALF_LIFE_DAYS,
            "tastes": [claim.plain() for claim in self.tastes], "price": price, "liked": [claim.plain() for claim in self.liked],
            "disliked": [claim.plain() for claim in self.disliked], "searches": [claim.plain() for claim in self.searches], "rhythm": rhythm,
            "over_time": {"months": list(self.months), "shares": {name: [_rounded(one) for one in line] for name, line in self.over_time.items()}},
            "notes": list(self.notes),
        }  # fmt: skip


def drawn(
    user_id: str,
    ids: Sequence[str],
    acts: Sequence[Act],
    reviews: Sequence[Review],
    *,
    usual: Mapping[str, Mapping[str, float]],
    paid: Mapping[str, Sequence[float]],
    currency: str,
    at_us: int,
    notes: Sequence[str] = (),
) -> Profile:
    """What follows from one shopper's rows.

    Args:
        user_id: who was asked for.
        ids: all ids of the person.
        acts: what was done strictly before the moment, oldest first.
        reviews: what was written strictly before it, oldest first.
        usual: for each facet, the share of each value among all shoppers' acts.
        paid: for each kind, the prices that everybody paid before the moment, ascending.
        currency: of all prices.
        at_us: the moment, UTC microseconds.
        notes: what could not be taken into account, in words.
    """
    told = [act for act in acts if act.name in SIGNS and act.item_id is not None]
    worth = np.array([SIGNS[act.name] * fading(at_us - act.at_us) for act in told])
    tastes = [claim for facet in usual for claim in _tastes(facet, told, worth, usual[facet])]
    months, lines = _over_time(told, at_us)
    both = [_said(reviews, mood) for mood in ("positive", "negative")]
    return Profile(
        user_id, at_us, tuple(ids), len(acts), tuple(tastes), months, lines, _band([act for act in acts if act.name == "purchase"], paid), currency,
        both[0], both[1], _searches(acts), _rhythm(acts, at_us), tuple(notes),
    )  # fmt: skip


def fading(ago_us: int) -> float:
    """What an act that lies so far back still counts, in (0, 1]."""
    return float(0.5 ** min(ago_us / (HALF_LIFE_DAYS * DAY_US), 60.0))


def written(at_us: int) -> str:
    """A moment as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).isoformat().replace("+00:00", "Z")


def _tastes(facet: str, told: Sequence[Act], worth: np.ndarray[Any, Any], usual: Mapping[str, float]) -> list[Claim]:
    """The values of one facet that most is said for."""
    total: dict[str, float] = {}
    rows: dict[str, list[int]] = {}
    for at, act in enumerate(told):
        if value := act.facets.get(facet):
            total[value] = total.get(value, 0.0) + float(worth[at])
            rows.setdefault(value, []).append(at)
    whole = sum(total.values())
    kept = [value for value in sorted(total, key=lambda one: (-total[one], one)) if len(rows[value]) >= ACTS and whole > 0][:SHOWN]
    found = []
    for value in kept:
        best = sorted(rows[value], key=lambda at: (-worth[at], -at))[:EVIDENCE]
        found.append(
            Claim(
                facet, value, total[value] / whole, usual.get(value), len(rows[value]), tuple(told[at] for at in sorted(best, reverse=True))
            )
        )
    return found


def _over_time(told: Sequence[Act], at_us: int) -> tuple[list[str], dict[str, list[float]]]:
    """Shares of the foremost kinds, month by month, without fading: the picture shows how tastes moved."""
    if not told:
        return [], {}
    last = datetime.fromtimestamp(at_us // 1_000_000, UTC)
    months = [
        f"{(last.year * 12 + last.month - 1 - ago) // 12}-{(last.year * 12 + last.month - 1 - ago) % 12 + 1:02d}" for ago in range(MONTHS)
    ][::-1]
    sums: dict[str, dict[str, float]] = {}
    whole: dict[str, float] = {}
    for act in told:
        month, kind = written(act.at_us)[:7], act.facets.get("kind")
        if kind and month in months:
            of = sums.setdefault(kind, {})
            of[month] = of.get(month, 0.0) + SIGNS[act.name]
            whole[month] = whole.get(month, 0.0) + SIGNS[act.name]
    foremost = sorted(sums, key=lambda kind: (-sum(sums[kind].values()), kind))[:4]
    begun = next((at for at, month in enumerate(months) if month in whole), len(months))
    shown = months[begun:]
    return shown, {
        kind: [sums[kind].get(month, 0.0) / whole[month] if month in whole else float("nan") for month in shown] for kind in foremost
    }


def _band(bought: Sequence[Act], paid: Mapping[str, Sequence[float]]) -> Band | None:
    known = [act for act in bought if act.price is not None]
    if not known:
        return None
    prices = np.array([act.price for act in known], float)
    places = []
    for act, price in zip(known, prices.tolist(), strict=True):
        others = paid.get(act.facets.get("kind", ""), ())
        if len(others) >= 2 * ACTS:
            below, upto = np.searchsorted(others, price, "left"), np.searchsorted(others, price, "right")
            places.append((below + upto) / 2 / len(others))
    low, middle, high = (round(float(one), 2) for one in np.percentile(prices, [25, 50, 75]))
    return Band(low, middle, high, float(np.mean(places)) if places else None, len(known), tuple(known[-EVIDENCE:][::-1]))


def _said(reviews: Sequence[Review], mood: str) -> tuple[Claim, ...]:
    """What reviews say of aspects in one mood, the commonest first."""
    rows: dict[str, list[Act]] = {}
    for review in reviews:
        for what, how in dict.fromkeys(review.said):
            if how == mood:
                rows.setdefault(what, []).append(review.act)
    best = sorted(rows, key=lambda what: (-len(rows[what]), -rows[what][-1].at_us, what))[:SHOWN]
    return tuple(
        Claim("liked" if mood == "positive" else "disliked", what, None, None, len(rows[what]), tuple(rows[what][-EVIDENCE:][::-1]))
        for what in best
    )


def _searches(acts: Sequence[Act]) -> tuple[Claim, ...]:
    rows: dict[str, list[Act]] = {}
    for act in acts:
        if act.name == "search" and act.about:
            rows.setdefault(act.about.casefold(), []).append(act)
    best = sorted(rows, key=lambda what: (-len(rows[what]), -rows[what][-1].at_us, what))[:SHOWN]
    whole = sum(map(len, rows.values()))
    return tuple(
        Claim("search", what, len(rows[what]) / whole, None, len(rows[what]), tuple(rows[what][-EVIDENCE:][::-1])) for what in best
    )


def _rhythm(acts: Sequence[Act], at_us: int) -> Rhythm | None:
    if not acts:
        return None
    bought = [act for act in acts if act.name == "purchase"]
    days = sorted({act.at_us // DAY_US for act in bought})
    gaps = np.diff(days)
    return Rhythm(
        round((at_us - acts[-1].at_us) / DAY_US, 2),
        round((at_us - bought[-1].at_us) / DAY_US, 2) if bought else None,
        len(days),
        float(np.median(gaps)) if len(gaps) else None,
        round(sum((act.price or 0.0) * act.quantity for act in bought), 2),
        sum(act.name == "refund" for act in acts),
        len({act.at_us // DAY_US for act in acts}),
        acts[0].at_us,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None or value != value else round(value, 4)
