"""A shop's own rules about its lists, from a YAML file: what may be listed, what counts more, how much of one kind, what stands where.

    filter:                           # only what all of these are true of is listed
      - availability != "backorder"
    hide:                             # nothing that one of these is true of is listed
      - brand in ("Acme", "Bolt") and shopper.country == "DE"
    promote:                          # the score is multiplied
      - {when: age_days < 30, by: 1.5}
    cap: {brand: 2, product_type: 3}  # at most so many of one on a page
    pin:                              # stands there, whoever asks
      - {item: JK-33125, place: 1, when: shopper.new}

Conditions are those of ``conditions``. Nothing that is filtered, hidden or out of stock is pinned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pydantic

from shoplm.apps.conditions import SHOPPER, Condition, Kind, holds, names, parse
from shoplm.config import Config, read_yaml
from shoplm.errors import ConfigError, did_you_mean
from shoplm.retrieve.histories import Float32


class Promotion(Config):
    """What counts more, or less."""

    when: str
    """Of which items."""
    by: float = pydantic.Field(gt=0, le=1000)
    """What their score is multiplied by; below 1 they count less."""


class PinConfig(Config):
    """What stands where."""

    item: str
    place: int = pydantic.Field(ge=1)
    """From 1."""
    when: str | None = None
    """Only if this is true of the item and the shopper; None = always."""


class RulesConfig(Config):
    """What a file of rules holds."""

    filter: tuple[str, ...] = ()
    """Conditions that all must be true."""
    hide: tuple[str, ...] = ()
    """Conditions of which none may be true."""
    promote: tuple[Promotion, ...] = ()
    cap: Mapping[str, pydantic.PositiveInt] = {}
    """Of a column of words such as brand or product_type: how many items of one value may be on a page."""
    pin: tuple[PinConfig, ...] = ()


@dataclass(frozen=True)
class Rule:
    """One line of the file."""

    said: str
    """As a message names it: ``hide 1 (brand == "Acme")``."""
    condition: Condition


@dataclass(frozen=True)
class Applied:
    """What rules come to for one shopper, or for all where they do not look at who asks."""

    barred: npt.NDArray[np.bool_]
    """(N) items that may not be listed."""
    boost: Float32
    """(N) what scores are multiplied by."""
    pins: Mapping[int, int]
    """Place, from 0 -> the code of the item."""
    bars: Mapping[str, int]
    """Of each rule that bars items, how many."""


@dataclass(frozen=True)
class Rules:
    """A file's rules, read and checked."""

    filters: tuple[Rule, ...] = ()
    hides: tuple[Rule, ...] = ()
    promotions: tuple[tuple[Rule, float], ...] = ()
    caps: Mapping[str, int] = field(default_factory=dict)
    pins: tuple[tuple[str, int, Rule | None], ...] = ()

    @property
    def columns(self) -> set[str]:
        """The items' columns that they speak of."""
        return {name for name in self._names if not name.startswith(SHOPPER)} | set(self.caps)

    @property
    def asks_who(self) -> bool:
        """Whether they look at the shopper."""
        return any(name.startswith(SHOPPER) for name in self._names)

    @property
    def _names(self) -> set[str]:
        rules = [*self.filters, *self.hides, *(rule for rule, _ in self.promotions), *(rule for _, _, rule in self.pins if rule)]
        return {name for rule in rules for name in names(rule.condition)}

    def applied(self, items: pa.Table, place: Mapping[str, int], shopper: Mapping[str, Any] | None = None) -> Applied:
        """What they come to.

        Args:
            items: (N) the columns that they speak of.
            place: each item's code.
            shopper: what is known of who asks.
        """
        barred, boost = np.zeros(items.num_rows, bool), np.ones(items.num_rows, np.float32)
        bars: dict[str, int] = {}
        for rules, sense in ((self.filters, False), (self.hides, True)):
            for rule in rules:
                away = holds(rule.condition, items, shopper) == sense
                bars[rule.said] = int(away.sum())
                barred |= away
        for rule, by in self.promotions:
            boost[holds(rule.condition, items, shopper)] *= np.float32(by)
        pins: dict[int, int] = {}
        for item, at, only in self.pins:
            code = place.get(item)
            if code is not None and (only is None or holds(only.condition, items.slice(code, 1), shopper)[0]):
                pins.setdefault(at - 1, code)
        return Applied(barred, boost, pins, bars)


NONE = Rules()


def read(path: Path, columns: Mapping[str, Kind]) -> Rules:
    """The rules in a YAML file.

    Args:
        path: the file.
        columns: the names that conditions may speak of.

    Raises:
        ConfigError: the file is not to be read, has a key or a value that is none, or a condition is none.
    """
    return of(RulesConfig.of(read_yaml(path), str(path)), columns, str(path))


def of(config: RulesConfig, columns: Mapping[str, Kind], where: str = "rules") -> Rules:
    """The rules that a configuration says.

    Raises:
        ConfigError: a condition is none, or a cap is on a column that is none or not of words.
    """
    for name in config.cap:
        if name not in columns or name.startswith(SHOPPER):
            raise ConfigError(
                f"{where}: cap: no column `{name}`; {did_you_mean(name, (each for each in columns if not each.startswith(SHOPPER)))}"
            )
        if columns[name] != "text":
            raise ConfigError(f"{where}: cap: `{name}` is a {columns[name]}, expected a column of texts such as brand")

    def rules(kind: str, texts: Sequence[str | None]) -> list[Rule | None]:
        said = [(f"{kind} {place}", text) for place, text in enumerate(texts, 1)]
        return [
            None if text is None else Rule(f"{name} ({' '.join(text.split())})", parse(text, columns, f"{where}: {name}"))
            for name, text in said
        ]

    promotions = rules("promote", [one.when for one in config.promote])
    pins = rules("pin", [one.when for one in config.pin])
    return Rules(
        tuple(rule for rule in rules("filter", config.filter) if rule),
        tuple(rule for rule in rules("hide", config.hide) if rule),
        tuple((rule, one.by) for rule, one in zip(promotions, config.promote, strict=True) if rule),
        dict(config.cap),
        tuple((one.item, one.place, rule) for rule, one in zip(pins, config.pin, strict=True)),
    )
