"""Which version of each Delta table makes up one version of the shop.

``_shop/<n>.json`` is written once, whole or not at all, and never changed: its number and digest are the data version.
The digest speaks of content only, so two shops with the same rows have the same one.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoplm.data import contract
from shoplm.errors import DataError, ResourceError

FOLDER = "_shop"


@dataclass(frozen=True)
class TableState:
    """One table at one version.

    Attributes:
        delta: the Delta version that holds it.
        rows: how many rows.
        content: the sum of all row digests modulo 2**64; it does not depend on the order of rows.
        attributes: the DuckDB type of each name found in ``attributes``.
    """

    delta: int
    rows: int
    content: int
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """One version of a shop."""

    version: int
    tables: Mapping[str, TableState]

    @property
    def data_version(self) -> str:
        """Such as ``v3-1f0c22ab``: the version's number and 8 hex digits of what the tables hold."""
        content = {
            name: [state.rows, f"{state.content:016x}", dict(sorted(state.attributes.items()))]
            for name, state in sorted(self.tables.items())
        }
        return f"v{self.version}-{_digest({'contract': contract.VERSION, 'tables': content})[:8]}"

    def plain(self) -> dict[str, Any]:
        """As plain values that JSON can hold."""
        return {
            "contract": contract.VERSION,
            "version": self.version,
            "data_version": self.data_version,
            "tables": {
                name: {"delta": state.delta, "rows": state.rows, "content": f"{state.content:016x}", "attributes": dict(state.attributes)}
                for name, state in sorted(self.tables.items())
            },
        }


def _digest(values: Any) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def newest(shop: Path) -> int | None:
    """The number of the newest manifest, None if the folder is no shop."""
    try:
        numbers = [int(file.stem) for file in (shop / FOLDER).glob("*.json") if file.stem.isdecimal()]
    except OSError as error:
        raise ResourceError(f"{shop}: cannot be read ({error.strerror}); check the folder's permissions") from None
    return max(numbers, default=None)


def read(shop: Path, version: int) -> Manifest:
    """The manifest of one version.

    Raises:
        DataError: it is not there, damaged, or of a newer contract than this ShopLM knows.
    """
    file = shop / FOLDER / f"{version}.json"
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{shop}: no version {version}; the newest is {newest(shop)}") from None
    except OSError as error:
        raise ResourceError(f"{file}: cannot be read ({error.strerror}); check the file's permissions") from None
    except (ValueError, RecursionError):
        raise _damaged(file, "it is not JSON") from None
    try:
        written = int(values["contract"])
        if written > contract.VERSION:
            raise DataError(f"{file}: data contract {written} is newer than {contract.VERSION}, the newest known here; update ShopLM")
        checksum = values.pop("checksum")
        if checksum != _digest(values):
            raise _damaged(file, "its checksum does not fit")
        tables = {
            contract.table(name).name: TableState(int(t["delta"]), int(t["rows"]), int(t["content"], 16), dict(t["attributes"]))
            for name, t in values["tables"].items()
        }
        return Manifest(int(values["version"]), tables)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(file, f"{type(error).__name__} {error}") from None


def _damaged(file: Path, why: str) -> DataError:
    return DataError(f"{file}: the manifest is damaged ({why}); restore it from a backup, or delete it to go back one version")


def write(shop: Path, manifest: Manifest) -> None:
    """Put the manifest in its place, durably and only if no other stands there.

    Raises:
        FileExistsError: another writer was first.
        OSError: the place cannot be written.
    """
    folder = shop / FOLDER
    values = manifest.plain()
    values["checksum"] = _digest(values)
    draft = folder / f"{manifest.version}.{uuid.uuid4().hex}.draft"
    try:
        with draft.open("x", encoding="utf-8") as file:
            file.write(json.dumps(values, indent=1, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, folder / f"{manifest.version}.json")
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make the folder's list of files durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
