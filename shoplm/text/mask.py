"""Masked words: which places of a batch must be filled in, and what stands there instead.

BERT's rule: of the places chosen, most become the mask token, some a random word, some stay as they are. What is chosen
is a pure function of the seed, the step and the row, whatever other rows share the batch: a resumed run asks the same.
Special tokens and padding are never chosen, and every row with a word is asked at least once.
Source: Devlin et al. (2019), section 3.1; whole words: the authors' release of May 2019.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pydantic

from shoplm.config import Config
from shoplm.text.batch import Batch
from shoplm.text.tokenize import Tokenizer

Bools = npt.NDArray[np.bool_]

LONGEST = 8
"""Tokens of a word, at most: a language without spaces would be one word from end to end."""
_SPACES = ("Ġ", "▁")
"""How vocabularies write the space before a word."""
_COMMON = 0.02
"""Share of the vocabulary that must begin with such a sign for it to mean a space."""


class MaskConfig(Config):
    """Which words must be filled in, in the names of ``transformers``."""

    mlm_probability: float = pydantic.Field(default=0.15, gt=0, lt=1)
    """Share of the places that must be filled in."""
    whole_word_mask: bool = False
    """Choose whole words: all pieces of one, or none."""
    mask_replace_prob: float = pydantic.Field(default=0.8, ge=0, le=1)
    """Share of the chosen places at which the mask token stands."""
    random_replace_prob: float = pydantic.Field(default=0.1, ge=0, le=1)
    """Share of the chosen places at which a random word stands; at the rest the word itself does."""

    @pydantic.model_validator(mode="after")
    def _are_shares(self) -> MaskConfig:
        if self.mask_replace_prob + self.random_replace_prob > 1:
            seen = f"mask_replace_prob={self.mask_replace_prob:g} and random_replace_prob={self.random_replace_prob:g}"
            raise ValueError(f"{seen} are shares of the same places; together they are at most 1")
        return self


@dataclass(frozen=True)
class Vocabulary:
    """What masking must know of V tokens."""

    mask: int
    """The id of the mask token."""
    special: Bools
    """(V) never chosen, and never put anywhere at random."""
    begins: Bools
    """(V) whether a token begins a word; the one after it may go on with it."""
    alone: Bools
    """(V) whether a token is a word by itself (punctuation): the next one begins another."""

    @staticmethod
    def of(tokenizer: Tokenizer, mask: int) -> Vocabulary:
        """What the tokenizer's own vocabulary says."""
        pieces = tokenizer.pieces
        special = np.array([at in tokenizer.special for at in range(len(pieces))], np.bool_)
        special[mask] = True
        sign = next((sign for sign in _SPACES if sum(piece.startswith(sign) for piece in pieces) > _COMMON * len(pieces)), None)
        joins = tokenizer.joins
        if joins:
            begins = np.array([not piece.startswith(joins) for piece in pieces], np.bool_)
        elif sign:
            begins = np.array([piece.startswith(sign) for piece in pieces], np.bool_)
        else:
            begins = np.ones(len(pieces), np.bool_)
        alone = np.array([not any(map(str.isalnum, piece)) for piece in pieces], np.bool_)
        return Vocabulary(mask, special, begins | special | alone, alone | special)


def masked(batch: Batch, vocabulary: Vocabulary, config: MaskConfig, seed: int, step: int, name: str = "text") -> Batch:
    """The batch with words hidden, and the words that stood there as the target ``name``: (B, L) int64, -1 = not asked.

    Args:
        batch: as tokenised.
        vocabulary: of its tokenizer.
        config: how many words, and what becomes of them.
        seed: another seed, other words.
        step: another step, other words.
        name: the head that fills them in.
    """
    ids = batch.ids
    open_ = (batch.mask == 1) & ~vocabulary.special[ids]
    unit = _words(ids, vocabulary) if config.whole_word_mask else np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    drawn = np.where(open_, _uniform(seed, step, batch.rows, unit, 0), 2.0)
    least = drawn.min(1, keepdims=True, initial=2.0)
    chosen = open_ & ((drawn < config.mlm_probability) | (drawn == least))
    place = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    fate, word = _uniform(seed, step, batch.rows, place, 1), _uniform(seed, step, batch.rows, place, 2)
    plain = np.flatnonzero(~vocabulary.special)
    random = plain[np.minimum((word * len(plain)).astype(np.int64), len(plain) - 1)] if len(plain) else ids
    hidden = np.where(fate < config.mask_replace_prob, vocabulary.mask, ids)
    hidden = np.where((fate >= config.mask_replace_prob) & (fate < config.mask_replace_prob + config.random_replace_prob), random, hidden)
    return replace(batch, ids=np.where(chosen, hidden, ids), targets={**batch.targets, name: np.where(chosen, ids, -1)})


def _words(ids: npt.NDArray[np.int64], vocabulary: Vocabulary) -> npt.NDArray[np.int64]:
    """(B, L) which word of its row each token belongs to, counted from 0."""
    starts = vocabulary.begins[ids]
    starts[:, :1] = True
    starts[:, 1:] |= vocabulary.alone[ids[:, :-1]]
    place = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    since = place - np.maximum.accumulate(np.where(starts, place, 0), axis=1)
    found: npt.NDArray[np.int64] = np.cumsum(starts | (since % LONGEST == 0), axis=1) - 1
    return found


def _uniform(seed: int, step: int, rows: npt.NDArray[np.int64], unit: npt.NDArray[Any], kind: int) -> npt.NDArray[np.float64]:
    """(B, L) numbers in [0, 1): SplitMix64 over all that they depend on, no generator and so no state."""
    found = np.zeros((1, 1), np.uint64)
    for part in (np.array([[seed]]), np.array([[step]]), np.array([[kind]]), rows[:, None], unit):
        found = _mixed(found + np.uint64(0x9E3779B97F4A7C15) ^ _mixed(part.astype(np.int64).astype(np.uint64)))
    return (found >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
