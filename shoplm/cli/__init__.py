"""The command line: parses, calls one function of the pipeline, says where the result is and what to type next.

Results go to stdout, progress to stderr. The user's mistakes end in one line and exit code 2,
failures in 1; a bug keeps its traceback. Everything heavy is imported inside its command.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from shoplm.cli import shop, model, apps, find  # isort: skip  (in the order in which their verbs are listed)
from shoplm.cli.doors import main

__all__ = ["apps", "find", "main", "model", "run", "shop"]


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
