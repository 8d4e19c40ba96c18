"""The verbs of a shop: make one, fill it, look at it, keep it, export and erase a person."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import click

from shoplm.cli.doors import FILE, FOLDER, main, pairs_of, show, typed
from shoplm.errors import DataError, RunError


@main.command()
@click.option(
    "--out", type=FOLDER, default=Path("shoplm-demo"), show_default=True, help="Where the sample shop, the bundle and the report go."
)
@click.option("--language", type=click.Choice(["en", "zh"]), default="en", show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def demo(out: Path, language: str, seed: int) -> None:
    """Sample shop -> fine-tuned model -> one-page report. Offline, no question asked."""
    from shoplm.pipeline.demo import demo as run
    from shoplm.pipeline.progress import Terminal

    found = run(out, language=language, seed=seed, progress=Terminal())
    click.echo(str(found))


@main.command()
@click.argument("folder", type=FOLDER)
@click.option("--sample", is_flag=True, help="Fill it with a simulated shop.")
@click.option("--shoppers", type=click.IntRange(min=10, max=20_000_000), default=400, show_default=True)
@click.option("--products", type=click.IntRange(min=12, max=100_000), default=2000, show_default=True)
@click.option("--weeks", type=click.IntRange(min=2, max=520), default=104, show_default=True, help="How long the shop is watched.")
@click.option("--language", type=click.Choice(["en", "zh"]), default="en", show_default=True)
@click.option("--variant", type=click.Choice(["standard", "popularity", "shift"]), default="standard", show_default=True)
@click.option("--truth", type=FOLDER, help="A folder for what only the simulation knows: tastes, chances, what is fake.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--unknown-consent", type=click.Choice(["granted", "denied"]), help="What holds for shoppers who said neither; granted.")
def new(folder: Path, sample: bool, truth: Path | None, unknown_consent: Any, **given: Any) -> None:
    """Make an empty shop, or a simulated one, in FOLDER."""
    from shoplm.data.shop import Shop

    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise DataError(f"{folder}: exists and is not empty; give a new folder")
    if unknown_consent is not None:
        from shoplm.data.privacy import PrivacyConfig, settle

        settle(Shop(folder, create=True), PrivacyConfig(unknown_consent=unknown_consent))
    if not sample:
        Shop(folder, create=True)
        click.echo(f"shop: {folder}\nnext: {typed('import', 'table', 'reviews.csv', '--shop', folder)}")
        return
    from shoplm.pipeline.demo import fill
    from shoplm.pipeline.progress import Terminal
    from shoplm.world.settings import WorldConfig

    report = fill(folder, WorldConfig.of(given), Terminal(), truth)
    told = f"\ntruth: {truth}" if truth else ""
    click.echo(f"{report}\nshop: {folder}{told}\nnext: {typed('check', '--shop', folder)}")


@main.command("import")
@click.argument("format_name", metavar="FORMAT")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--shop", type=FOLDER, required=True, help="The shop's folder; made if it is not there.")
@click.option("--table", help="The table to fill; without it the file's name tells.")
@click.option("--map", "pairs", multiple=True, metavar="OURS=THEIRS", help="Our column name and the file's.")
@click.option("--strict", is_flag=True, help="Refuse the whole file at its first faulty row.")
@click.option("--source", help="The foreign system's name, kept with every row; without it the format's, or the file's path.")
@click.option("--pseudonymise", is_flag=True, help="Replace every id of a person; the key is named by SHOPLM_PSEUDONYM_KEY_FILE.")
@click.option("--redact", is_flag=True, help="Replace e-mails, numbers, addresses and names in free texts.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def import_(
    format_name: str,
    files: tuple[Path, ...],
    shop: Path,
    table: str | None,
    pairs: tuple[str, ...],
    strict: bool,
    source: str | None,
    pseudonymise: bool,
    redact: bool,
    as_json: bool,
) -> None:
    """Bring FILES of FORMAT (table: csv, jsonl, parquet) into a shop; a second time changes nothing."""
    from shoplm.data.privacy import guard_for
    from shoplm.data.shop import Shop
    from shoplm.files import or_gone

    with or_gone(shop):
        into = Shop(shop, create=True)
        guard = guard_for(into, pseudonymise=pseudonymise, redacting=redact, environment=os.environ)
        report = into.import_files(
            *files, format=format_name, table=table, mapping=pairs_of(pairs), strict=strict, source=source, guard=guard
        )
    show(report.plain(), str(report), as_json, typed("check", "--shop", shop))


@main.command()
@click.argument("user")
@click.option("--shop", type=FOLDER, required=True)
@click.option("--out", type=FILE, help="Write there instead of to stdout.")
def export(user: str, shop: Path, out: Path | None) -> None:
    """Everything about one person (any id of theirs), one JSON document a table."""
    from shoplm.data.shop import Shop
    from shoplm.pipeline.persons import export as run

    documents = run(Shop(shop), user, out)
    if out is None:
        for document in documents:
            click.echo(document)
    else:
        click.echo(f"{len(documents)} documents in {out}")
    click.echo(f"next: {shlex.join(['shoplm', 'erase', user, '--shop', str(shop)])}", err=True)


@main.command()
@click.argument("user")
@click.option("--shop", type=FOLDER, required=True)
@click.option(
    "--also", type=FOLDER, multiple=True, help="A folder of runs, reports or bundles outside the shop; may be given several times."
)
@click.option("--json", "as_json", is_flag=True, help="The proof as one JSON object on stdout.")
def erase(user: str, shop: Path, also: tuple[Path, ...], as_json: bool) -> None:
    """Erase one person (any id of theirs) from every table, old version and file of a shop, with a proof."""
    from shoplm.data.shop import Shop
    from shoplm.pipeline.persons import erase as run

    proof = run(Shop(shop), user, also=also)
    show(proof.plain(), str(proof), as_json, f"shoplm check --shop {shop}")
    if not proof.clean:
        raise RunError(f"{len(proof.found)} files still hold a trace, the first: {proof.found[0]}; remove or retrain them, and erase again")


@main.command()
@click.option("--shop", type=FOLDER, required=True)
@click.option("--out", type=FILE, help="Write a page with pictures there (.html).")
@click.option("--mark", is_flag=True, help="Write likely fake reviews to the labels; none is dropped.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def check(shop: Path, out: Path | None, mark: bool, as_json: bool) -> None:
    """What is in a shop, and what is wrong with it, each thing with its fix."""
    from shoplm.data.shop import Shop
    from shoplm.pipeline import health

    found = health.look(Shop(shop), out=out, mark_fakes=mark)
    show(found.plain(), str(found), as_json, typed("train", "sentiment", "--shop", shop, "--out", "sentiment"))


@main.command()
@click.option("--shop", type=FOLDER, required=True)
@click.option("--drain", is_flag=True, help="Move what waits in the live store into the tables.")
@click.option("--retain", is_flag=True, help="Remove rows that are older than retention_days in shop.yaml.")
@click.option("--compact", is_flag=True, help="Merge small files.")
@click.option("--forget", "keep", type=click.IntRange(min=1), metavar="KEEP", help="Make all versions but the KEEP newest unreadable.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def upkeep(shop: Path, drain: bool, retain: bool, compact: bool, keep: int | None, as_json: bool) -> None:
    """Versions, files and bytes of a shop; with options, what it needs from time to time."""
    from shoplm.data.shop import Shop
    from shoplm.pipeline.upkeep import tend

    found = tend(Shop(shop), draining=drain, retaining=retain, compacting=compact, keep=keep)
    after = typed("check", "--shop", shop) if drain or retain or compact or keep else typed("upkeep", "--shop", shop, "--compact")
    show(found.plain(), str(found), as_json, after)
