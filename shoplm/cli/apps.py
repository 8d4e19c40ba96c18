"""The verbs of applications: recommend; and what `train` and `evaluate` do for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from shoplm.cli.doors import FILE, FOLDER, main, show, typed
from shoplm.errors import ConfigError

RECOMMEND = "recommend"
"""What `train` and `evaluate` call it."""


def recommends(bundle: Path) -> bool:
    """Whether a bundle holds a recommender and no task."""
    return (bundle / "parts" / RECOMMEND).is_dir() and not (bundle / "heads").is_dir()


def train_recommend(
    names: Sequence[str], settings: Sequence[str], shop: Path | None, data: Path | None, items: Path | None, out: Path | None,
    given: Mapping[str, Any], as_json: bool,
) -> None:  # fmt: skip
    """``shoplm train recommend``."""
    from shoplm.apps.recommend import RecommendConfig, described
    from shoplm.config import override
    from shoplm.pipeline import recommending
    from shoplm.pipeline.progress import Terminal

    if len(names) > 1:
        raise ConfigError(f"train {' '.join(names)}: `recommend` is trained by itself; give the tasks a command of their own")
    for name, value in given.items():
        if value:
            raise ConfigError(f"--{'from' if name == 'start' else name}: `train recommend` has no such option; leave it out")
    if out is None:
        raise ConfigError("--out: expected a folder for the bundle, such as --out my-recommender")
    config = RecommendConfig.of(override({}, settings))
    found, how = recommending.train(config, shop=shop, data=data, items=items, out=out, progress=Terminal())
    said = [str(how)] if how else ["no shopper has three acts: nothing to judge by"]
    text = "\n".join([*said, f"weights: {'; '.join(described(found))}", f"bundle: {out}"])
    after = typed("recommend", out, "--shop", shop, "--user", "ID") if shop else typed("evaluate", out, "--data", str(data))
    show({"bundle": str(out), "metrics": {RECOMMEND: how.plain()} if how else {}}, text, as_json, after)


def evaluate_recommend(bundle: Path, shop: Path | None, data: Path | None, split: str, as_json: bool) -> None:
    """``shoplm evaluate BUNDLE recommend``."""
    from shoplm.pipeline import recommending
    from shoplm.pipeline.progress import Terminal

    how = recommending.evaluate(bundle, shop=shop, data=data, split=split, progress=Terminal())
    show(how.plain(), str(how), as_json, typed("recommend", bundle, "--shop", shop or "DIR", "--user", "ID"))


def verify_recommend(bundle: Path) -> None:
    """``shoplm verify BUNDLE`` of a bundle that only recommends."""
    from shoplm.pipeline import recommending

    found = recommending.load(bundle)
    said = f"{bundle}: every file is as it was written; recommends {len(found.ids):,} items from {', '.join(found.sources)}"
    click.echo(f"{said}\nnext: {typed('recommend', bundle, '--shop', 'DIR', '--user', 'ID')}")


@main.command()
@click.argument("bundle", type=FOLDER)
@click.option("--shop", type=FOLDER, required=True, help="A shop's folder: what the shopper did, and what is in stock.")
@click.option("--user", metavar="ID", help="A shopper's id.")
@click.option("--items", metavar="ID,…", help="Instead of a shopper: items that someone has just acted on, oldest first.")
@click.option("--all-users", "everybody", is_flag=True, help="A list for every shopper, into --out.")
@click.option("--out", type=FILE, help="With --all-users: a Parquet file.")
@click.option("-k", "k", type=int, default=10, show_default=True, help="How many.")
@click.option("--why", is_flag=True, help="What each source says for each item.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def recommend(
    bundle: Path, shop: Path, user: str | None, items: str | None, everybody: bool, out: Path | None, k: int, why: bool, as_json: bool
) -> None:
    """List items for a shopper, best first, each with the reason why it is there."""
    from shoplm.pipeline import recommending
    from shoplm.pipeline.progress import Terminal

    if everybody != (out is not None):
        raise ConfigError(
            "--all-users: expected --out FILE beside it, a Parquet file that takes the lists"
            if everybody
            else "--out: only with --all-users"
        )
    if everybody and out is not None:
        if user or items:
            raise ConfigError("--all-users: leave out --user and --items")
        count = recommending.recommend_all(recommending.load(bundle), shop, out, k, Terminal())
        show(
            {"shoppers": count, "out": str(out)}, f"lists of {count:,} shoppers: {out}", as_json, typed("evaluate", bundle, "--shop", shop)
        )
        return
    listed = [word.strip() for word in (items or "").split(",") if word.strip()]
    picks, notes = recommending.listed(recommending.load(bundle), shop, user=user, items=listed, k=k)
    lines = [f"note: {note}" for note in notes]
    for place, pick in enumerate(picks, 1):
        lines.append(f"{place:>3}  {pick.item_id}  {pick.title}  ({pick.because})")
        if why:
            lines.append("     " + ", ".join(f"{name} {share:.0%}" for name, share in pick.reason.shares.items()))
    plain = {"user_id": user, "items": [pick.plain() for pick in picks], "notes": notes}
    show(plain, "\n".join(lines), as_json, typed("evaluate", bundle, "--shop", shop))
