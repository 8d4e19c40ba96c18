"""A text as the terms that it is found by, in any script: words, numbers with their units, codes, and signs of scripts without spaces.

What is written differently and means the same becomes one term: case, accents, plurals, ``5 inch`` and ``5"``, ``HP-43892`` and
``hp43892``. A run of Han, kana or Hangul gives its pairs of neighbouring signs and each sign (pairs find words without a
dictionary). The same function reads products and queries, so the two cannot drift.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

UNITS = {
    "in": ("in", "inch", "inches", '"', "”", "″", "英寸"), "ft": ("ft", "foot", "feet", "′"), "mm": ("mm", "毫米"), "cm": ("cm", "厘米"),
    "m": ("m", "metre", "metres", "meter", "meters", "米"), "yd": ("yd", "yard", "yards"), "oz": ("oz", "ounce", "ounces"),
    "lb": ("lb", "lbs", "pound", "pounds"), "kg": ("kg", "公斤", "千克"), "g": ("g", "gram", "grams", "克"),
    "ml": ("ml", "millilitre", "millilitres", "milliliter", "毫升"), "l": ("l", "litre", "litres", "liter", "liters", "升"),
    "gal": ("gal", "gallon", "gallons"), "w": ("w", "watt", "watts", "瓦"), "v": ("v", "volt", "volts", "伏"), "a": ("amp", "amps"),
    "gb": ("gb",), "tb": ("tb",), "mah": ("mah", "毫安"), "pk": ("pk", "pack", "packs", "count", "ct", "pcs", "piece", "pieces"),
}  # fmt: skip
"""A unit, and how it is written."""
_UNIT = {said: unit for unit, words in UNITS.items() for said in words}
_DENSE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_SIGNS = "|".join(re.escape(word) for word in sorted(_UNIT, key=len, reverse=True))
_PIECE = re.compile(
    rf"""(?P<number>(?<![^\W_])\d+(?:[.,/]\d+)*)[\s-]?(?P<unit>{_SIGNS})(?![^\W\d_{_DENSE}])\.?"""
    rf"""|(?P<dense>[{_DENSE}]+)"""
    rf"""|(?P<word>[^\W_{_DENSE}]+(?:['’][^\W\d_{_DENSE}]+|[-./&+][^\W_{_DENSE}]+)*)""",
    re.IGNORECASE,
)
_PARTS = re.compile(r"\d+|[^\W\d_]+")
LONGEST = 64
"""Signs of a term; what is longer is no word that anybody types, and is cut."""
_ACCENTS = re.compile("[\u0300-\u036f]")


def pieces(text: str) -> Iterator[tuple[str, int, int, bool]]:
    """What a text is made of: the piece as written, where it starts and stops, and whether it is a number with its unit."""
    for found in _PIECE.finditer(text):
        yield found.group(), found.start(), found.end(), found.lastgroup == "unit"


def terms(piece: str) -> tuple[str, ...]:
    """The terms of one piece, the one that says most first; none of it is empty."""
    text = piece.casefold() if piece.isascii() else plain(piece)
    found = _PIECE.match(text)
    if found is None:
        return ()
    if found.lastgroup == "unit":
        number, unit = found["number"].replace(",", ""), _UNIT[found["unit"]]
        return (number + unit, number)
    if found["dense"]:
        run = found["dense"]
        return tuple(dict.fromkeys([*(run[at : at + 2] for at in range(len(run) - 1)), *run]))
    word = found["word"].replace("’", "'")
    if word.isalpha():
        return (stem(word[:LONGEST]),)
    if "'" in word and not any(sign.isdigit() for sign in word):  # men's, l'eau
        head, _, tail = word.partition("'")
        return (stem(head[:LONGEST]),) if len(tail) < 3 else (stem(head[:LONGEST]), stem(tail[:LONGEST]))
    parts = _PARTS.findall(word)
    compact = "".join(parts)[:LONGEST]
    alone = [stem(part[:LONGEST]) for part in parts]
    return tuple(dict.fromkeys([compact, *alone])) if len(parts) > 1 else tuple(alone)


def plain(text: str) -> str:
    """Lower case, without accents, wide signs narrow."""
    folded = unicodedata.normalize("NFKC", text.replace("½", " 1/2").replace("¼", " 1/4").replace("¾", " 3/4")).casefold()
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", folded)))


def stem(word: str) -> str:
    """A word without its plural ending, by the three rules of Harman (1991), "How effective is suffixing?"."""
    if len(word) < 4 or word[-1] != "s" or not word.isascii():
        return word
    if word.endswith("ies") and word[-4] not in "ea":
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    return word if word.endswith(("us", "ss", "is")) else word[:-1]


def read(text: str, memo: dict[str, tuple[str, ...]]) -> list[str]:
    """The terms of a text in their order; ``memo`` holds what pieces became, for the next text."""
    found: list[str] = []
    for match in _PIECE.finditer(text if text.isascii() else unicodedata.normalize("NFKC", text)):
        piece = match.group()
        known = memo.get(piece)
        if known is None:
            known = memo[piece] = terms(piece)
        found.extend(known)
    return found


def marked(text: str, wanted: Sequence[str] | frozenset[str]) -> list[tuple[int, int]]:
    """(start, stop) of the places in a text that have one of the terms, in order, none over another."""
    found: list[tuple[int, int]] = []
    for piece, start, stop, _ in pieces(text):
        if not set(terms(piece)) & set(wanted):
            continue
        if re.match(f"[{_DENSE}]", piece):  # of a run without spaces only the signs that were asked for
            hit = {
                at + step for at in range(len(piece)) for step in (0, 1) if piece[at : at + 2] in wanted and len(piece[at : at + 2]) == 2
            }
            hit |= {at for at, sign in enumerate(piece) if sign in wanted}
            for at in sorted(hit):
                if found and found[-1][1] == start + at:
                    found[-1] = (found[-1][0], start + at + 1)
                else:
                    found.append((start + at, start + at + 1))
        else:
            found.append((start, stop))
    return found
