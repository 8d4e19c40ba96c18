"""What all verbs share: the group that turns mistakes into one line and an exit code, and how results are said."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from shoplm import __version__
from shoplm.errors import DataError, ShopLMError

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


def typed(*words: str | Path) -> str:
    """A command to type next, quoted for a shell whatever the words hold."""
    return shlex.join(["shoplm", *map(str, words)])


def pairs_of(given: Iterable[str]) -> dict[str, str]:
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


def figure(found: dict[str, Any]) -> str:
    """A metric with its interval, or a dash where nothing was counted."""
    if found["value"] is None:
        return "-"
    return f"{found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"


def show(plain: dict[str, Any], text: str, as_json: bool, after: str) -> None:
    """The result on stdout: one JSON object, or words; and what to type next."""
    if as_json:
        click.echo(json.dumps(plain, ensure_ascii=False))
        click.echo(f"next: {after}", err=True)
    else:
        click.echo(f"{text}\nnext: {after}")
