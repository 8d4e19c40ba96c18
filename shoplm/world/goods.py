"""The catalogue as columns: what the engine computes with, one row per product.

P products, B brands, C categories, D dimensions of style. Whatever is called truth here never enters a shop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from shoplm.world.catalogue import CATEGORIES, Product

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
Ints: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

STYLES = 8
"""Dimensions of style: what two shoppers who love the same category may still differ in."""


@dataclass(frozen=True)
class Goods:
    """Products by column; P is their number."""

    ids: np.ndarray[Any, np.dtype[np.str_]]
    """(P,)"""
    category: Ints
    """(P,) place in ``CATEGORIES``"""
    brand: Ints
    """(P,) place in ``brands``"""
    brands: tuple[str, ...]
    group: Ints
    """(P,) equal for the colours of one product"""
    cents: Ints
    """(P,) what was paid when the shop opened: the sale price where there was one; ``prices`` says what became of it"""
    price_rank: Floats
    """(P,) from -1, the cheapest of its category, to 1"""
    quality: Floats
    """(P,) truth"""
    look: Floats
    """(P,) truth"""
    runs: Floats
    """(P,) truth; 0 where nothing has to fit"""
    sized: Flags
    """(P,) whether there are sizes"""
    style: Floats
    """(P, D) truth; the colours of one product share most of it"""
    shelves: tuple[Ints, ...]
    """products of each category"""


def columns_of(goods: Sequence[Product], rng: np.random.Generator) -> Goods:
    """The products' columns; their styles are drawn here."""
    places = {name: place for place, name in enumerate(CATEGORIES)}
    category = np.array([places[good.category] for good in goods], dtype=np.int64)
    brands = tuple(sorted({good.brand for good in goods}))
    groups = {name: place for place, name in enumerate(dict.fromkeys(good.group for good in goods))}
    group = np.array([groups[good.group] for good in goods], dtype=np.int64)
    shared = rng.normal(size=(len(groups), STYLES))[group]
    style = (0.9 * shared + 0.45 * rng.normal(size=(len(goods), STYLES))).astype(np.float32)

    def numbers(values: Sequence[float]) -> Floats:
        return np.array(values, dtype=np.float32)

    return Goods(
        ids=np.array([good.id for good in goods]),
        category=category,
        brand=np.array([brands.index(good.brand) for good in goods], dtype=np.int64),
        brands=brands,
        group=group,
        cents=np.array([good.sale_cents or good.price_cents for good in goods], dtype=np.int64),
        price_rank=numbers([good.price_rank for good in goods]),
        quality=numbers([good.quality for good in goods]),
        look=numbers([good.look for good in goods]),
        runs=numbers([good.runs for good in goods]),
        sized=np.array([bool(CATEGORIES[good.category].sizes) for good in goods]),
        style=style,
        shelves=tuple(np.nonzero(category == place)[0] for place in range(len(CATEGORIES))),
    )
