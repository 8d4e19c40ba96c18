"""The verbs of applications: recommend; and what `train` and `evaluate` do for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from shoplm.cli.doors import FILE, FOLDER, main, pairs_of, show, typed
from shoplm.errors import ConfigError

RECOMMEND = "recommend"
"""What `train` and `evaluate` call it."""


def recommends(bundle: Path) -> bool:
    """Whether a bundle holds a recommender and no task."""
    return (bundle / "parts" / RECOMMEND).is_dir() and not (bundle / "heads").is_dir()


def train_recommend(
    names: Sequence[str], settings: Sequence[str], shop: Path | None, data: Path | None, items: Path | None, out: Path | None,
    pairs: Sequence[str], given: Mapping[str, Any], as_json: bool,
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
    found, how = recommending.train(config, shop=shop, data=data, items=items, mapping=pairs_of(pairs), out=out, progress=Terminal())
    said = [str(how)] if how else ["no shopper has three acts: nothing to judge by"]
    text = "\n".join([*said, f"weights: {'; '.join(described(found))}", f"bundle: {out}"])
    after = typed("recommend", out, "--shop", shop, "--user", "ID") if shop else typed("evaluate", out, "--data", str(data))
    show({"bundle": str(out), "metrics": {RECOMMEND: how.plain()} if how else {}}, text, as_json, after)


def evaluate_recommend(bundle: Path, shop: Path | None, data: Path | None, pairs: Sequence[str], split: str, as_json: bool) -> None:
    """``shoplm evaluate BUNDLE recommend``."""
    from shoplm.pipeline import recommending
    from shoplm.pipeline.progress import Terminal

    how = recommending.evaluate(bundle, shop=shop, data=data, mapping=pairs_of(pairs), split=split, progress=Terminal())
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
@click.option("--similar", metavar="ITEM", help="Items like this one.")
@click.option("--bought-together", metavar="ID,…", help="What completes a basket.")
@click.option("--trending", is_flag=True, help="What many act on lately.")
@click.option("--rerank", metavar="ID,…", help="With --user or --items: these items, in order.")
@click.option("--all-users", "everybody", is_flag=True, help="A list for every shopper, into --out.")
@click.option("--out", type=FILE, help="With --all-users: a Parquet file.")
@click.option("-k", "k", type=int, help="How many; 10, or with --rerank all.")
@click.option("--offset", type=int, default=0, help="Places to pass over: page 3 of ten begins at 20.")
@click.option("--rules", type=FILE, help="A YAML file of the shop's rules: filter, hide, promote, cap, pin.")
@click.option("--diversity", type=float, default=0.0, help="From 0, by score alone, to 1, by unlikeness alone.")
@click.option("--explore", type=float, default=0.0, help="Probability that a place is given to any candidate.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is explored.")
@click.option("--why", is_flag=True, help="What each source says for each item.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def recommend(
    bundle: Path, shop: Path, user: str | None, everybody: bool, out: Path | None, k: int | None, rules: Path | None, why: bool,
    as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """List items, best first, each with the reason why it is there: for a shopper, around an item, to a basket, of what is trending."""
    import time

    from shoplm.apps.arranging import ListConfig
    from shoplm.pipeline import listing
    from shoplm.pipeline.progress import Terminal
    from shoplm.pipeline.recommending import load

    now_us = time.time_ns() // 1000
    words = {name: _listed(given[name]) for name in ("items", "bought_together", "rerank")}
    asked = {name: given[name] for name in ("offset", "diversity", "explore", "seed")}
    config = ListConfig.of({**asked, "k": k if k is not None else len(words["rerank"]) or 10}, "recommend")
    question = listing.Question(user=user, similar=given["similar"], trending=given["trending"], **words)
    if everybody != (out is not None):
        raise ConfigError(
            "--all-users: expected --out FILE beside it, a Parquet file that takes the lists"
            if everybody
            else "--out: only with --all-users"
        )
    if everybody and out is not None:
        if question != listing.Question():
            raise ConfigError("--all-users: leave out --user, --items and every other question")
        count = listing.recommend_all(load(bundle), shop, out, config, rules=rules, now_us=now_us, progress=Terminal())
        show(
            {"shoppers": count, "out": str(out)}, f"lists of {count:,} shoppers: {out}", as_json, typed("evaluate", bundle, "--shop", shop)
        )
        return
    found = listing.listed(load(bundle), shop, question, config, rules=rules, now_us=now_us)
    lines = [f"note: {note}" for note in found.notes]
    for place, pick in enumerate(found.picks, config.offset + 1):
        lines.append(f"{place:>3}  {pick.item_id}  {pick.title}  ({pick.because})")
        if why:
            told = ", ".join(f"{name} {share:.0%}" for name, share in pick.shares.items())
            lines.append("     " + ", ".join(filter(None, [told, f"propensity {pick.propensity:.4g}" if config.explore else ""])))
    show({"user_id": user, **found.plain()}, "\n".join(lines), as_json, typed("evaluate", bundle, "--shop", shop))


def _listed(text: str | None) -> tuple[str, ...]:
    """The ids between commas."""
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())
