"""A file is there whole, or it is not there: the one way in which ShopLM writes files that matter."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from shoplm.errors import ResourceError


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A place to write to that becomes ``path`` when the block ends, its bytes on the disk.

    When the block fails, nothing is left and ``path`` is as it was.

    Raises:
        ResourceError: the disk is full or the place cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written ({error.strerror or error}); free space or choose another place") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """A whole UTF-8 text file.

    Raises:
        ResourceError: the disk is full or the place cannot be written.
    """
    with whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def sync_folder(folder: Path) -> None:
    """The names in a folder are on the disk: a rename in it outlives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def or_gone(folder: Path) -> Iterator[None]:
    """A block that fills ``folder``: when it fails, a folder that was not there before it is not there after it."""
    there = folder.exists()
    try:
        yield
    except BaseException:
        if not there:
            shutil.rmtree(folder, ignore_errors=True)
        raise
