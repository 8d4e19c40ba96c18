"""Conversations -> ``chats``, one row for each turn, whatever a format calls speaker and words.

A conversation without an id gets one from its content, so that the same file twice is the same conversations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shoplm.data.importers._lines import Record
from shoplm.data.importers._rows import Broken, Row, at, digest, document, first, rest, several, word

FILLED = {
    "chats": ("conversation_id", "turn", "role", "content", "created_at", "channel", "user_id", "order_id", "item_id", "intent", "action", "resolved",
              "csat", "language"),
}  # fmt: skip
SAID = ("channel", "user_id", "order_id", "item_id", "intent", "action", "resolved", "csat", "language")
"""The contract's columns that a conversation may name, for all of its turns."""

IDS = ("conversation_id", "id", "thread_id")


def turns(record: Record, words: str, speaker: str, roles: Mapping[str, str], text: str) -> Iterator[Row]:
    """The rows of one conversation.

    Args:
        record: the conversation.
        words: the key of its list of turns.
        speaker: the key of a turn's role.
        roles: their role -> ours; another is left to the contract.
        text: the key of a turn's words.
    """
    said = several(record, words)
    if not said:
        raise Broken(words, record.get(words), "holds no turns", f'write "{words}": [{{"{speaker}": "user", "{text}": "…"}}, …]')
    own_key = next((name for name in IDS if record.get(name) not in (None, "")), "")
    own = word(record, own_key) if own_key else digest(record)
    started = at(record, "created_at", "s") if "created_at" in record else at(record, "created", "s")
    more = rest(record, words, own_key, "created_at", "created", *SAID)
    for place, turn in enumerate(said):
        role = word(turn, speaker)
        values: dict[str, Any] = {
            **{name: record.get(name) for name in SAID}, "conversation_id": own, "turn": place, "role": roles.get((role or "").lower(), role),
            "content": _content(turn, text), "created_at": at(turn, "created_at", "s") or at(turn, "timestamp", "s") or started,
        }  # fmt: skip
        listed = isinstance(turn.get(text), list)
        yield Row(
            "chats", values, (more if not place else {}) | rest(turn, speaker, "created_at", "timestamp", *([] if listed else [text]))
        )


def _content(turn: Record, text: str) -> str | None:
    """The words; of a list of parts the texts; of a turn that only calls tools the calls."""
    content = turn.get(text)
    if isinstance(content, list):
        parts = [part if isinstance(part, str) else part.get("text") for part in content if isinstance(part, dict | str)]
        content = "\n".join(part for part in parts if isinstance(part, str)) or None
    if content is not None and not isinstance(content, str):
        raise Broken(text, content, "is not a text", "write the words, or a list of parts")
    if content or not first(turn, "tool_calls", "function_call", "refusal"):
        return content
    return document(first(turn, "refusal", "tool_calls", "function_call")) if not turn.get("refusal") else str(turn["refusal"])
