"""Redaction: what could name a person in a free text gives way to a typed placeholder such as ``[EMAIL]``.

E-mail, telephone, payment card, IBAN, identity card, postal address and personal names, Chinese and English. Order ids,
SKUs, sizes, dates, prices and tracking numbers stay. Always: text in, text out; a text without findings comes back as it
is; redacting twice changes nothing more; time in proportion to the length. The rules are our own, and a rule can miss:
``benchmarks/redaction.py`` measures the shares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data.redact.contacts import cards, emails, ibans, identities, phones
from shoplm.data.redact.found import Found, Kind
from shoplm.data.redact.people import names
from shoplm.data.redact.places import addresses

__all__ = ["Found", "Kind", "find", "redact", "redact_column"]

_PLACEHOLDER = re.compile(r"\[(?:EMAIL|IBAN|ID|CARD|PHONE|ADDRESS|NAME)\]")
_WIDE = {0xFF10 + digit: str(digit) for digit in range(10)} | {0xFF20: "@", 0xFF0B: "+", 0xFF0D: "-", 0x00A0: " ", 0x2011: "-", 0x2013: "-"}
"""Full-width digits and signs that people use for ASCII ones; each is one sign for one sign, so places stay."""
_NUMERIC: tuple[Callable[[str], Iterator[Found]], ...] = (ibans, identities, cards, phones)
_LONGEST = 4_000
"""Signs that are looked at together; a longer text is cut at white space."""


def find(text: str) -> list[Found]:
    """What stands in a text about a person: in order, without overlaps, never inside a placeholder."""
    plain = text if text.isascii() else text.translate(_WIDE)
    held: list[Found] = []
    for start, stop in _pieces(plain):
        held += [Found(one.start + start, one.stop + start, one.kind) for one in _found(plain[start:stop])]
    return held


def redact(text: str) -> str:
    """The text with a placeholder for everything that ``find`` finds, over and over until it finds nothing."""
    while found := find(text):
        parts, at = [], 0
        for one in found:
            parts += [text[at : one.start], f"[{one.kind}]"]
            at = one.stop
        text = "".join(parts) + text[at:]
    return text


def redact_column(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of texts redacted; equal texts are read once, nulls stay."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    coded = pc.dictionary_encode(whole)
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    texts = [redact(text) for text in coded.dictionary.to_pylist()]
    return pa.chunked_array([pa.array(texts, pa.string()).take(coded.indices)], type=pa.string())


def _found(text: str) -> list[Found]:
    digits = any("0" <= sign <= "9" for sign in text)
    candidates: list[Found] = list(emails(text)) if "@" in text or "at" in text or "AT" in text else []
    if digits:
        for rule in _NUMERIC:
            candidates += rule(text)
    candidates += addresses(text)
    candidates += names(text)
    if not candidates:
        return []
    taken = [(found.start(), found.end()) for found in _PLACEHOLDER.finditer(text)]
    kept: list[Found] = []
    for one in candidates:  # the surer rules come first
        if one.stop > one.start and all(one.stop <= start or stop <= one.start for start, stop in taken):
            kept.append(one)
            taken.append((one.start, one.stop))
    return sorted(kept)


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while len(text) - start > _LONGEST:
        cut = text.rfind(" ", start + _LONGEST // 2, start + _LONGEST)
        stop = cut if cut > start else start + _LONGEST
        yield start, stop
        start = stop
    if start < len(text):
        yield start, len(text)
