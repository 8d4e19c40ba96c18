"""Who is writing into a shop: every writer's own folder, and how one sees that a writer has died.

A writer is named in each file that it writes, so the leavings of a dead one are known from the work of a living one.
On one machine the kernel lets go of a dead process's lock; of a writer on another machine only the silence is known.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shoplm.data.manifest import FOLDER
from shoplm.errors import ResourceError

STAGING = "staging"
WAIT_SECONDS = 600
SILENT_SECONDS = 24 * 3600
"""A writer of another machine that has staged nothing for this long is taken for dead."""


@dataclass(frozen=True)
class Writer:
    """One writer: its name, which its files carry, and the folder that is its own while it lives."""

    name: str
    folder: Path


@contextlib.contextmanager
def writing(shop: Path) -> Iterator[Writer]:
    """A writer's life: its folder is there while the block runs and goes with it."""
    place = shop / FOLDER / STAGING
    place.mkdir(parents=True, exist_ok=True)
    name = uuid.uuid4().hex[:12]
    sign = place / f"{name}.alive"
    handle = _sign(sign)
    folder = place / name
    try:
        folder.mkdir()
        yield Writer(name, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        sign.unlink(missing_ok=True)
        os.close(handle)


def _sign(sign: Path) -> int:
    while True:
        handle = os.open(sign, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.write(handle, socket.gethostname().encode())
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(handle).st_ino == sign.stat().st_ino:  # nobody took it for a dead one's in between
                return handle
        os.close(handle)


def living(shop: Path) -> set[str]:
    """The names of the writers that live, or may live on another machine."""
    return {sign.stem for sign in (shop / FOLDER / STAGING).glob("*.alive") if not _dead(sign)}


def dead(shop: Path) -> set[str]:
    """The names of writers that died before they could clear their folder away."""
    place = shop / FOLDER / STAGING
    folders = {folder.name for folder in place.glob("*") if folder.is_dir()}
    signs = {sign.stem for sign in place.glob("*.alive")}  # listed after the folders: a sign comes before its folder
    return (folders - signs) | {name for name in signs if _dead(place / f"{name}.alive")}


def bury(shop: Path, name: str) -> None:
    """Clear a dead writer's folder away."""
    place = shop / FOLDER / STAGING
    shutil.rmtree(place / name, ignore_errors=True)
    (place / f"{name}.alive").unlink(missing_ok=True)


def _dead(sign: Path) -> bool:
    try:
        handle = os.open(sign, os.O_RDWR)
    except FileNotFoundError:
        return False  # it has just ended well
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        host = os.read(handle, 300).decode(errors="replace")
        folder = sign.with_suffix("")
        last = max(path.stat().st_mtime for path in (sign, *folder.glob("*")))
        return host == socket.gethostname() or time.time() - last > SILENT_SECONDS
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(handle)


@contextlib.contextmanager
def alone(shop: Path) -> Iterator[None]:
    """One writer of this machine at a time, so that they need not undo and repeat; the lock goes with the process.

    Nothing depends on it: where it does not hold, whoever comes second judges anew.

    Raises:
        ResourceError: another writer held it too long.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    handle = os.open(shop / FOLDER / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ResourceError(f"{shop}: another import has been writing for {WAIT_SECONDS} s; wait for it or end it") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(handle)
