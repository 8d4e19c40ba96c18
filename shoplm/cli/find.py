"""The verbs that look something up: search for products, profile a shopper."""

from __future__ import annotations

from pathlib import Path

import click

from shoplm.cli.doors import FILE, FOLDER, main, show, typed


@main.command()
@click.argument("shop", type=FOLDER)
@click.argument("query")
@click.option("--user", metavar="ID", help="The shopper who asks: what they bought and looked at moves the order.")
@click.option("--bundle", type=FOLDER, help="With --user: a recommender that tells the taste.")
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Such as brand=Ostrava or price=10..50; may be given several times."
)
@click.option("-k", "k", type=int, default=10, show_default=True, help="Hits of a page.")
@click.option("--page", type=int, default=1, show_default=True)
@click.option("--all-stock", is_flag=True, help="Also what is out of stock.")
@click.option("--words-only", is_flag=True, help="By words alone: no product is read by the backbone.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def search(
    shop: Path, query: str, user: str | None, bundle: Path | None, filters: tuple[str, ...], k: int, page: int, all_stock: bool,
    words_only: bool, as_json: bool,
) -> None:  # fmt: skip
    """Find products of SHOP by QUERY, by words and by meaning, each with the reason why it is there."""
    from shoplm.pipeline import recommending, searching
    from shoplm.pipeline.progress import Terminal

    told = recommending.load(bundle) if bundle is not None else None
    where = searching.opened(shop, words_only=words_only, progress=Terminal())
    found = searching.searched(where, query, user=user, bundle=told, filters=filters, k=k, page=page, all_stock=all_stock)
    plain = searching.plain(where, found)
    lines = [f"did you mean: {found.corrected}"] if found.corrected else []
    lines.append(f"{found.total:,} found" + (f", page {found.page} of {found.pages:,}" if found.pages > 1 else ""))
    for place, (hit, said) in enumerate(zip(found.hits, plain["hits"], strict=True), (page - 1) * k + 1):
        price = "" if said["price"] is None else f"  {said['price']:.2f} {said['currency'] or ''}".rstrip()
        lines.append(f"{place:>3}  {hit.item_id}  {_marked(hit.title, hit.marks)}{price}  ({'; '.join(hit.because)})")
    lines += [f"note: {note}" for note in found.notes]
    more = ["--page", str(page + 1)] if page < found.pages else ["--json"]
    show(plain, "\n".join(lines), as_json, typed("search", shop, query, *more))


def _marked(title: str, marks: tuple[tuple[int, int], ...]) -> str:
    """A title with what was asked for in bold; plain where the output is no terminal."""
    parts, at = [], 0
    for start, stop in marks:
        parts += [title[at:start], click.style(title[start:stop], bold=True)]
        at = stop
    return "".join([*parts, title[at:]])


@main.command()
@click.argument("user")
@click.option("--shop", type=FOLDER, required=True, help="A shop's folder.")
@click.option("--bundle", type=FOLDER, help="One with the task sentiment, by whose aspects the shopper's reviews are read.")
@click.option("--at", metavar="MOMENT", help="As it was known then, such as 2026-03-01; without it, after the newest act.")
@click.option("--out", type=FILE, help="Write a page with a picture there (.html).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def profile(user: str, shop: Path, bundle: Path | None, at: str | None, out: Path | None, as_json: bool) -> None:
    """What may be said of shopper USER: tastes, prices, likes, searches, rhythm; each claim with the acts it rests on."""
    from shoplm.pipeline import profiling

    found = profiling.profiled(shop, user, bundle=bundle, at=at)
    text = profiling.in_words(found)
    if out is not None:
        profiling.write_profile(found, out)
        text += f"\npage: {out}"
    show(
        found.plain(),
        text,
        as_json,
        typed("profile", user, "--shop", shop, "--out", "profile.html") if out is None else typed("export", user, "--shop", shop),
    )
