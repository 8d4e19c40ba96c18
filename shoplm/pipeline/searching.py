"""search: a shop's products by words and meaning, with the shopper's taste where one is named: from a folder to a page of hits.

What an index needs is made at the first search and kept under ``<shop>/derived/search``; after an import only what changed is
read again. A taste follows from the acts in the shop, of those alone who let themselves be learnt from; nothing about a person is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shoplm.apps.recommend import Recommender
from shoplm.apps.search import Bools, Near, Page, Products, SearchConfig, Taste, find
from shoplm.data.consent import learnable
from shoplm.data.convert import text_in_sql
from shoplm.data.shop import Shop
from shoplm.data.view import View
from shoplm.errors import BundleError
from shoplm.pipeline import meaning, recommending
from shoplm.pipeline.filtering import PAID, passing
from shoplm.pipeline.meaning import Close, Reader
from shoplm.pipeline.progress import Progress, Silent
from shoplm.retrieve.histories import Histories
from shoplm.retrieve.index import VectorIndex
from shoplm.retrieve.lexical import Lexical, LexicalConfig
from shoplm.text.render import clean

FOLDER = Path("derived") / "search"
NUMBERS = ("id", "gtin", "mpn", "item_group_id")
"""Columns by which a product is found exactly."""
HALF_LIFE_DAYS = 90.0
"""After how long an act says half of what a shopper likes."""
SIGNS = {"view_item": 0.2, "select_item": 0.2, "add_to_wishlist": 0.5, "add_to_cart": 0.6, "begin_checkout": 0.7, "purchase": 1.0}
"""How much an act says of it."""


@dataclass(frozen=True)
class Searcher:
    """A shop that is ready to be searched: make one with ``opened``, ask it as often as you like."""

    view: View
    products: Products
    shown: pa.Table
    """(N) id, title, brand, kind, price, currency, gone: as they were when it was opened."""
    index: VectorIndex | None
    reader: Reader | None
    config: SearchConfig
    read: int = 0
    """Products that had to be read anew."""

    def near(self, query: str) -> Near | None:
        """What knows how close products are to a query; None where it has no words or there are no vectors."""
        if self.index is None or self.reader is None or not query.strip():
            return None
        return Close(self.index, self.reader.query(query[:2_000]), self.products.ids)


def opened(
    shop: str | Path | Shop, *, words_only: bool = False, config: SearchConfig | None = None, reader: Reader | None = None,
    progress: Progress | None = None,
) -> Searcher:  # fmt: skip
    """Make a shop ready: bring the index of words and the vectors up to date, and keep them beside it.

    Args:
        shop: its folder, or itself.
        words_only: leave out the vectors.
        config: settings.
        reader: what reads products and queries; None = the default backbone.
        progress: who waits.

    Raises:
        DataError: it is no shop.
        ResourceError: what is kept cannot be written.
    """
    where = shop if isinstance(shop, Shop) else Shop(Path(shop))
    view, waits = learnable(where), progress or Silent()
    shown, texts = _products(view)
    ids: list[str] = shown["id"].to_pylist()
    words = _words(where.path / FOLDER / "words.bin", shown, texts)
    found = Searcher(view, Products(ids, shown["title"].to_pylist(), words), shown, None, None, config or SearchConfig())
    if words_only or not ids:
        return found
    by = reader or meaning.reader()
    prompts = [meaning.told(*each) for each in zip(*texts, strict=True)]
    index, read = meaning.refreshed(where.path / FOLDER / "meaning.bin", ids, prompts, by, waits)
    return replace(found, index=index, reader=by, read=read)


def searched(
    where: Searcher, query: str, *, user: str | None = None, bundle: Recommender | None = None, filters: Sequence[str] = (), k: int = 10,
    page: int = 1, all_stock: bool = False,
) -> Page:  # fmt: skip
    """One page of a shop that is ready.

    Args:
        where: the shop.
        query: what was typed.
        user: the shopper who asks.
        bundle: a recommender, by which the taste of ``user`` is told; None = by what they acted on.
        filters: as ``pipeline.filtering`` reads them.
        k: hits of a page.
        page: from 1.
        all_stock: also what is out of stock.

    Raises:
        DataError: a filter is wrong, or ``k`` or ``page`` is below 1.
    """
    notes: list[str] = []
    open_ = passing(where.view, filters, where.shown["id"].combine_chunks())
    gone = where.shown["gone"].combine_chunks().to_numpy(zero_copy_only=False).astype(bool)
    if not all_stock and (open_ & gone).any():
        notes.append(f"{int((open_ & gone).sum()):,} products that are out of stock are left out; --all-stock shows them")
        open_ = open_ & ~gone
    taste = None if user is None else _taste(where, user, bundle, open_)
    if user is not None and taste is None:
        notes.append(f"`{user}`: nothing is known that may be used; answered as a new shopper")
    if not where.products.ids:
        notes.append("the shop has no products; import some with `shoplm import table products.csv --shop DIR`")
    near = where.near(query)
    found = find(where.products, query, open_, near=near, taste=taste, k=k, page=page, config=where.config)
    return replace(found, notes=(*notes, *found.notes))


def search(
    shop: str | Path | Shop | Searcher, query: str, *, user_id: str | None = None, bundle: str | Path | Recommender | None = None,
    filters: Sequence[str] = (), k: int = 10, page: int = 1, words_only: bool = False,
) -> list[dict[str, Any]]:  # fmt: skip
    """A page of hits for what a shopper typed: ``shoplm.search``.

    Give what ``shoplm.pipeline.searching.opened`` returns instead of a shop to search many times.

    Returns:
        For each hit, the best first, its id, title, price, score, source, reasons and marks.

    Raises:
        DataError: it is no shop, a filter is wrong, or ``k`` or ``page`` is below 1.
        BundleError: ``bundle`` cannot be used.
    """
    where = shop if isinstance(shop, Searcher) else opened(shop, words_only=words_only)
    told = bundle if isinstance(bundle, Recommender) or bundle is None else recommending.load(Path(bundle))
    return plain(where, searched(where, query, user=user_id, bundle=told, filters=filters, k=k, page=page))["hits"]  # type: ignore[no-any-return]


def plain(where: Searcher, page: Page) -> dict[str, Any]:
    """A page as ``--json`` gives it, with prices."""
    found = page.plain()
    for hit, said in zip(page.hits, found["hits"], strict=True):
        price = where.shown["price"][hit.row].as_py()
        said["price"] = None if price is None else float(price)
        said["currency"] = where.shown["currency"][hit.row].as_py()
    return found


def _products(view: View) -> tuple[pa.Table, tuple[list[str], list[str], list[str], list[str]]]:
    """N products in the order of their ids: what is shown of them, and their title, brand, kind and description."""
    rows = view.sql(
        f"""SELECT id, title, coalesce(brand, '') AS brand, coalesce(product_type, google_product_category, '') AS kind,
                   coalesce(description, '') AS description, {PAID} AS price, currency, coalesce(availability = 'out_of_stock', false) AS gone,
                   gtin, mpn, item_group_id
            FROM products ORDER BY id"""
    )
    texts = tuple([clean(text) for text in rows[name].to_pylist()] for name in ("title", "brand", "kind", "description"))
    return rows.drop_columns(["description"]), texts  # type: ignore[return-value]


def _words(path: Path, shown: pa.Table, texts: Sequence[Sequence[str]]) -> Lexical:
    """The index of words of N products; made anew where their words or the settings are not those that it was made from."""
    config, sums = LexicalConfig(), hashlib.sha256()
    numbers = [[value or "" for value in shown[name].to_pylist()] for name in NUMBERS]
    for column in (*numbers, *texts):
        sums.update("\x00".join(column).encode("utf-8", "surrogatepass") + b"\x01")
    try:
        found, facts = Lexical.load(path)
        if facts.get("of") == sums.hexdigest() and found.config == config:
            return found
    except BundleError:
        pass
    made = Lexical.of(texts, numbers, config)
    if shown.num_rows:
        made.save(path, {"of": sums.hexdigest()})
    return made


def _taste(where: Searcher, user: str, bundle: Recommender | None, open_: Bools) -> Taste | None:
    """What a shopper likes of N products, by a recommender or by brand and kind; None where nothing is known."""
    who, named = text_in_sql(user), ", ".join(f"({text_in_sql(name)}, {weight})" for name, weight in SIGNS.items())
    acts = where.view.sql(
        f"""SELECT item_id, event_name, weight, exp(-ln(2) * (epoch(max(event_time) OVER ()) - epoch(event_time)) / {HALF_LIFE_DAYS * 86_400}) AS fresh
            FROM events JOIN (VALUES {named}) AS signs(name, weight) ON event_name = name
            WHERE (user_id = {who} OR (user_id IS NULL AND user_pseudo_id = {who})) AND item_id IS NOT NULL
            ORDER BY event_time, event_seq, event_id"""
    )
    if not acts.num_rows:
        return None
    done: list[str] = acts["item_id"].to_pylist()
    if bundle is not None:
        return _recommended(where, bundle, done, open_)
    place = {name: row for row, name in enumerate(where.products.ids)}
    worth = acts["weight"].to_numpy().astype(float) * acts["fresh"].to_numpy()
    bought = {name for name, act in zip(done, acts["event_name"].to_pylist(), strict=True) if act == "purchase"}
    liking = np.zeros(len(place), np.float32)
    best, why = np.zeros(len(place), np.float32), [""] * len(place)
    for column, part in (("brand", "from"), ("kind", "of the kind")):
        values = where.shown[column].combine_chunks().dictionary_encode()
        codes, words = values.indices.to_numpy(), values.dictionary.to_pylist()
        rows = np.array([place.get(name, -1) for name in done])
        kept = rows >= 0
        total = np.bincount(codes[rows[kept]], worth[kept], len(words))
        total[[at for at, word in enumerate(words) if not word]] = 0
        if not total.max(initial=0):
            continue
        said = (total / total.max())[codes].astype(np.float32)
        liking += said / 2
        own = {words[codes[place[name]]] for name in bought if name in place}
        for row in np.flatnonzero(said > np.maximum(best, 0.25)):
            word = words[codes[row]]
            why[row] = f"you {'bought' if word in own else 'looked at things'} {part} {word.split(' > ')[-1]}" + (
                " before" if word in own else ""
            )
        best = np.maximum(best, said)
    return Taste(liking, why) if liking.any() else None


def _recommended(where: Searcher, bundle: Recommender, done: Sequence[str], open_: Bools) -> Taste | None:
    """The taste that a recommender tells: its score for each product that it names, by its largest."""
    code = {name: at for at, name in enumerate(bundle.ids)}
    place = {name: row for row, name in enumerate(where.products.ids)}
    history = Histories.of([[code[name] for name in done if name in code][-bundle.config.last :]])
    shut = np.array([name not in place or not open_[place[name]] for name in bundle.ids], bool)
    lists, scores = bundle.lists(history, 1_000, shut)
    kept = lists[0] >= 0
    if not kept.any():
        return None
    liking, why = np.zeros(len(place), np.float32), [""] * len(place)
    for item, score in zip(lists[0][kept].tolist(), (scores[0][kept] / scores[0][kept].max()).tolist(), strict=True):
        row = place[bundle.ids[item]]
        liking[row] = score
        why[row] = "goes with what you looked at" if score > 0.25 else ""
    return Taste(liking, why)
