"""One thing about a person, found in a text."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["EMAIL", "IBAN", "ID", "CARD", "PHONE", "ADDRESS", "NAME"]


class Found(NamedTuple):
    """Where it stands, in characters, and what it is."""

    start: int
    stop: int
    kind: Kind
