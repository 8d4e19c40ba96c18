"""Named arrays and plain facts in one file: written whole or not at all, read through a memory map, refused when a byte is wrong.

    8 bytes   the magic word
    8 bytes   the length of the header, little-endian
    32 bytes  SHA-256 of the header
    header    JSON: kind, facts, SHA-256 of the body, and of each array its dtype, shape and place
    body      the arrays, C order, little-endian, each at a multiple of 64 bytes

No byte is left out, and the sums are taken when a file is opened: some 50 ms for 100 MB, and no answer can come from an altered byte.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shoplm.errors import BundleError
from shoplm.files import sync_folder, whole

MAGIC = b"SHOPLM\x00\x01"
ALIGNED = 64
HEAD = len(MAGIC) + 8 + 32
KINDS = frozenset({"float32", "float16", "int64", "int32", "uint64", "uint32", "uint8", "bool"})
"""dtypes that a file may hold: none that could run code."""

Arrays = Mapping[str, npt.NDArray[Any]]


def write(path: Path, kind: str, facts: Mapping[str, Any], arrays: Arrays) -> None:
    """Write a file; killed at any moment, ``path`` is what it was before or what it is to be.

    Raises:
        ResourceError: the disk is full or the place cannot be written.
    """
    placed: dict[str, dict[str, Any]] = {}
    pieces: list[tuple[int, npt.NDArray[Any]]] = []
    at, body = 0, hashlib.sha256()
    for name, array in arrays.items():
        fixed = np.ascontiguousarray(array)
        assert fixed.dtype.name in KINDS, f"{name}: {fixed.dtype}"
        gap = -at % ALIGNED
        body.update(bytes(gap))
        body.update(fixed.reshape(-1).view(np.uint8).data)
        placed[name] = {"dtype": fixed.dtype.name, "shape": list(fixed.shape), "at": at + gap}
        pieces.append((gap, fixed))
        at += gap + fixed.nbytes
    header = json.dumps({"kind": kind, "facts": facts, "sha256": body.hexdigest(), "bytes": at, "arrays": placed}).encode()
    header += b" " * (-(HEAD + len(header)) % ALIGNED)
    with whole(path) as partial, open(partial, "wb") as file:
        file.write(MAGIC + len(header).to_bytes(8, "little") + hashlib.sha256(header).digest() + header)
        for gap, fixed in pieces:
            file.write(bytes(gap))
            file.write(fixed.reshape(-1).view(np.uint8).data)
    sync_folder(path.parent)


def read(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """The facts and the arrays of a file, the arrays read-only and mapped.

    Raises:
        BundleError: there is no such file, it is cut short or altered, or it holds something else.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < HEAD or file.read(len(MAGIC)) != MAGIC:
                raise BundleError(f"{path}: is no file of ShopLM's retrieval; remove it and it is made again")
            length = int.from_bytes(file.read(8), "little")
            if length > size - HEAD:
                raise _wrong(path, "it is cut short")
            told, head = file.read(32), file.read(length)
            if hashlib.sha256(head).digest() != told:
                raise _wrong(path, "its header is not the one that was written")
            header = json.loads(head.decode())
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError):
        raise _wrong(path, "its header is no JSON") from None
    body = memoryview(mapped)[HEAD + length :]
    try:
        if hashlib.sha256(body).hexdigest() != header["sha256"] or len(body) != header["bytes"]:
            raise _wrong(path, "its bytes are not those that were written")
        if header["kind"] != kind:
            raise _wrong(path, f"it holds `{header['kind']}`, expected `{kind}`")
        arrays = {name: _array(body, said) for name, said in header["arrays"].items()}
        return dict(header["facts"]), arrays
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _wrong(path, f"its header is wrong, {type(error).__name__}") from None


def _array(body: memoryview, said: Mapping[str, Any]) -> npt.NDArray[Any]:
    kind, shape, at = said["dtype"], tuple(said["shape"]), said["at"]
    if kind not in KINDS or not all(isinstance(size, int) and size >= 0 for size in (*shape, at)):
        raise ValueError(kind)
    found: npt.NDArray[Any] = np.frombuffer(body, kind, math.prod(shape), at).reshape(shape) if math.prod(shape) else np.zeros(shape, kind)
    return found


def _wrong(path: Path, why: str) -> BundleError:
    return BundleError(f"{path}: cannot be used, {why}; remove it and it is made again")
