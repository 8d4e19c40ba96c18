"""Shopify's products csv: each variant is a product, rows that share a Handle are its group.

Shopify writes what the variants share on their first row only, and further pictures on rows of their own below. HTML
becomes text. A variant is known by its SKU, or by its handle and options. The file names no currency.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shoplm.data.importers._drive import chunks
from shoplm.data.importers._lines import CHARACTERS, ROWS, Batch, Record, csv_batches
from shoplm.data.importers._rows import Broken, Row, first, levels, path, rest, text_of_html
from shoplm.data.ingest import Chunk, Fault

FILLED = {
    "products": ("id", "title", "description", "image_link", "additional_image_link", "availability", "price", "sale_price", "currency", "brand",
                 "gtin", "mpn", "condition", "product_type", "google_product_category", "category_l1", "category_l2", "category_l3", "category_l4",
                 "category_l5", "item_group_id", "color", "size", "material", "pattern", "gender", "age_group", "tags"),
}  # fmt: skip
OPTIONS = {"color": "color", "colour": "color", "size": "size", "material": "material", "pattern": "pattern"}
"""What an option's name, in lower case, means in the contract; others are kept under their own name."""

OWN = ("variant ", "option", "image ", "cost per item")
"""Columns that begin so belong to one row; all others to the whole group."""


def read(files: Sequence[Path], table: str | None = None) -> Iterator[Chunk]:
    """The variants of products csv files.

    Raises:
        DataError: a file cannot be read, or ``table`` is not ``products``.
    """
    return chunks(files, _groups, lambda _: _rows, FILLED, table, "shopify", untyped=True)


_LINE, _ROWS = "\0line", "\0rows"
"""Names that no csv header has."""


def _groups(file: Path) -> Iterator[Batch]:
    """Batches whose records each hold the rows of one handle."""
    group: list[Record] = []
    for batch in csv_batches(file, ",;\t"):
        made = Batch([], [], [*batch.faults])
        for record, line in zip(batch.records, batch.lines, strict=True):
            if "Handle" not in record:
                made.faults.append(Fault(line, "Handle", "", "is missing", "give every row its product's handle"))
                continue
            if group and (record["Handle"] != group[0]["Handle"] or len(group) >= ROWS or _size(group) > CHARACTERS):
                made.records.append({_ROWS: group})
                made.lines.append(group[0][_LINE])
                group = []
            group.append({**record, _LINE: line})
        yield made
    if group:
        yield Batch([{_ROWS: group}], [group[0][_LINE]], [])


def _size(group: list[Record]) -> int:
    return sum(len(value) for value in group[-1].values() if isinstance(value, str)) * len(group)


def _rows(record: Record) -> Iterator[Row]:
    group: list[Record] = record[_ROWS]
    shared = {name: value for name, value in group[0].items() if not name.lower().startswith(OWN)}
    names = [group[0].get(f"Option{n} Name", "").strip() for n in (1, 2, 3)]
    variants = [row for row in group if _is_variant(row)] or group[:1]
    pictures = list(dict.fromkeys(row["Image Src"] for row in group if "Image Src" in row))
    for row in variants:
        own = {name: value for name, value in row.items() if name.lower().startswith(OWN)}
        yield _product(shared, own, names, pictures, len(variants), row[_LINE])


def _is_variant(row: Record) -> bool:
    return any(
        (name.startswith("Variant ") and name not in ("Variant Image",)) or (name.endswith(" Value") and name.startswith("Option"))
        for name in row
    )


def _product(shared: Record, own: Record, names: list[str], pictures: list[str], variants: int, line: int) -> Row:
    options = [own.get(f"Option{n} Value", "") for n in (1, 2, 3)]
    chosen = {name: value for name, value in zip(names, options, strict=True) if name and value and value != "Default Title"}
    handle, sku = shared["Handle"], own.get("Variant SKU", "").strip().removeprefix("'")
    made = handle if variants == 1 else "/".join([handle, *(value for value in options if value)])
    price, before = own.get("Variant Price"), own.get("Variant Compare At Price")
    picture = own.get("Variant Image") or (pictures[0] if pictures else None)
    sort = shared.get("Type")
    category = first(shared, "Product Category", "Google Shopping / Google Product Category")
    reduced = _above(before, price)
    values: dict[str, Any] = {
        "id": sku or made, "title": shared.get("Title"), "description": text_of_html(first(shared, "Body (HTML)", "Body HTML", "Body")), "image_link": picture,
        "additional_image_link": [link for link in pictures if link != picture] or None, "availability": _availability(own), "brand": shared.get("Vendor"),
        "price": before if reduced else price, "sale_price": price if reduced else None, "gtin": own.get("Variant Barcode", "").removeprefix("'") or None,
        "mpn": shared.get("Google Shopping / MPN"), "condition": shared.get("Google Shopping / Condition"), "product_type": sort or category,
        "google_product_category": category, **levels(path(sort or category)), "item_group_id": handle, "gender": shared.get("Google Shopping / Gender"),
        "age_group": shared.get("Google Shopping / Age Group"), "tags": [tag.strip() for tag in shared.get("Tags", "").split(",") if tag.strip()] or None,
        **{OPTIONS[name.lower()]: value for name, value in chosen.items() if name.lower() in OPTIONS},
    }  # fmt: skip
    used = ["Handle", "Title", "Body (HTML)", "Body HTML", "Body", "Vendor", "Type", "Tags", "Google Shopping / MPN", "Google Shopping / Condition",
            "Google Shopping / Gender", "Google Shopping / Age Group", "Image Src", _LINE,
            "Product Category" if "Product Category" in shared else "Google Shopping / Google Product Category"]  # fmt: skip
    mine = ["Variant SKU", "Variant Price", "Variant Compare At Price", "Variant Barcode", "Variant Image"]
    mine += [f"Option{n} {part}" for n in (1, 2, 3) for part in ("Name", "Value")]
    others = {name: value for name, value in chosen.items() if name.lower() not in OPTIONS}
    return Row("products", values, rest(shared, *used) | rest(own, *mine, "Image Src") | others, line)


def _above(before: str | None, price: str | None) -> bool:
    try:
        return before is not None and price is not None and float(before) > float(price)
    except ValueError:
        raise Broken("Variant Compare At Price", before, "or the price is not a number", "write a number such as 19.99") from None


def _availability(own: Record) -> str | None:
    """From the stock count; no count means that Shopify does not track it."""
    count = own.get("Variant Inventory Qty")
    if count is None:
        return None
    try:
        if int(count) > 0:
            return "in_stock"
    except ValueError:
        raise Broken("Variant Inventory Qty", count, "is not a whole number", "write a whole number such as 3") from None
    return "backorder" if own.get("Variant Inventory Policy", "").lower() == "continue" else "out_of_stock"
