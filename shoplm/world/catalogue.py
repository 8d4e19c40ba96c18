"""Products with the truth that a shop never sees: how good each one is, how it fits, where it is weak.

The twelve categories are the same in every language; only the words differ.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shoplm.world.grammar import pick
from shoplm.world.speech import Grammars, Language, sentence

DAY_US = 86_400_000_000
WEEK_US = 7 * DAY_US
SECOND_US = 1_000_000
START_US = 1_719_792_000_000_000
"""2024-07-01T00:00:00Z, a Monday: the first day of every simulated shop."""
VARIANTS = 0.3
"""Share of products that are another colour of one that is there already."""

EVERY_UNNAMED = 11
"""Among so many products one has a title that does not say what it is (`Wexley Harbour, Black`); its variants neither."""
EVERY_VAGUE = 3
"""Among so many of those one has a description that does not say it either."""

BUYING = ("delivery", "packaging", "price", "service")
"""What every purchase has in common."""

_LETTERS = ("XS", "S", "M", "L", "XL")
_FEET = ("37", "38", "39", "40", "41", "42", "43", "44")


@dataclass(frozen=True)
class Category:
    """What all dresses, or all kettles, have in common."""

    aspects: tuple[str, ...]
    """What its reviews are about, ``BUYING`` apart."""
    low: int
    """Whole units of the currency; prices run from ``low`` to ``high``, cheap ones being commoner."""
    high: int
    sizes: tuple[str, ...] = ()
    """No sizes: nothing to fit."""
    gender: str | None = None


CATEGORIES: Mapping[str, Category] = {
    "dress": Category(("fit", "fabric", "stitching", "colour", "comfort", "wash"), 35, 150, _LETTERS, "female"),
    "jacket": Category(("fit", "fabric", "storage", "durability", "comfort", "stitching"), 60, 260, _LETTERS, "unisex"),
    "trainers": Category(("fit", "comfort", "durability", "colour", "stitching"), 45, 160, _FEET, "unisex"),
    "knit": Category(("fit", "fabric", "softness", "wash", "colour", "stitching"), 40, 180, _LETTERS, "unisex"),
    "headphones": Category(("sound", "battery", "connection", "comfort", "durability"), 30, 320),
    "watch": Category(("screen", "battery", "connection", "comfort", "durability"), 60, 350),
    "kettle": Category(("heat", "noise", "cleaning", "durability", "smell"), 25, 130),
    "pan": Category(("surface", "heat", "cleaning", "durability"), 20, 140),
    "backpack": Category(("storage", "comfort", "stitching", "durability", "colour"), 30, 170),
    "lamp": Category(("light", "durability", "noise", "colour"), 25, 190),
    "bedding": Category(("softness", "fabric", "wash", "colour", "stitching"), 40, 220),
    "cream": Category(("skin", "smell", "packaging"), 12, 75),
}


@dataclass(frozen=True)
class Product:
    """One product: what the shop prints, and the truth about it."""

    id: str
    category: str
    title: str
    description: str
    path: str
    brand: str
    noun: str
    piece: str
    """One of it, as it stands after *a*: pair of trainers."""
    style: str
    material: str
    color: str
    highlights: tuple[str, ...]
    use: str
    price_cents: int
    sale_cents: int | None
    availability: str
    created_at_us: int
    quality: float
    """Truth: about normal with mean 0; drives stars and returns. More than a third of its variance is the brand's reputation."""
    look: float
    """Truth: how good it looks before it is bought, about normal; follows quality loosely."""
    group: str
    """Shared by the colours of one product."""
    runs: float
    """Truth: how many sizes it comes up large (+) or small (-); 0 where there are no sizes."""
    strong: str
    """Truth: the aspect that is praised most."""
    weak: str
    """Truth: the aspect that is cursed most."""
    price_rank: float
    """From -1, the cheapest of its category, to 1, the dearest."""

    def words(self) -> dict[str, str]:
        """What its colours have in common, by the names of the grammar."""
        shared = {
            "brand": self.brand,
            "style": self.style,
            "noun": self.noun,
            "material": self.material,
            "use": self.use,
            "path": self.path,
        }
        return shared | {"feature": self.highlights[0], "feature2": self.highlights[1]}

    def facts(self) -> dict[str, str]:
        """The words that phrases about this product may use."""
        return {"noun": self.piece, "brand": self.brand, "material": self.material, "color": self.color, "style": self.style.lower()}


def reputations(rng: np.random.Generator, said: Grammars) -> dict[str, float]:
    """How good a brand's things are on the whole, about normal."""
    brands = said.catalogue.options("brand")
    return dict(zip(brands, (float(value) for value in rng.normal(size=len(brands))), strict=True))


def products(count: int, rng: np.random.Generator, said: Grammars, language: Language) -> list[Product]:
    """``count`` products over all categories; their titles differ."""
    names, known = list(CATEGORIES), reputations(rng, said)
    titles: set[str] = set()
    made: list[Product] = []
    for number in range(count):
        category = names[number % len(names)]
        first = made[number - len(names)] if number >= len(names) and rng.random() < VARIANTS else None
        product = _product(number, category, rng, said, language, titles, known, first)
        titles.add(product.title)
        made.append(product)
    return made


def _product(
    number: int,
    category: str,
    rng: np.random.Generator,
    said: Grammars,
    language: Language,
    taken: set[str],
    known: Mapping[str, float],
    first: Product | None,
) -> Product:
    """A product of its own, or, where ``first`` is given, that one in another colour."""
    shape, grammar = CATEGORIES[category], said.catalogue
    rank = float(rng.beta(1.6, 2.6))
    cents = int(shape.low + rank * (shape.high - shape.low)) * 100 + pick(rng, (0, 50, 90, 95, 99))
    names = ("brand", "style", "noun", "material", "color", "use", "feature", "path", "sku")
    words = {name: grammar.say(name, rng, scope=category) for name in names}
    others = [feature for feature in grammar.options(f"{category}.feature") if feature != words["feature"]]
    words["feature2"] = pick(rng, others)
    if first:
        words |= {name: value for name, value in first.words().items() if name != "color"}
    title = ""
    for tries in range(50):  # a huge catalogue may run out of titles: then the number tells them apart
        again = ("color",) if first else ("style", "color", "brand")
        words |= {name: grammar.say(name, rng, scope=category) for name in again}
        facts = {**words, **{name.title(): words[name].title() for name in ("style", "noun", "material", "color")}}
        title = grammar.say("wearable_title" if shape.sizes else "thing_title", rng, facts)
        title = title if language == "en" else title.replace(" ", "")
        title = title if tries < 49 or title not in taken else f"{title} {number}"
        if title not in taken:
            break
    clauses = grammar.say("description", rng, words, category)
    kind = words["noun"].lower()
    if number % EVERY_UNNAMED == 7 if first is None else kind not in first.title.lower():
        # from words that its variants share, and apart from `rng`: the rest of the world stays what it was
        own_draws = np.random.default_rng(zlib.crc32("".join(words[name] for name in ("brand", "style", "material", "feature")).encode()))
        line = grammar.say("Line", own_draws)
        title = f"{words['brand']} {line}, {words['color'].title()}" if language == "en" else f"{words['brand']}「{line}」{words['color']}"
        title = title if title not in taken else f"{title} {number}"
        if own_draws.random() < 1 / EVERY_VAGUE:
            clauses = grammar.say("ending", own_draws, words, category)
    weak, strong = rng.permutation(len(shape.aspects))[:2]
    quality = 0.6 * known[words["brand"]] + 0.8 * float(rng.normal())
    name = f"{words['sku']}-{10_000 + number * 37}"
    own = Product(
        id=name,
        category=category,
        title=title,
        description=sentence(clauses, "." if language == "en" else "", language),
        path=words["path"],
        brand=words["brand"],
        noun=words["noun"],
        piece=grammar.say("piece", rng, words, category),
        style=words["style"],
        material=words["material"],
        color=words["color"],
        highlights=(words["feature"], words["feature2"]),
        use=words["use"],
        price_cents=cents,
        sale_cents=int(cents * 0.8) if rng.random() < 0.15 else None,
        availability=pick(rng, ("in_stock",) * 17 + ("out_of_stock", "out_of_stock", "backorder")),
        created_at_us=START_US - int(rng.integers(10, 700)) * DAY_US + int(rng.integers(0, 86_400)) * SECOND_US,
        quality=quality,
        look=0.4 * quality + 0.9 * float(rng.normal()),
        group=f"g-{name}",
        runs=float(rng.normal(0, 0.7)) if shape.sizes else 0.0,
        strong=shape.aspects[strong],
        weak=shape.aspects[weak],
        price_rank=2 * rank - 1,
    )
    if first is None:
        return own
    return dataclasses.replace(
        own,
        group=first.group,
        price_cents=first.price_cents,
        sale_cents=first.sale_cents,
        price_rank=first.price_rank,
        quality=first.quality,
        runs=first.runs,
        strong=first.strong,
        weak=first.weak,
    )
