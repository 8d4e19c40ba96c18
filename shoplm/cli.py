"""The command line: parses, calls one function of the pipeline, says where the result is and what to type next.

Results go to stdout, progress to stderr. The user's mistakes end in one line and exit code 2,
failures in 1; a bug keeps its traceback. Everything heavy is imported inside its command.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import click

from shoplm import __version__
from shoplm.errors import ConfigError, DataError, RunError, ShopLMError

FOLDER = click.Path(path_type=Path)
FILE = click.Path(path_type=Path)


class _Doors(click.Group):
    """Turns ShopLM's own errors into one line and an exit code."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Read the words before the verb."""
        try:
            return super().make_context(*arguments, **options)
        except click.UsageError as error:
            raise click.exceptions.Exit(_usage(error)) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except ShopLMError as error:
            click.echo(f"error: {_line(str(error))}", err=True)
            ctx.exit(error.exit_code)
        except click.UsageError as error:
            ctx.exit(_usage(error))
        except KeyboardInterrupt:
            click.echo(f"stopped; {_after_interrupt(ctx)}", err=True)
            ctx.exit(1)
        except BrokenPipeError:
            ctx.exit(1)
        except MemoryError:
            click.echo("error: memory ran out; set a smaller batch_size or max_length", err=True)
            ctx.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        """The verbs in the order in which a newcomer meets them."""
        return list(self.commands)


def _line(text: str) -> str:
    """A message as the one line that it is, whatever names it quotes."""
    return " ".join(text.split())


def _usage(error: click.UsageError) -> int:
    """A mistake in the words themselves, in one line; the exit code."""
    where = error.ctx.command_path if error.ctx else "shoplm"
    click.echo(f"error: {_line(error.format_message())} See: {where} --help", err=True)
    return error.exit_code


def _after_interrupt(ctx: click.Context) -> str:
    if ctx.invoked_subcommand == "compare":
        return "give the same command again to go on; what was done is not done again"
    if ctx.invoked_subcommand in ("train", "pretrain"):
        return "give the same command with --resume to go on from the last checkpoint, or from the beginning where none was written yet"
    return "nothing was half-written"


@click.group(cls=_Doors, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="shoplm")
def main() -> None:
    """One language model for the whole shop: fine-tune it on your own tables.

    Start with: shoplm demo
    """


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
        click.echo(f"shop: {folder}\nnext: {_typed('import', 'table', 'reviews.csv', '--shop', folder)}")
        return
    from shoplm.pipeline.demo import fill
    from shoplm.pipeline.progress import Terminal
    from shoplm.world.settings import WorldConfig

    report = fill(folder, WorldConfig.of(given), Terminal(), truth)
    told = f"\ntruth: {truth}" if truth else ""
    click.echo(f"{report}\nshop: {folder}{told}\nnext: {_typed('check', '--shop', folder)}")


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
            *files, format=format_name, table=table, mapping=_pairs(pairs), strict=strict, source=source, guard=guard
        )
    _show(report.plain(), str(report), as_json, _typed("check", "--shop", shop))


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
    _show(proof.plain(), str(proof), as_json, f"shoplm check --shop {shop}")
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
    _show(found.plain(), str(found), as_json, _typed("train", "sentiment", "--shop", shop, "--out", "sentiment"))


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
    after = _typed("check", "--shop", shop) if drain or retain or compact or keep else _typed("upkeep", "--shop", shop, "--compact")
    _show(found.plain(), str(found), as_json, after)


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
@click.option("--seed", type=click.IntRange(min=0))
@click.option("--resume", "unfinished", flag_value="resume", help="Go on with the run that stands in OUT and has not ended.")
@click.option("--restart", "unfinished", flag_value="restart", help="Throw that run away and begin anew.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def train(
    words: tuple[str, ...],
    shop: Path | None,
    data: Path | None,
    out: Path | None,
    pairs: tuple[str, ...],
    recipe: Path | None,
    unfinished: Literal["resume", "restart"] | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Fine-tune the backbone for tasks (interest, sentiment, intent) and write a bundle.

    Settings: epochs batch_size max_length learning_rate optimizer weight_decay warmup schedule seed
    patience layers r lora_alpha … as KEY=VALUE.
    """
    from shoplm.pipeline.config import RunConfig
    from shoplm.pipeline.progress import Terminal
    from shoplm.pipeline.training import train as run

    names = [word for word in words if "=" not in word]
    settings = [word for word in words if "=" in word]
    config = RunConfig.read(names, recipe, settings, **given)
    if out is None and config.into is None:
        raise ConfigError("--out: expected a folder for the bundle, such as --out my-bundle (with --into it may be left out)")
    out = out or Path(str(config.into))
    bundle = run(config, shop=shop, data=data, mapping=_pairs(pairs), out=out, unfinished=unfinished or "refuse", progress=Terminal())
    where = ["--shop", shop] if shop else ["--data", data, *(word for pair in pairs for word in ("--map", pair))]
    lines = [
        f"{task} {name}: {_figure(found)}"
        for task, said in bundle.metrics.items()
        if task in config.tasks
        for name, found in said.get("metrics", {}).items()
    ]
    first = config.tasks[:1] if len(bundle.tasks) > 1 else ()
    folders = [out / "run" / task for task in config.tasks] if first else [out / "run"]
    reports = [f"report: {folder / 'report.html'}" for folder in folders]
    text = "\n".join([*(["on validation rows:", *lines] if lines else []), f"bundle: {out}", *reports])
    _show({"bundle": str(out), "metrics": dict(bundle.metrics)}, text, as_json, _typed("evaluate", out, *first, *where))


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
    from shoplm.pipeline.adapted import commands
    from shoplm.pipeline.pretrain_config import PretrainConfig
    from shoplm.pipeline.pretraining import pretrain as run
    from shoplm.pipeline.progress import Terminal

    more = [word for word in words if "=" not in word or (files and Path(word).is_file())]  # what a shell makes of `--text-files *.txt`
    if more and not files:
        raise ConfigError(f"`{more[0]}`: expected KEY=VALUE, such as epochs=2; files of texts follow --text-files")
    config = PretrainConfig.read(objective, [word for word in words if word not in more], **given)
    every = [*files, *map(Path, more)]
    found = run(config, shop=shop, files=every, mapping=_pairs(pairs), out=out, unfinished=unfinished or "refuse", progress=Terminal())
    text = f"{found}\nbackbone: {out}\nreport: {out / 'run' / 'report.html'}"
    _show(found.plain(), text, as_json, commands(out, shop, every)[0])


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
    from shoplm.pipeline import comparing
    from shoplm.pipeline.candidates import CompareConfig, candidates
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
        mapping=_pairs(pairs),
        out=out or Path(f"compare-{task}"),
        restart=restart,
        progress=Terminal(),
    )
    _show(found.plain(), f"{found}\nrecipe: {found.out / 'recipe.yaml'}\nreport: {found.out / 'report.html'}", as_json, found.after)


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
    from shoplm.pipeline import judging
    from shoplm.pipeline.bundle import load
    from shoplm.pipeline.progress import Terminal

    loaded = load(bundle)
    found = judging.evaluate(
        loaded, name, shop=shop, data=data, mapping=_pairs(pairs), split=split, where=where, baselines=not no_baselines,
        examples=0 if as_json else 3, precision=precision, progress=Terminal(),
    )  # fmt: skip
    page = judging.report(found, loaded)
    asks: list[str | Path] = ["--data", "FILE", "--shop", shop] if shop and loaded.part(found.task)[1].keys else ["--text", "…"]
    _show(found.plain(), f"{found}\nreport: {page}", as_json, _typed("predict", bundle, found.task, *asks))


@main.command()
@click.argument("bundle", type=FOLDER)
@click.argument("name", required=False)
@click.option("--data", type=FILE, help="A csv, jsonl or parquet file of rows to answer.")
@click.option("--text", "texts", multiple=True, help="A text to answer; may be given several times.")
@click.option("--map", "pairs", multiple=True, metavar="OURS=THEIRS")
@click.option("--out", type=FILE, help="Write answers there (.csv, .jsonl or .parquet) instead of to stdout.")
@click.option("--shop", type=FOLDER, help="Where a task finds histories and products; FILE then names user_id and item_id.")
def predict(
    bundle: Path, name: str | None, data: Path | None, texts: tuple[str, ...], pairs: tuple[str, ...], out: Path | None, shop: Path | None
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
    loaded = load(bundle)
    task = (name,) if name else ()
    if data is not None:
        count = predict_file(loaded, name, data, out, _pairs(pairs), Terminal(), shop)
        click.echo(f"{count:,} answers{f' in {out}' if out else ''}\nnext: {_typed('evaluate', bundle, *task, '--data', data)}", err=True)
        return
    for row in loaded.predict(list(texts), name):
        click.echo(json.dumps(row, ensure_ascii=False))
    click.echo(f"next: {_typed('predict', bundle, *task, '--data', 'FILE', '--out', 'answers.csv')}", err=True)


@main.command()
@click.argument("bundle", type=FOLDER)
def verify(bundle: Path) -> None:
    """Check every file of a bundle against its checksums, and that it answers."""
    from shoplm.pipeline.predicting import verify as look

    click.echo(f"{look(bundle)}\nnext: {_typed('predict', bundle, '--text', '…')}")


@main.command()
def doctor() -> None:
    """What this machine has, and what is missing."""
    from shoplm.pipeline.doctor import examine

    found = examine()
    click.echo(str(found))
    sys.exit(0 if found.well else 1)


def _typed(*words: str | Path) -> str:
    """A command to type next, quoted for a shell whatever the words hold."""
    return shlex.join(["shoplm", *map(str, words)])


def _pairs(given: Iterable[str]) -> dict[str, str]:
    """``ours=theirs`` as a mapping.

    Raises:
        DataError: one has no ``=``.
    """
    found: dict[str, str] = {}
    for pair in given:
        ours, equals, theirs = pair.partition("=")
        if not equals or not ours.strip() or not theirs.strip():
            raise DataError(f"--map {pair}: expected OURS=THEIRS, such as text=review_body")
        found[ours.strip()] = theirs.strip()
    return found


def _figure(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return "-"
    return f"{found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"


def _show(plain: dict[str, Any], text: str, as_json: bool, after: str) -> None:
    """The result on stdout: one JSON object, or words; and what to type next."""
    if as_json:
        click.echo(json.dumps(plain, ensure_ascii=False))
        click.echo(f"next: {after}", err=True)
    else:
        click.echo(f"{text}\nnext: {after}")


def run(arguments: Sequence[str]) -> int:
    """The command line as a function, for tests: the exit code."""
    try:
        code = main(args=list(arguments), prog_name="shoplm", standalone_mode=False)  # what `ctx.exit` said, or what the verb returned
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SystemExit as leave:
        return int(leave.code or 0)
    return code if isinstance(code, int) else 0
