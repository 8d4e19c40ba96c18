"""Which version of each Delta table makes up one version of the shop.

``_shop/<n>.json`` is written once, whole or not at all, and never changed: its number and digest are the data version.
The digest speaks of content only, so two shops with the same rows have the same one. When files are merged and no row
changes, ``_shop/<n>.<r>.json`` says where the rows of version n lie now; the highest r holds.
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
from shoplm.files import sync_folder

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
    """One version of a shop.

    Attributes:
        version: its number.
        tables: its tables.
        contract: the version of the data contract that its rows obey.
        layout: how often its files have been merged since.
    """

    version: int
    tables: Mapping[str, TableState]
    contract: int = field(default_factory=lambda: contract.VERSION)
    layout: int = 0

    @property
    def data_version(self) -> str:
        """Such as ``v3-1f0c22ab``: the version's number and 8 hex digits of what the tables hold."""
        content = {
            name: [state.rows, f"{state.content:016x}", dict(sorted(state.attributes.items()))]
            for name, state in sorted(self.tables.items())
        }
        return f"v{self.version}-{_digest({'contract': self.contract, 'tables': content})[:8]}"

    def plain(self) -> dict[str, Any]:
        """As plain values that JSON can hold."""
        return {
            "contract": self.contract,
            "version": self.version,
            "layout": self.layout,
            "data_version": self.data_version,
            "tables": {
                name: {"delta": state.delta, "rows": state.rows, "content": f"{state.content:016x}", "attributes": dict(state.attributes)}
                for name, state in sorted(self.tables.items())
            },
        }


def _digest(values: Any) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def files(shop: Path) -> dict[tuple[int, int], Path]:
    """Every manifest by version and layout.

    Raises:
        ResourceError: the folder cannot be read.
    """
    found = {}
    try:
        for file in (shop / FOLDER).glob("*.json"):
            version, _, layout = file.stem.partition(".")
            if version.isdecimal() and (layout.isdecimal() or not layout):
                found[int(version), int(layout or 0)] = file
    except OSError as error:
        raise ResourceError(f"{shop}: cannot be read ({error.strerror}); check the folder's permissions") from None
    return found


def newest(shop: Path) -> int | None:
    """The number of the newest version, None if the folder is no shop."""
    return max((version for version, _ in files(shop)), default=None)


def versions(shop: Path) -> list[int]:
    """The numbers of the versions that can be read, oldest first."""
    return sorted({version for version, _ in files(shop)})


def read(shop: Path, version: int) -> Manifest:
    """The manifest of one version, as its files lie now.

    Raises:
        DataError: it is not there, damaged, or of a newer contract than this ShopLM knows.
    """
    there = files(shop)
    layout = max((layout for number, layout in there if number == version), default=None)
    if layout is None:
        raise DataError(f"{shop}: {_absent(version, sorted({number for number, _ in there}))}")
    return _parsed(there[version, layout], shop, version)


def _absent(version: int, there: list[int]) -> str:
    if not there:
        return f"no version {version}; the folder is no shop any more"
    if 0 <= version < there[-1]:
        return f"version {version} was forgotten; there is {said(there)}"
    return f"no version {version}; the newest is {there[-1]}"


def said(numbers: list[int]) -> str:
    """Such as ``0, 3 to 7``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def _parsed(file: Path, shop: Path, version: int) -> Manifest:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{shop}: {_absent(version, versions(shop))}") from None
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
        return Manifest(int(values["version"]), tables, written, int(values.get("layout", 0)))
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
    values = manifest.plain()
    values["checksum"] = _digest(values)
    name = f"{manifest.version}.{manifest.layout}.json" if manifest.layout else f"{manifest.version}.json"
    put(shop / FOLDER / name, json.dumps(values, indent=1, sort_keys=True) + "\n")


def put(file: Path, text: str) -> None:
    """A file that is there whole and durable, or not at all, and only if none stands in its place.

    Raises:
        FileExistsError: one stands there; it is as it was.
        OSError: the place cannot be written.
    """
    draft = file.with_name(f"{file.name}.{uuid.uuid4().hex}.draft")
    try:
        with draft.open("x", encoding="utf-8") as written:
            written.write(text)
            written.flush()
            os.fsync(written.fileno())
        os.link(draft, file)  # two hosts on one file system: only one link is made
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(file.parent)
