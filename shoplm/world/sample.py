"""The first sample shop: a few hundred products and shoppers, their visits, reviews and chats, as tables.

The tables are a pure function of the configuration: same settings, same bytes. Nothing is written but by
``write_csv``. Wrong on purpose, and listed by ``planted_faults``: reviews copied across products, reviews
without a word, ratings of 7, products without description or at price 0, and one visitor who is a bot. Stars
carry about 6 % slips, intents about 3 %. Everything else is as clean as a shop ever is.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pydantic

from shoplm.config import Config
from shoplm.errors import ResourceError
from shoplm.world import columns
from shoplm.world.catalogue import Product, products
from shoplm.world.chats import Turn, chats
from shoplm.world.faults import Fault, add_bot, spoil_products, spoil_reviews
from shoplm.world.reviews import Review, reviews
from shoplm.world.shoppers import Event, Shopper, events, shoppers
from shoplm.world.speech import Language, grammars

REVIEWS_PER_SHOPPER = 7.5
QUESTIONS_PER_SHOPPER = 6.25


class SampleConfig(Config):
    """How large the sample shop is, and which of all possible ones."""

    shoppers: int = pydantic.Field(default=400, ge=1, le=20_000)
    """Each writes about 7.5 reviews and asks about 6.25 questions."""
    products: int = pydantic.Field(default=240, ge=12, le=20_000)
    """Spread over twelve categories."""
    language: Language = "en"
    """Of everything that people read."""
    seed: int = pydantic.Field(default=0, ge=0)


@dataclass(frozen=True)
class _World:
    """The shop with its truth, before it becomes tables."""

    products: Sequence[Product]
    shoppers: Sequence[Shopper]
    events: Sequence[Event]
    reviews: Sequence[Review]
    chats: Sequence[Turn]
    faults: Sequence[Fault]


def tables(config: SampleConfig) -> dict[str, pa.Table]:
    """The shop's tables by their names in the contract: products, users, events, reviews, chats."""
    world = _world(config)
    return {
        "products": columns.products(world.products, config.language),
        "users": columns.users(world.shoppers, config.language),
        "events": columns.events(world.events, config.language),
        "reviews": columns.reviews(world.reviews, config.language),
        "chats": columns.chats(world.chats, config.language),
    }


def planted_faults(config: SampleConfig) -> tuple[Fault, ...]:
    """What is wrong on purpose in ``tables(config)``; the list of kinds is at the top of ``faults``."""
    return tuple(_world(config).faults)


def write_csv(config: SampleConfig, folder: Path) -> list[Path]:
    """The tables as one UTF-8 CSV file each, as a shop would export them.

    Lists are joined with ``|``, times are RFC 3339 in UTC, what is absent is an empty field. Each file is
    written aside and then put in its place, so that no file is ever seen half-written.

    Returns:
        The files, in the order of ``tables``.

    Raises:
        ResourceError: the folder cannot be made or written.
    """
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in tables(config).items():
            target = folder / f"{name}.csv"
            _write_aside(_flat(table), target)
            files.append(target)
    except OSError as error:
        raise ResourceError(f"{folder}: cannot be written ({error.strerror or error}); give a folder that you may write to") from None
    return files


def _world(config: SampleConfig) -> _World:
    # A generator per table: a longer chat grammar must not change the reviews.
    rng = [np.random.default_rng([config.seed, part]) for part in range(6)]
    said, language = grammars(config.language), config.language
    goods = products(config.products, rng[0], said, language)
    people = shoppers(config.shoppers, rng[1], said, language)
    acts = events(people, goods, rng[2], said)
    opinions = reviews(round(config.shoppers * REVIEWS_PER_SHOPPER), people, goods, acts, rng[3], said, language)
    turns = chats(round(config.shoppers * QUESTIONS_PER_SHOPPER), people, goods, acts, rng[4], said, language)
    shown, wrong_products = spoil_products(goods, rng[5])
    acts, wrong_events = add_bot(acts, goods, rng[5])
    opinions, wrong_reviews = spoil_reviews(opinions, goods, people, rng[5], said)
    return _World(shown, people, acts, opinions, turns, (*wrong_products, *wrong_events, *wrong_reviews))


def _flat(table: pa.Table) -> pa.Table:
    """The table in types that CSV has."""
    flat = []
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_list(field.type):
            column = pc.binary_join(column, "|")
        elif pa.types.is_timestamp(field.type):
            column = pc.strftime(column.cast(pa.timestamp("s", tz="UTC")), format="%Y-%m-%dT%H:%M:%SZ")
        flat.append(column)
    return pa.table(flat, names=table.column_names)


def _write_aside(table: pa.Table, target: Path) -> None:
    handle, aside = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            pa.csv.write_csv(table, file)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).chmod(0o644)  # mkstemp makes files that nobody else may read
        Path(aside).replace(target)
    except BaseException:
        Path(aside).unlink()
        raise
