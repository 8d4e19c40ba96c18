"""Words into token ids: one fast tokenizer, one truncation policy, one columnar store.

The policy: a prompt that is too long loses the ends of its segments with the smallest ``keep``
first, the longest of equals first; a segment of a larger ``keep`` is touched only when the smaller
ones are gone. Equal texts are tokenised once. No Python object per row is kept.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pydantic
from tokenizers import Tokenizer as FastTokenizer

from shoplm.config import Config
from shoplm.text import spans
from shoplm.text.batch import Batch
from shoplm.text.render import Prompt
from shoplm.text.spans import Searched

MASKS = ("[MASK]", "<mask>", "[mask]", "<MASK>", "<|mask|>")
"""What vocabularies call the token that stands for a hidden word."""


class TextConfig(Config):
    """How much of a text is read."""

    max_length: int = pydantic.Field(default=160, ge=8, le=8192)
    """Tokens of a prompt, special ones included, at most; what is longer is cut (``render.Segment.keep``)."""


@dataclass(frozen=True)
class Tokens:
    """N token sequences end to end: sequence ``i`` is ``ids[start[i]:start[i + 1]]``."""

    ids: npt.NDArray[np.int32]
    start: npt.NDArray[np.int64]
    second: npt.NDArray[np.int32]
    """(N) at which token the second part begins; the length where there is none."""
    cut: npt.NDArray[np.bool_]
    """(N) whether the text was longer than what is read."""
    features: npt.NDArray[np.float32] | None = None
    """(N, F) what stands beside the texts; None = nothing."""
    searched: Searched | None = None
    """Where the tokens stand in the texts, if spans are looked for in them."""

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(N) tokens of each sequence."""
        return np.diff(self.start)

    @property
    def digest(self) -> str:
        """A name for exactly these sequences; what stands beside them is not part of it."""
        found = hashlib.sha256()
        for column in (self.ids, self.start, self.second):
            found.update(np.ascontiguousarray(column).data)  # not tobytes: the ids may lie on the disk
        return found.hexdigest()

    def batch(self, rows: npt.NDArray[np.int64], pad: int, targets: Mapping[str, npt.NDArray[Any]] | None = None) -> Batch:
        """The given rows as one padded batch, with their targets (each indexed by row); spans (N, S, 3) become the tags of its tokens."""
        at, mask = spans.padded(self.start, rows)
        places = np.arange(mask.shape[1])
        ids = np.where(mask, self.ids[at] if len(self.ids) else pad, pad).astype(np.int64)
        part = ((places[None, :] >= self.second[rows][:, None]) & mask).astype(np.int64)
        found = {name: column[rows] for name, column in (targets or {}).items()}
        for name in [name for name, column in found.items() if column.ndim == 3]:
            assert self.searched is not None, f"{name}: spans are asked for, and no segment says that they are looked for in it"
            found[name] = spans.tags(np.where(mask[..., None], self.searched.places[at], spans.MISSING), found[name])
        return Batch(ids, mask.astype(np.int64), part, rows, found, features=None if self.features is None else self.features[rows])

    @staticmethod
    def join(pieces: Sequence[Tokens]) -> Tokens:
        """Several stores as one, in order."""
        if not pieces:
            return Tokens(np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.bool_))
        shifts = np.cumsum([0] + [len(piece.ids) for piece in pieces[:-1]])
        start = [piece.start[:-1] + shift for piece, shift in zip(pieces, shifts, strict=True)]
        features = [piece.features for piece in pieces if piece.features is not None]
        searched = [piece.searched for piece in pieces if piece.searched is not None]
        return Tokens(
            np.concatenate([piece.ids for piece in pieces]),
            np.concatenate([*start, [sum(len(piece.ids) for piece in pieces)]]).astype(np.int64),
            np.concatenate([piece.second for piece in pieces]),
            np.concatenate([piece.cut for piece in pieces]),
            np.concatenate(features) if len(features) == len(pieces) else None,
            Searched.join(searched) if len(searched) == len(pieces) else None,
        )

    def take(self, rows: npt.NDArray[np.int64]) -> Tokens:
        """The sequences at ``rows``, in that order."""
        lengths = self.lengths[rows]
        start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        at = np.repeat(self.start[rows] - start[:-1], lengths) + np.arange(start[-1])
        features = None if self.features is None else self.features[rows]
        searched = None if self.searched is None else Searched(self.searched.places[at], self.searched.texts.take(pa.array(rows)))
        return Tokens(self.ids[at], start, self.second[rows], self.cut[rows], features, searched)


class Tokenizer:
    """A fast tokenizer with its special tokens and the truncation policy."""

    def __init__(self, fast: FastTokenizer, pad: int, config: TextConfig) -> None:
        self.pad = pad
        self.config = config
        self._fast = FastTokenizer.from_str(fast.to_str())  # our own copy: settings below must not reach the caller's
        self._fast.no_truncation()
        self._fast.no_padding()
        self.single = _frame(self._fast, pair=False)
        self.pair = _frame(self._fast, pair=True)
        self._gap = _gap(self._fast)

    @property
    def digest(self) -> str:
        """A name for the vocabulary, the rules and the length policy together."""
        return hashlib.sha256(f"{self.config.max_length}\n{self._fast.to_str()}".encode()).hexdigest()

    @property
    def plain(self) -> str:
        """The vocabulary and the rules, as a ``tokenizer.json`` holds them."""
        return str(self._fast.to_str(pretty=False))

    @functools.cached_property
    def pieces(self) -> list[str]:
        """(V) every token as the vocabulary writes it; an id without one is empty."""
        known = self._fast.get_vocab(with_added_tokens=True)
        found = [""] * (max(known.values(), default=-1) + 1)
        for piece, at in known.items():
            found[at] = piece
        return found

    @functools.cached_property
    def special(self) -> frozenset[int]:
        """The ids that are no words: added as special tokens, put around a text, or the padding."""
        added = {at for at, token in self._fast.get_added_tokens_decoder().items() if token.special}
        return frozenset({*added, *self.single[0], *self.single[2], *self.pair[1], self.pad})

    @property
    def mask(self) -> int | None:
        """The id of the token that stands for a word to be filled in, by its usual names."""
        return next((self.pieces.index(name) for name in MASKS if name in self.pieces), None)

    @property
    def joins(self) -> str | None:
        """The sign before a piece that goes on with a word (``##``); None where pieces that begin one are marked instead."""
        model = json.loads(self.plain)["model"]
        return model.get("continuing_subword_prefix") or None

    def replaced(self, text: str, pad: int) -> Tokenizer:
        """The same length policy over another ``tokenizer.json``."""
        return Tokenizer(FastTokenizer.from_str(text), pad, self.config)

    def _texts(self, prompt: Prompt) -> list[str]:
        """What is tokenised for each segment: all but the first of a part follow a gap."""
        found, begun = [], set()
        for segment in prompt.segments:
            found.append(self._gap + segment.text if segment.part in begun and segment.text else segment.text)
            begun.add(segment.part)
        return found

    def encode(self, prompts: Sequence[Prompt]) -> Tokens:
        """Token ids of every prompt, cut to ``max_length``; where spans are looked for also where each token stands."""
        texts: dict[str, int] = {}
        rows = [[(texts.setdefault(text, len(texts)), s) for text, s in zip(self._texts(p), p.segments, strict=True)] for p in prompts]
        searching = any(segment.spans for prompt in prompts for segment in prompt.segments)
        found_in = self._fast.encode_batch if searching else self._fast.encode_batch_fast  # the fast one knows no offsets
        encodings = found_in(list(texts), add_special_tokens=False)
        keys, known = list(texts), [found.ids for found in encodings]
        stand = [spans.trimmed(text, found.offsets) for text, found in zip(texts, encodings, strict=True)] if searching else []
        places: list[npt.NDArray[np.int32]] = []
        ids: list[int] = []
        ends, second, cut = [0], [], []
        for prompt, row in zip(prompts, rows, strict=True):
            pieces = [(segment, known[at]) for at, segment in row]
            paired = any(segment.part for segment, _ in pieces)
            before, between, after = self.pair if paired else self.single
            room = max(0, self.config.max_length - len(before) - len(between) - len(after))
            allowed = _allowed([(s.keep, len(found)) for s, found in pieces], room)
            begin = len(ids)
            ids += before
            for (segment, found), size in zip(pieces, allowed, strict=True):
                if not segment.part:
                    ids += found[:size]
            if paired:
                ids += between
            second.append(len(ids) - begin)
            for (segment, found), size in zip(pieces, allowed, strict=True):
                if segment.part:
                    ids += found[:size]
            ids += after
            if not paired:
                second[-1] = len(ids) - begin
            if len(ids) == begin:  # an empty text of a tokenizer without special tokens: one pad token stands for it
                ids.append(self.pad)
                second[-1] = 1
            if searching:
                own = [_moved(stand[at], len(keys[at]) - len(segment.text)) for at, segment in row]
                places.append(_standing(prompt, own, allowed, (before, between), len(ids) - begin))
            ends.append(len(ids))
            cut.append(sum(allowed) < sum(len(found) for _, found in pieces))
        searched = Searched(np.concatenate(places), pa.array([p.searched() for p in prompts], pa.string())) if searching else None
        return Tokens(
            np.array(ids, np.int32), np.array(ends, np.int64), np.array(second, np.int32), np.array(cut, np.bool_), None, searched
        )  # fmt: skip

    def windows(self, texts: Sequence[str], fewest: int = 1) -> Tokens:
        """Every text in full: what is too long for one sequence goes on in the next, each between its special tokens.

        Args:
            texts: each from its beginning; equal ones are not told apart.
            fewest: a sequence with fewer tokens of its own is left out.
        """
        before, _, after = self.single
        room = max(1, self.config.max_length - len(before) - len(after))
        ids: list[int] = []
        ends = [0]
        for found in self._fast.encode_batch_fast(list(texts), add_special_tokens=False):
            whole = found.ids
            for begin in range(0, len(whole), room):
                part = whole[begin : begin + room]
                if len(part) >= fewest:
                    ids += [*before, *part, *after]
                    ends.append(len(ids))
        start = np.array(ends, np.int64)
        return Tokens(np.array(ids, np.int32), start, np.diff(start).astype(np.int32), np.zeros(len(ends) - 1, np.bool_))


def _moved(places: npt.NDArray[np.int32], gap: int) -> npt.NDArray[np.int32]:
    """(L, 2) places in a text that follows a gap -> in the text alone."""
    return np.where(places < 0, places, places - gap).astype(np.int32)


def _standing(
    prompt: Prompt, stand: Sequence[npt.NDArray[np.int32]], allowed: Sequence[int], frame: tuple[Sequence[int], Sequence[int]], length: int
) -> npt.NDArray[np.int32]:
    """(L, 2) where the tokens of one prompt stand in ``prompt.searched()``; -1 of those that do not.

    Args:
        prompt: of S segments.
        stand: for each, where its tokens stand in what was tokenised of it.
        allowed: for each, how many tokens are kept.
        frame: the special tokens before the first part and between the two.
        length: L tokens of the prompt, special ones included.
    """
    found = np.full((length, 2), spans.MISSING, np.int32)
    base: list[int] = []
    end = 0
    for segment in prompt.segments:
        base.append(end)
        end += len(segment.text) + 1 if segment.spans and segment.text else 0
    at = len(frame[0])
    for part in (0, 1):
        for segment, places, size, begin in zip(prompt.segments, stand, allowed, base, strict=True):
            if segment.part == part:
                if segment.spans:
                    kept = places[:size]
                    found[at : at + size] = np.where(kept < 0, spans.MISSING, kept + begin)
                at += size
        at += len(frame[1])
    return found


def _gap(fast: FastTokenizer) -> str:
    """What must stand before a later segment so that its tokens are those of the joined text.

    Byte-level vocabularies tell `` a`` from ``a`` and need the space; others put one there themselves,
    and a second one would be a token of its own.
    """
    joined, first = fast.encode("a a", add_special_tokens=False).ids, fast.encode("a", add_special_tokens=False).ids
    return "" if joined == first + first else " "


def _frame(fast: FastTokenizer, pair: bool) -> tuple[list[int], list[int], list[int]]:
    """The special tokens before, between and after the parts, read off the tokenizer's own template."""
    found = fast.encode("a", "a") if pair else fast.encode("a")
    special = found.special_tokens_mask
    inside = [at for at, is_special in enumerate(special) if not is_special]
    if not inside:
        return [], [], []
    own = len(fast.encode("a", add_special_tokens=False).ids)
    before = found.ids[: inside[0]]
    after = found.ids[inside[-1] + 1 :]
    between = found.ids[inside[0] + own : inside[-1] + 1 - own] if pair else []
    return before, between, after


def _allowed(pieces: Sequence[tuple[int, int]], room: int) -> list[int]:
    """How many tokens of each (keep, length) piece fit: the smallest keep gives way first, the longest of equals first."""
    sizes = [length for _, length in pieces]
    excess = sum(sizes) - room
    for keep in sorted({keep for keep, _ in pieces}):
        if excess <= 0:
            break
        group = [at for at, piece in enumerate(pieces) if piece[0] == keep]
        target = max(0, sum(sizes[at] for at in group) - excess)
        level = _level([sizes[at] for at in group], target)
        spare = target - sum(min(sizes[at], level) for at in group)
        for at in group:
            bonus = 1 if spare > 0 and sizes[at] > level else 0
            spare -= bonus
            excess -= sizes[at] - min(sizes[at], level + bonus)
            sizes[at] = min(sizes[at], level + bonus)
    return sizes


def _level(sizes: Sequence[int], target: int) -> int:
    """The largest level at which ``sum(min(size, level)) <= target``."""
    left, remaining = target, len(sizes)
    for size in sorted(sizes):
        if size * remaining > left:
            return left // remaining
        left -= size
        remaining -= 1
    return max(sizes, default=0)
