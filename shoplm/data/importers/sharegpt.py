"""ShareGPT's chat format: ``{"conversations": [{"from", "value"}, …]}`` as JSON Lines or one list, into ``chats``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from shoplm.data.importers._chats import FILLED, turns
from shoplm.data.importers._drive import chunks
from shoplm.data.importers._lines import Record, json_batches
from shoplm.data.importers._rows import Row
from shoplm.data.ingest import Chunk

ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant", "assistant": "assistant",
    "system": "system", "tool": "tool", "observation": "tool", "function_response": "tool", "function_call": "assistant",
}  # fmt: skip


def read(files: Sequence[Path], table: str | None = None) -> Iterator[Chunk]:
    """The turns of conversations.

    Raises:
        DataError: a file cannot be read, or ``table`` is not ``chats``.
    """
    return chunks(files, json_batches, lambda _: _rows, FILLED, table, "sharegpt")


def _rows(record: Record) -> Iterator[Row]:
    return turns(record, "conversations", "from", ROLES, "value")
