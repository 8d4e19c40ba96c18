"""``<shop>/shop.yaml``: what the shop's owner has settled, such as how long rows are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from shoplm.config import Config, read_yaml
from shoplm.data import contract

FILE = "shop.yaml"
DAY_US = 86_400 * 1_000_000


class Retention(Config):
    """Days for which rows are kept, counted from the row's own time; without a number they stay. A row without a time stays."""

    events: int | None = Field(None, ge=1)
    """What shoppers did."""
    reviews: int | None = Field(None, ge=1)
    """What shoppers wrote about items."""
    ads: int | None = Field(None, ge=1)
    """Which ads were shown to whom."""
    spend: int | None = Field(None, ge=1)
    """What advertising cost."""
    chats: int | None = Field(None, ge=1)
    """Support conversations."""
    orders: int | None = Field(None, ge=1)
    """What was ordered; the law may ask for years."""
    labels: int | None = Field(None, ge=1)
    """Judgements."""


class ShopConfig(Config):
    """The settings of one shop."""

    retention_days: Retention = Retention(events=None, reviews=None, ads=None, spend=None, chats=None, orders=None, labels=None)
    """How long rows are kept, by table."""


def settings(shop: Path) -> ShopConfig:
    """What ``shop.yaml`` says; without one, the defaults.

    Raises:
        ConfigError: it cannot be read, or has an unknown key or a bad value.
    """
    file = shop / FILE
    return ShopConfig.of(read_yaml(file), str(file)) if file.exists() else ShopConfig()


def outdated(config: ShopConfig, now_us: int) -> Mapping[str, str]:
    """For each table with a limit, the SQL condition of the rows past it."""
    days = {name: number for name, number in config.retention_days.plain().items() if number is not None}
    return {name: f"{contract.table(name).clock} < make_timestamp({now_us - number * DAY_US})" for name, number in days.items()}
