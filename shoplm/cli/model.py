"""The verbs of models: train, compare, judge and ask them; and what the machine has for it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Literal

import click

from shoplm.cli.doors import FILE, FOLDER, figure, main, pairs_of, show, typed
from shoplm.errors import ConfigError, DataError


@main.command(context_settings={"ignore_unknown_options": False})
@click.argument("words", metavar="NAME... [KEY=VALUE]...", nargs=-1)
@click.option("--shop", type=FOLDER, help="A shop's folder.")
@click.option("--data", type=FILE, help="A plain csv, jsonl or parquet file.")
@click.option("--out", type=FOLDER, help="The bundle's folder; with --into that bundle's, unless another is given.")
@click.option("--into", help="A bundle whose tasks stay as they are, and the new ones come beside them.")
@click.option("--from", "start", metavar="BUNDLE[:TASK]", help="A bundle whose weights learning starts from.")
@click.option(
    "--map", "pairs", multiple=True, metavar="OURS=THEIRS", help="With --data: our field and the file's column (text=review_body)."
)
@click.option("--backbone", help="default, a folder, or a model's id.")
@click.option("--method", help="full, lora, adalora, prefix, bottleneck or head.")
@click.option("--target", help="The column whose values are to be learnt.")
@click.option("--where", help="A SQL condition on the rows, such as \"country = 'DE'\".")
@click.option("--recipe", type=FILE, help="A YAML file of settings.")
@click.option("--items", type=FILE, help="With `recommend --data`: a file of items (item_id, title, …).")
@click.option("--seed", type=click.IntRange(min=0))
@click.option("--resume", "unfinished", flag_value="resume", help="Go on with the run that stands in OUT and has not ended.")
@click.option("--restart", "unfinished", flag_value="restart", help="Throw that run away and begin anew.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def train(
    words: tuple[str, ...],
    shop: Path | None,
    data: Path | None,
    items: Path | None,
    out: Path | None,
    pairs: tuple[str, ...],
    recipe: Path | None,
    unfinished: Literal["resume", "restart"] | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Fine-tune the backbone for tasks (interest, traits, sentiment, intent, attributes) and write a bundle; or learn to `recommend`.

    Settings: epochs batch_size max_length learning_rate optimizer weight_decay warmup schedule seed
    patience layers r lora_alpha … as KEY=VALUE.
    """
    from shoplm.cli import apps

    if out is None and given["into"] is None and recipe is None:
        raise click.UsageError("Missing option '--out' (with --into it may be left out).")
    names = [word for word in words if "=" not in word]
    settings = [word for word in words if "=" in word]
    if apps.RECOMMEND in names:
        apps.train_recommend(
            names, settings, shop, data, items, out, pairs, {**given, "recipe": recipe, "resume or --restart": unfinished}, as_json
        )
        return
    if items is not None:
        raise ConfigError(f"--items {items}: only `shoplm train recommend` reads a file of items")
    from shoplm.pipeline.config import RunConfig
    from shoplm.pipeline.progress import Terminal
    from shoplm.pipeline.training import train as run

    config = RunConfig.read(names, recipe, settings, **given)
    if out is None and config.into is None:
        raise ConfigError("--out: expected a folder for the bundle, such as --out my-bundle (with --into it may be left out)")
    out = out or Path(str(config.into))
    bundle = run(config, shop=shop, data=data, mapping=pairs_of(pairs), out=out, unfinished=unfinished or "refuse", progress=Terminal())
    where = ["--shop", shop] if shop else ["--data", data, *(word for pair in pairs for word in ("--map", pair))]
    lines = [
        f"{task} {name}: {figure(found)}"
        for task, said in bundle.metrics.items()
        if task in config.tasks
        for name, found in said.get("metrics", {}).items()
    ]
    first = config.tasks[:1] if len(bundle.tasks) > 1 else ()
    named = config.tasks if first else ("run",)
    reports = [f"report: {path}" for path in sorted((out / "run").rglob("report.html")) if path.parent.name in named]
    text = "\n".join([*(["on validation rows:", *lines] if lines else []), f"bundle: {out}", *reports])
    show({"bundle": str(out), "metrics": dict(bundle.metrics)}, text, as_json, typed("evaluate", out, *first, *where))


@main.command()
@click.argument("words", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("--shop", type=FOLDER, help="A shop's folder.")
@click.option("--text-files", "files", type=FILE, multiple=True, metavar="FILES", help="Texts: .txt (one a line), csv, jsonl or parquet.")
@click.option("--objective", default="mlm", show_default=True, help="What is learnt: mlm, to fill in masked words.")
@click.option("--out", type=FOLDER, required=True, help="The backbone's folder.")
@click.option("--backbone", help="Where it starts: default, a folder, or a model's id.")
@click.option("--map", "pairs", multiple=True, metavar="text=COLUMN", help="With --text-files: the column of texts.")
@click.option("--seed", type=click.IntRange(min=0))
@click.option("--resume", "unfinished", flag_value="resume", help="Go on with the run that stands in OUT and has not ended.")
@click.option("--restart", "unfinished", flag_value="restart", help="Throw that run away and begin anew.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def pretrain(
    words: tuple[str, ...],
    shop: Path | None,
    files: tuple[Path, ...],
    objective: str,
    out: Path,
    pairs: tuple[str, ...],
    unfinished: Literal["resume", "restart"] | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Let the backbone read a shop's own texts before any task: a folder that `train --backbone` takes.

    No text of a task's test split is read. Settings: epochs learning_rate mlm_probability whole_word_mask anchor layers
    tables max_length … as KEY=VALUE.
    """
    from shoplm.pipeline.pretrain.adapted import commands
    from shoplm.pipeline.pretrain.config import PretrainConfig
    from shoplm.pipeline.pretrain.pretraining import pretrain as run
    from shoplm.pipeline.progress import Terminal

    more = [word for word in words if "=" not in word or (files and Path(word).is_file())]  # what a shell makes of `--text-files *.txt`
    if more and not files:
        raise ConfigError(f"`{more[0]}`: expected KEY=VALUE, such as epochs=2; files of texts follow --text-files")
    config = PretrainConfig.read(objective, [word for word in words if word not in more], **given)
    every = [*files, *map(Path, more)]
    found = run(config, shop=shop, files=every, mapping=pairs_of(pairs), out=out, unfinished=unfinished or "refuse", progress=Terminal())
    text = f"{found}\nbackbone: {out}\nreport: {out / 'run' / 'report.html'}"
    show(found.plain(), text, as_json, commands(out, shop, every)[0])


@main.command()
@click.argument("task")
@click.argument("settings", metavar="[KEY=VALUE]...", nargs=-1)
@click.option("--shop", type=FOLDER, help="A shop's folder.")
@click.option("--data", type=FILE, help="A plain csv, jsonl or parquet file.")
@click.option("--map", "pairs", multiple=True, metavar="OURS=THEIRS", help="With --data: our field and the file's column.")
@click.option(
    "--methods", default="", metavar="A,B,…", help="full, lora, adalora, prefix, bottleneck, head; all, or full with --backbones."
)
@click.option("--backbones", default="default", metavar="A,B,…", help="Pre-trained models: default, folders, ids.")
@click.option("--trials", type=click.IntRange(min=1), default=16, show_default=True, help="Of each candidate, at most.")
@click.option(
    "--budget", type=float, metavar="SECONDS", help="Of training, for each candidate's search; without it four runs of the slowest."
)
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="How often each finalist is trained at the end.")
@click.option(
    "--objective", default="quality", show_default=True, metavar="A,B,…", help="quality, latency, size: several are a Pareto search."
)
@click.option("--target", help="The column whose values are to be learnt.")
@click.option("--where", help="A SQL condition on the rows.")
@click.option("--seed", type=click.IntRange(min=0))
@click.option("--out", type=FOLDER, help="The comparison's folder; compare-TASK.")
@click.option("--restart", is_flag=True, help="Throw away the comparison that stands in OUT; without it that one is gone on with.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def compare(
    task: str,
    settings: tuple[str, ...],
    shop: Path | None,
    data: Path | None,
    pairs: tuple[str, ...],
    out: Path | None,
    restart: bool,
    as_json: bool,
    target: str | None,
    where: str | None,
    seed: int | None,
    **given: Any,
) -> None:
    """Compare methods, or pre-trained models, on TASK: a search for each, finalists with several seeds, one table.

    KEY=VALUE sets what is then the same in every trial. Models behind an endpoint take prompts and are not tuned here.
    """
    from shoplm.pipeline.compare import comparing
    from shoplm.pipeline.compare.candidates import CompareConfig, candidates
    from shoplm.pipeline.progress import Terminal

    listed = {key: [word for word in given.pop(key).split(",") if word] for key in ("methods", "backbones", "objective")}
    config = CompareConfig.read(task, **given, **listed)
    for word in settings:
        if "=" not in word:
            raise ConfigError(f"`{word}`: compare takes one task, {task}, and settings as KEY=VALUE")
    compared = candidates(config, settings, {"target": target, "where": where, "seed": seed})
    found = comparing.run(
        config,
        compared,
        shop=shop,
        data=data,
        mapping=pairs_of(pairs),
        out=out or Path(f"compare-{task}"),
        restart=restart,
        progress=Terminal(),
    )
    show(found.plain(), f"{found}\nrecipe: {found.out / 'recipe.yaml'}\nreport: {found.out / 'report.html'}", as_json, found.after)


@main.command()
@click.argument("bundle", type=FOLDER)
@click.argument("name", required=False)
@click.option("--shop", type=FOLDER)
@click.option("--data", type=FILE)
@click.option("--map", "pairs", multiple=True, metavar="OURS=THEIRS")
@click.option("--split", default="test", show_default=True, help="train, valid, test or all.")
@click.option("--where", help="A SQL condition on the rows; without it the one of the training.")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True)
@click.option("--no-baselines", is_flag=True, help="Only the model itself.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def evaluate(
    bundle: Path,
    name: str | None,
    shop: Path | None,
    data: Path | None,
    pairs: tuple[str, ...],
    split: str,
    where: str | None,
    precision: Any,
    no_baselines: bool,
    as_json: bool,
) -> None:
    """Judge a bundle on rows with known answers, beside a majority guess and a TF-IDF model, with 95 % intervals."""
    from shoplm.cli import apps

    if name == apps.RECOMMEND or (name is None and apps.recommends(bundle)):
        apps.evaluate_recommend(bundle, shop, data, pairs, split, as_json)
        return
    from shoplm.pipeline import judging
    from shoplm.pipeline.bundle import load
    from shoplm.pipeline.progress import Terminal

    loaded = load(bundle)
    found = judging.evaluate(
        loaded, name, shop=shop, data=data, mapping=pairs_of(pairs), split=split, where=where, baselines=not no_baselines,
        examples=0 if as_json else 3, precision=precision, progress=Terminal(),
    )  # fmt: skip
    page = judging.report(found, loaded)
    asks: list[str | Path] = ["--data", "FILE", "--shop", shop] if shop and loaded.part(found.task)[1].keys else ["--text", "…"]
    show(found.plain(), f"{found}\nreport: {page}", as_json, typed("predict", bundle, found.task, *asks))


@main.command()
@click.argument("bundle", type=FOLDER)
@click.argument("name", required=False)
@click.option("--data", type=FILE, help="A csv, jsonl or parquet file of rows to answer.")
@click.option("--text", "texts", multiple=True, help="A text to answer; may be given several times.")
@click.option("--map", "pairs", multiple=True, metavar="OURS=THEIRS")
@click.option("--out", type=FILE, help="Write answers there (.csv, .jsonl or .parquet) instead of to stdout.")
@click.option("--shop", type=FOLDER, help="Where a task finds histories and products; FILE then names user_id and item_id.")
@click.option("--why", is_flag=True, help="Beside each answer the acts that mattered most; takes some thirty times as long.")
def predict(
    bundle: Path,
    name: str | None,
    data: Path | None,
    texts: tuple[str, ...],
    pairs: tuple[str, ...],
    out: Path | None,
    shop: Path | None,
    why: bool,
) -> None:
    """Answer texts, or every row of a file, in order."""
    from shoplm.pipeline.bundle import load
    from shoplm.pipeline.predicting import predict_file
    from shoplm.pipeline.progress import Terminal

    if data is None and not texts:
        raise DataError("nothing to answer: give --data FILE or --text '…'")
    if data is not None and texts:
        raise DataError(f"two sources of texts, --data {data} and --text: give only one of them")
    if shop is not None and data is None:
        raise DataError(f"--shop {shop}: tells about the shoppers and items of --data FILE; a --text has neither")
    if why and data is None:
        raise DataError("--why: tells the acts of --data FILE that mattered; a --text has none")
    loaded = load(bundle)
    task = (name,) if name else ()
    if data is not None:
        count = predict_file(loaded, name, data, out, pairs_of(pairs), Terminal(), shop, why)
        click.echo(f"{count:,} answers{f' in {out}' if out else ''}\nnext: {typed('evaluate', bundle, *task, '--data', data)}", err=True)
        return
    for row in loaded.predict(list(texts), name):
        click.echo(json.dumps(row, ensure_ascii=False))
    click.echo(f"next: {typed('predict', bundle, *task, '--data', 'FILE', '--out', 'answers.csv')}", err=True)


@main.command()
@click.argument("bundle", type=FOLDER)
def verify(bundle: Path) -> None:
    """Check every file of a bundle against its checksums, and that it answers."""
    from shoplm.cli import apps
    from shoplm.pipeline.predicting import verify as look

    if apps.recommends(bundle):
        apps.verify_recommend(bundle)
        return
    click.echo(f"{look(bundle)}\nnext: {typed('predict', bundle, '--text', '…')}")


@main.command()
def doctor() -> None:
    """What this machine has, and what is missing."""
    from shoplm.pipeline.doctor import examine

    found = examine()
    click.echo(str(found))
    sys.exit(0 if found.well else 1)
