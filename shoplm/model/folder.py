"""A folder of model files: there whole, with a sum of every file, or not there.

It is written into a folder beside its place, ``.<name>.partial``, and gets the name ``.<name>.ready`` when its last
byte is on the disk. From there it moves into its place; whoever touches the place next (``recover``) ends a move that a
kill or a power cut broke off. The run folder ``run/`` moves along: it is a journal, not a part of the model, and is
never in a folder that is removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from safetensors import SafetensorError

from shoplm.errors import BundleError, ResourceError
from shoplm.files import sync_folder

SUMS = "checksums.json"
KEPT = ("run", "report.html")
"""What stays when another bundle takes the place."""
OUTSIDE = (SUMS, *KEPT)
"""What lies in the folder and is no part of the model."""


def put(place: Path, fill: Callable[[Path], None]) -> None:
    """Write a folder; what stood at ``place`` before is replaced, its ``run/`` kept.

    Killed at any moment, the next call of anything here finds the old folder or the new one, and ``run/``.

    Args:
        place: where it is to stand.
        fill: writes every file into the empty folder that it is given.

    Raises:
        ResourceError: the disk is full or the place cannot be written.
        BundleError: ``place`` holds something that is not ours.
    """
    recover(place)
    if place.is_file() or (place.is_dir() and not is_ours(place)):
        raise BundleError(f"{place}: is not empty and no bundle; choose another --out")
    fresh = _beside(place, "partial")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        fill(fresh)
        sums = {file: _sha256(fresh / file) for file in _files(fresh)}
        (fresh / SUMS).write_text(json.dumps(sums, indent=1, sort_keys=True), "utf-8")
        for file in [*_files(fresh), SUMS]:
            with open(fresh / file, "rb") as written:
                os.fsync(written.fileno())
        for folder in [fresh, *(path for path in fresh.rglob("*") if path.is_dir())]:
            sync_folder(folder)
        with _alone(place.absolute().parent):
            os.rename(fresh, _beside(place, "ready"))
            sync_folder(place.absolute().parent)
            _move_in(place)
    except (OSError, SafetensorError) as error:
        raise ResourceError(
            f"{place}: the bundle cannot be written ({getattr(error, 'strerror', None) or error}); free space or choose another --out"
        ) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def check(place: Path, needed: Sequence[str] = ()) -> None:
    """Every file of a folder is there and unaltered, and those of ``needed`` are among them.

    Raises:
        BundleError: no such folder, or a file that is missing, altered or too many, by name.
    """
    if not place.is_dir():
        raise BundleError(f"{place}: no such bundle; `shoplm train … --out {place}` writes one")
    try:
        sums = json.loads((place / SUMS).read_text("utf-8"))
        if not isinstance(sums, dict):
            raise ValueError("not a table")
    except (OSError, ValueError):
        hint = (
            "its training has not ended: run the same train command with --resume"
            if (place / "run").is_dir()
            else "give a folder that `shoplm train` wrote"
        )
        raise BundleError(f"{place}: no readable checksums.json; {hint}") from None
    for file, digest in sums.items():
        path = place / file
        if not path.resolve().is_relative_to(place.resolve()):
            raise BundleError(f"{place}/checksums.json names `{file}`, outside the bundle; restore the bundle")
        if not path.is_file():
            raise BundleError(f"{path}: missing; restore the bundle from a copy")
        if _sha256(path) != digest:
            raise BundleError(f"{path}: altered or truncated (SHA-256 differs from checksums.json); restore the bundle from a copy")
    for name in needed:
        if name not in sums:
            raise BundleError(f"{place}/checksums.json: does not name {name}; restore the bundle from a copy")
    stray = sorted(set(_files(place)) - set(sums))
    if stray:
        raise BundleError(f"{place / stray[0]}: not in checksums.json; remove it or restore the bundle")


def is_ours(place: Path) -> bool:
    """Whether a folder is empty, a bundle, or the beginning of one (a run)."""
    held = {child.name for child in place.iterdir()}
    return not held or "checksums.json" in held or held <= set(OUTSIDE)


def recover(place: Path) -> None:
    """End a move into ``place`` that was broken off: the new bundle stands there afterwards, with the run that stood there before.

    Does nothing when there is nothing to end, and where the folder above cannot be written: what stands there is left as it is.
    """
    if _beside(place, "ready").is_dir():
        with contextlib.suppress(OSError), _alone(place.absolute().parent):
            _move_in(place)


def _move_in(place: Path) -> None:
    """The ready folder takes the place, together with the journal that stood there. Broken off anywhere, a second call ends it."""
    ready, old = _beside(place, "ready"), _beside(place, "old")
    if not ready.is_dir():
        return  # somebody else has ended it
    if place.exists():
        for name in KEPT:
            if (place / name).exists() and not (ready / name).exists():
                os.rename(place / name, ready / name)
        sync_folder(ready)
        shutil.rmtree(old, ignore_errors=True)
        os.rename(place, old)  # without a journal in it
    os.rename(ready, place)
    sync_folder(place.absolute().parent)
    shutil.rmtree(old, ignore_errors=True)


def _beside(place: Path, ending: str) -> Path:
    """The hidden folder of a name beside a bundle; in the same folder, so that renaming is one step."""
    whole = place.absolute()
    return whole.with_name(f".{whole.name}.{ending}")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No two processes move a bundle in one folder at a time; a file system without locks goes without."""
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _files(folder: Path) -> list[str]:
    """Every file that belongs to the model, as a path with forward slashes."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if path.parts[0] not in OUTSIDE and not path.name.endswith(".partial"))


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
