"""OpenAI's chat format: JSON Lines of ``{"messages": [{"role", "content"}, …]}`` into ``chats``, a row for each message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from shoplm.data.importers._chats import FILLED, turns
from shoplm.data.importers._drive import chunks
from shoplm.data.importers._lines import Record, json_batches
from shoplm.data.importers._rows import Row
from shoplm.data.ingest import Chunk

ROLES = {"developer": "system", "function": "tool"}


def read(files: Sequence[Path], table: str | None = None) -> Iterator[Chunk]:
    """The turns of conversations.

    Raises:
        DataError: a file cannot be read, or ``table`` is not ``chats``.
    """
    return chunks(files, json_batches, lambda _: _rows, FILLED, table, "openai_chat")


def _rows(record: Record) -> Iterator[Row]:
    return turns(record, "messages", "role", ROLES, "content")
