"""One file per outside format; the file's name is the word after ``shoplm import``.

An importer has ``read(files, table)``, which yields the chunks of the files, and opens nothing before it is asked.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Protocol, cast

from shoplm.data.ingest import Chunk
from shoplm.errors import DataError, did_you_mean


class Importer(Protocol):
    """The form of every module in this folder."""

    def read(self, files: Sequence[Path], table: str | None = None) -> Generator[Chunk, None, None]:
        """The files' rows, in order; a reader that is left early is closed by its caller.

        Raises:
            DataError: a file cannot be read as this format, or no contract table is named by ``table`` or the file.
        """
        ...


def names() -> list[str]:
    """The formats that can be read; a module whose name begins with ``_`` is a part that several of them share."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def importer(name: str) -> Importer:
    """The importer called ``name``.

    Raises:
        DataError: there is none; the message names the closest.
    """
    if name not in names():
        raise DataError(f"no format `{name}`; {did_you_mean(name, names())}")
    return cast(Importer, importlib.import_module(f"{__name__}.{name}"))
