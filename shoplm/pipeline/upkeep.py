"""What a shop needs from time to time: live rows moved in, old rows out, small files merged, old versions forgotten."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from shoplm.data import manifest
from shoplm.data.drain import DrainReport, drain
from shoplm.data.maintenance import TABLES, Cleared
from shoplm.data.shop import Removed, Shop
from shoplm.data.store import Store, now_us


@dataclass(frozen=True)
class Upkeep:
    """What was done (None = not asked for), and how the shop stands afterwards."""

    drained: DrainReport | None
    removed: Removed | None
    compacted: bool
    cleared: Cleared | None
    versions: tuple[int, ...]
    """Those that can be read, oldest first."""
    rows: int
    files: int
    bytes: int
    """Of the data files on the disk."""

    def plain(self) -> dict[str, Any]:
        """As JSON says it."""
        return {
            "drained": None if self.drained is None else asdict(self.drained),
            "removed": None if self.removed is None else {"rows": dict(self.removed.rows), "versions": list(self.removed.versions)},
            "compacted": self.compacted, "forgotten": None if self.cleared is None else list(self.cleared.versions),
            "versions": list(self.versions), "rows": self.rows, "files": self.files, "bytes": self.bytes,
        }  # fmt: skip

    def __str__(self) -> str:
        lines = []
        if self.drained is not None:
            said = self.drained
            lines.append(
                f"drained: {said.rows:,} rows from the live store, {said.new:,} new, {said.there:,} already there, {said.quarantined:,} to quarantine"
            )
        if self.removed is not None:
            gone = ", ".join(f"{count:,} of {table}" for table, count in self.removed.items())
            lines.append(f"too old by shop.yaml: {gone or 'no row'}{' removed' if gone else ''}")
        if self.compacted:
            lines.append("small files merged")
        if self.cleared is not None:
            lines.append(str(self.cleared))
        lines.append(
            f"{self.rows:,} rows in {self.files:,} files, {self.bytes:,} bytes; readable versions: {manifest.said(list(self.versions))}"
        )
        return "\n".join(lines)


def tend(shop: Shop, *, draining: bool = False, retaining: bool = False, compacting: bool = False, keep: int | None = None) -> Upkeep:
    """Do what is asked, in the order in which each profits from the last; nothing asked = only look.

    Args:
        shop: changed.
        draining: move the live store's waiting rows into the tables.
        retaining: remove the rows that are older than ``shop.yaml`` allows.
        compacting: merge small files.
        keep: forget all versions but so many.

    Raises:
        DataError: ``keep`` is below 1.
        ConfigError: ``shop.yaml`` is wrong.
        ResourceError: the shop or the store cannot be written, or another process drains.
    """
    drained = None
    if draining:
        store = Store(shop.path)
        try:
            drained = drain(store, shop)
        finally:
            store.close()
    removed = shop.retain(now_us()) if retaining else None
    if compacting:
        shop.compact()
    cleared = None if keep is None else shop.forget(keep)
    files = [file.stat().st_size for file in (shop.path / TABLES).glob("*/*.parquet")]
    return Upkeep(drained, removed, compacting, cleared, tuple(shop.versions()), sum(shop.counts().values()), len(files), sum(files))
