"""Google Merchant product feeds, as tab separated text or as XML (RSS 2.0 or Atom), into ``products``.

XML is read element by element; a feed that declares entities or a document type is refused, so none is ever expanded
or fetched. ``15.00 USD`` is split, and the category levels come from ``product_type``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.parsers import expat

from shoplm.data.importers._drive import chunks
from shoplm.data.importers._lines import BLOCK, CHARACTERS, ROWS, Batch, Record, csv_batches, one_line
from shoplm.data.importers._rows import Broken, Row, levels, path, price, rest
from shoplm.data.ingest import Chunk
from shoplm.errors import DataError

SINGLE = ("id", "title", "description", "link", "image_link", "availability", "brand", "gtin", "mpn", "condition", "google_product_category",
          "item_group_id", "color", "size", "material", "pattern", "gender", "age_group")  # fmt: skip
FILLED = {
    "products": (*SINGLE, "product_type", "price", "sale_price", "currency", "category_l1", "category_l2", "category_l3", "category_l4",
                 "category_l5", "additional_image_link", "product_highlight"),
}  # fmt: skip
GOOGLE = "http://base.google.com/ns/1.0"
DEPTH = 20


def read(files: Sequence[Path], table: str | None = None) -> Iterator[Chunk]:
    """The items of feeds; a file that begins with ``<`` is XML, any other tab separated.

    Raises:
        DataError: a file cannot be read or its XML is broken or unsafe, or ``table`` is not ``products``.
    """
    return chunks(files, _batches, lambda _: _rows, FILLED, table, "merchant", untyped=True)


def _batches(file: Path) -> Iterator[Batch]:
    with file.open("rb") as raw:
        start = raw.read(200).replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    return _xml_batches(file) if start.startswith(b"<") else csv_batches(file, "\t")


def _rows(theirs: Record) -> Iterator[Row]:
    item: Record = {}
    for name, value in theirs.items():
        ours = name.strip().lower().removeprefix("g:").replace(" ", "_")
        item[name if ours in item else ours] = value
    more = rest(item, *FILLED["products"])
    for name in (*SINGLE, "price", "sale_price"):
        if isinstance(item.get(name), list | dict):
            raise Broken(name, item[name], "is given several times or is no plain text", "give it once")
    kinds = item.get("product_type")
    if isinstance(kinds, list):
        kinds, more["other_product_types"] = kinds[0], kinds[1:]
    if isinstance(kinds, dict):
        raise Broken("product_type", kinds, "is no plain text", "write A > B > C")
    amount, currency = price(item.get("price"))
    reduced, other = price(item.get("sale_price"))
    if currency and other and currency != other:
        raise Broken("sale_price", item["sale_price"], f"is not in the currency of the price, {currency}", "give both in one currency")
    values: dict[str, Any] = {
        **{name: item.get(name) for name in SINGLE}, "product_type": kinds, **levels(path(kinds)), "price": amount, "sale_price": reduced,
        "currency": currency or other or item.get("currency"), "additional_image_link": _listed(item, "additional_image_link"),
        "product_highlight": _listed(item, "product_highlight"),
    }  # fmt: skip
    yield Row("products", values, more)


def _listed(item: Record, name: str) -> list[str] | None:
    """Repeated elements, or one text whose parts are divided by commas (a part that holds one is quoted)."""
    value = item.get(name)
    if isinstance(value, str):
        value = (
            next(csv.reader([value.replace("\n", " ").replace("\r", " ")], skipinitialspace=True), []) if len(value) < 100_000 else [value]
        )
    if value is not None and not all(isinstance(part, str) for part in value):
        raise Broken(name, value, "is no plain text", "give one text an element")
    return [part.strip() for part in value if part.strip()] if value else None


class _Items:
    """What expat calls while it reads: collects the elements of each item."""

    def __init__(self, file: Path, parser: expat.XMLParserType) -> None:
        self.file, self.parser = file, parser
        self.done = Batch([], [], [])
        self.stack: list[tuple[str, list[str], Record, int]] = []
        self.inside = False
        self.size = 0

    def refuse(self, *_: Any) -> int:
        raise DataError(
            f"{self.file}, line {self.parser.CurrentLineNumber}: holds a document type (<!DOCTYPE …>), with which entities could be smuggled in; remove it"
        )

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        space, _, name = tag.rpartition("\n")
        if not self.inside:
            if name not in ("item", "entry"):
                return
            self.inside, self.size = True, 0
        if len(self.stack) > DEPTH:
            raise DataError(
                f"{self.file}, line {self.parser.CurrentLineNumber}: elements nested over {DEPTH} deep; is this a product feed?"
            )
        named = name if space in (GOOGLE, "") or not self.stack else f"plain.{name}"
        href = [attributes["href"]] if "href" in attributes else []
        self.stack.append((named, href, {}, self.parser.CurrentLineNumber))

    def text(self, data: str) -> None:
        if self.inside:
            self.size += len(data)
            if self.size > CHARACTERS:
                raise DataError(
                    f"{self.file}, line {self.stack[0][3]}: the item is longer than {CHARACTERS} characters; is this a product feed?"
                )
            self.stack[-1][1].append(data)

    def end(self, _: str) -> None:
        if not self.inside:
            return
        name, parts, children, line = self.stack.pop()
        if self.stack:
            value = children or "".join(parts).strip()
            above = self.stack[-1][2]
            if value and name in above:
                before = above[name]
                above[name] = [*before, value] if isinstance(before, list) else [before, value]
            elif value:
                above[name] = value
            return
        self.inside = False
        for key in [key for key in children if key.startswith("plain.")]:  # Atom's own words, where Google's are missing
            children.setdefault(key.removeprefix("plain."), children.pop(key))
        self.done.records.append(children)
        self.done.lines.append(line)


def _xml_batches(file: Path) -> Iterator[Batch]:
    parser = expat.ParserCreate(namespace_separator="\n")
    items = _Items(file, parser)
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = items.start, items.end, items.text
    # entities can only be declared in a document type: without one there is nothing to expand and nothing to fetch
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ExternalEntityRefHandler = items.refuse
    empty, size = True, 0
    with file.open("rb") as raw:
        while True:
            block = raw.read(BLOCK // 4)
            try:
                parser.Parse(block, not block)
            except expat.ExpatError as error:
                raise DataError(f"{file}, line {error.lineno}: is not well-formed XML ({one_line(error)}); write the feed again") from None
            except (ValueError, LookupError) as error:  # an encoding that Python does not know or that is not of one byte
                raise DataError(f"{file}: cannot be read as XML ({one_line(error)}); save the feed as UTF-8") from None
            size += len(block)
            if items.done.records and (len(items.done.records) >= ROWS or size > CHARACTERS or not block):
                empty = False
                yield items.done
                items.done, size = Batch([], [], []), 0
            if not block:
                break
    if empty:
        raise DataError(f"{file}: holds no <item> or <entry>; give a product feed")
