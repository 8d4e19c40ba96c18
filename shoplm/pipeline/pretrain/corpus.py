"""The texts that a pre-training reads: each once, none of a test split, none that nearly repeats what judges.

They are read twice: first to tell copies and splits, then to be tokenised into a file. What is in memory is a few hundred
bytes a different text, whatever the texts' length.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoplm.data import contract, near, plain, privacy, split
from shoplm.data.importers._rows import text_of_html
from shoplm.data.redact import redact
from shoplm.data.split import SplitConfig, Words
from shoplm.data.view import View
from shoplm.errors import DataError, ResourceError, did_you_mean
from shoplm.pipeline.dividing import Division
from shoplm.pipeline.progress import Progress
from shoplm.task import Moments
from shoplm.text.render import PASSAGES, passage
from shoplm.text.tokenize import Tokenizer, Tokens

PART_ROWS = 20_000
"""Rows of a table that are in memory at once."""
SKETCHED = 1_000_000
"""Different texts among which near copies are sought; of later ones only exact copies are found."""
HELD_OUT = 2_000
"""Held-out texts that are judged, at most."""
FEWEST = 3
"""Tokens that a sequence has at least: from fewer nothing can be guessed."""
_SIDES = ("train", "valid", "test")
_SPEAKERS = "role in ('user', 'assistant')"


@dataclass(frozen=True)
class Piece:
    """Some texts of one table or file."""

    origin: str
    texts: Sequence[str]
    sides: Words
    """(texts) train, valid or test."""
    by_people: bool
    """Whether shoppers wrote them."""
    skipped: int = 0
    """Rows that could not be read."""


@dataclass(frozen=True)
class Reading:
    """A table's texts, as ``Division`` parts them: by the very words by which the tasks' own rows are parted."""

    subject: str

    def moments(self, view: View, settings: Any) -> Moments:  # noqa: ARG002  (as a task's)
        """Every row with a text."""
        table = contract.table(self.subject)
        words = f"concat_ws(' ', {', '.join(PASSAGES[self.subject])})"
        clock = f"coalesce(epoch_us({table.clock}), 0)" if table.clock else "0"
        given = 'cast("split" as varchar)' if "split" in view.columns(self.subject) else "cast(null as varchar)"
        said = f" and {_SPEAKERS}" if self.subject == "chats" else ""
        rows = view.sql(
            f"select _row, {clock} as at_us, {words} as words, {given} as split from {self.subject} where length(trim({words})) > 0{said} order by _row"
        )
        return Moments(rows["_row"], rows["at_us"], {}, rows["words"], rows["split"])


def of_shop(view: View, tables: Sequence[str], config: SplitConfig) -> Iterator[Piece]:
    """The texts of a shop, table by table, parted as ``train`` parts the same rows under the same settings.

    A table that cannot be parted so (no times, one source) is parted by its texts.

    Raises:
        DataError: there is no such table of texts.
    """
    for name in tables:
        if name not in PASSAGES:
            raise DataError(f"tables: no table of texts called `{name}`; {did_you_mean(name, PASSAGES)}")
    for name in tables or PASSAGES:
        if not view.has(name):
            continue
        some = " or ".join(f"length(trim({column})) > 0" for column in PASSAGES[name])
        reading, people = Reading(name), bool(set(privacy.TEXT_COLUMNS.get(name, ())) & set(PASSAGES[name]))
        try:
            division = Division.of(view, reading, None, config, some, PART_ROWS)
        except DataError:
            division = Division(SplitConfig(valid=config.valid, test=config.test, split_seed=config.split_seed), None)
        for part in view.parts(name, rows=PART_ROWS, where=some):
            moments = reading.moments(part, None)
            if len(moments):
                sides = division.words(part, moments)
                columns = [part.table[column].take(moments.row).to_pylist() for column in PASSAGES[name]]
                if name in ("products", "articles"):
                    columns = [[text_of_html(text) for text in column] for column in columns]
                yield Piece(name, [passage(row) for row in zip(*columns, strict=True)], sides, people)


def of_files(files: Sequence[Path], mapping: Mapping[str, str] | None, config: SplitConfig) -> Iterator[Piece]:
    """The texts of files. A ``split`` column is obeyed; else they are parted by their words, as ``train --data`` parts them."""
    for found in plain.read(files, mapping):
        titles = found.titles or [None] * len(found.texts)
        keys = [" ".join(filter(None, pair)) for pair in zip(titles, found.texts, strict=True)]
        sides = split.assign(found.split, pa.array(keys, pa.string()), config.split_seed, config.valid, config.test)
        texts = [passage((text,) if title is None else (title, text)) for title, text in zip(titles, found.texts, strict=True)]
        yield Piece(found.file, texts, sides, True, found.faulty)


@dataclass
class Tallied:
    """What became of the texts that were read."""

    read: Counter[str] = field(default_factory=Counter)
    """By table or file."""
    copies: int = 0
    near_copies: int = 0
    tested: int = 0
    """Different texts of the test split, with what nearly repeats them: never learnt from."""
    skipped: int = 0
    train: int = 0
    valid: int = 0

    def __str__(self) -> str:
        read = ", ".join(f"{count:,} of {name}" for name, count in self.read.items())
        said = f"{self.read.total():,} texts read ({read}): {self.train:,} to learn from, {self.valid:,} held out to judge by"
        said += f", {self.tested:,} of the test split left unread" if self.tested else ""
        said += f", {self.copies:,} copies and {self.near_copies:,} near copies left out" if self.copies or self.near_copies else ""
        return said + (f", {self.skipped:,} faulty rows skipped" if self.skipped else "")


@dataclass(frozen=True)
class Corpus:
    """Token sequences to learn from, on the disk, and some to judge by."""

    train: Tokens
    valid: Tokens
    tallied: Tallied
    digest: str
    """A name for exactly these sequences."""


def corpus(
    pieces: Callable[[], Iterator[Piece]], tokenizer: Tokenizer, spool: Path, progress: Progress, *, redacting: bool = True
) -> Corpus:
    """What there is to learn from.

    Args:
        pieces: gives the same texts in the same order at each call.
        tokenizer: of the backbone; a text longer than one sequence goes on in the next.
        spool: the file that the token ids are written to.
        progress: who waits.
        redacting: whether e-mails, numbers, addresses and names in what people wrote give way to placeholders.

    Raises:
        DataError: no text is left to learn from.
        ResourceError: the disk is full.
    """
    places, fates, tallied = _fates(pieces(), progress)
    train, valid = _Spool(spool), _Spool(spool.with_suffix(".held"))
    with train, valid, progress.bar("tokenising", tallied.read.total()) as advance:
        for piece in pieces():
            at = [places.pop(_digest(text), -1) for text in piece.texts]  # a copy comes too late
            for name, side in (("train", train), ("valid", valid)):
                texts = [text for text, place in zip(piece.texts, at, strict=True) if place >= 0 and fates[place] == _SIDES.index(name)]
                side.add(tokenizer.windows([redact(text) for text in texts] if redacting and piece.by_people else texts, FEWEST))
            advance(len(piece.texts))
    if not len(train):
        raise DataError(
            f"{tallied}: nothing to learn from; bring texts in with shoplm import, give --text-files, or set a smaller valid= and test="
        )
    return Corpus(train.tokens(), valid.tokens(), tallied, hashlib.sha256(f"{train.digest} {valid.digest}".encode()).hexdigest())


def _fates(pieces: Iterator[Piece], progress: Progress) -> tuple[dict[int, int], npt.NDArray[np.int8], Tallied]:
    """Each different text's number by its digest, and what becomes of it: the place of its side in ``_SIDES``, -1 = left out."""
    places: dict[int, int] = {}
    sides: list[int] = []
    sketches: list[near.Sketches] = []
    tallied = Tallied()
    with progress.bar("reading texts", None) as advance:
        for piece in pieces:
            fresh: list[str] = []
            for text, word in zip(piece.texts, piece.sides.tolist(), strict=True):
                side = _SIDES.index(word)
                if not text:
                    continue
                tallied.read[piece.origin] += 1
                place = places.setdefault(_digest(text), len(sides))
                if place == len(sides):
                    sides.append(side)
                    fresh.append(text)
                else:
                    tallied.copies += 1
                    sides[place] = max(side, sides[place])
            tallied.skipped += piece.skipped
            if sum(map(len, sketches)) < SKETCHED:
                sketches.append(near.sketch(fresh))
            advance(len(piece.texts))
    found = np.array(sides, np.int8)
    group = np.arange(len(found))
    close = near.groups(sketches)
    group[: len(close)] = close
    most = np.zeros(len(found), np.int8)
    np.maximum.at(most, group, found)
    first = np.full(len(found), len(found))
    kept = most[group] == found  # of a group one text stays, and one of the side that it must not be learnt from
    np.minimum.at(first, group[kept], np.flatnonzero(kept))
    stays = first[group] == np.arange(len(found))
    tallied.tested = int((most[group] == 2).sum())
    tallied.near_copies = int((~stays & (most[group] < 2)).sum())
    fates = np.where(stays & (found < 2), found, -1).astype(np.int8)
    held = np.flatnonzero(fates == 1)
    if len(held) > HELD_OUT:  # drawn by their digests, so that another order holds out the same
        order = np.argsort(np.array(list(places), np.uint64)[held], kind="stable")
        fates[held[order[HELD_OUT:]]] = -1
    tallied.train, tallied.valid = int((fates == 0).sum()), int((fates == 1).sum())
    return places, fates, tallied


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.casefold().encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


class _Spool:
    """Token sequences written one after the other, to be read from the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hash = hashlib.sha256()
        self._lengths: list[npt.NDArray[np.int64]] = []

    def __enter__(self) -> _Spool:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "wb")
        except OSError as error:
            raise self._full(error) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        return sum(map(len, self._lengths))

    def add(self, tokens: Tokens) -> None:
        """Write some sequences.

        Raises:
            ResourceError: the disk is full.
        """
        self._lengths.append(tokens.lengths)
        for column in (tokens.ids, tokens.lengths):
            self._hash.update(np.ascontiguousarray(column).data)
        try:
            self._file.write(tokens.ids.tobytes())
            self._file.flush()
        except OSError as error:
            raise self._full(error) from None

    def _full(self, error: OSError) -> ResourceError:
        return ResourceError(f"{self.path}: cannot be written ({error.strerror}); free space or choose another --out")

    @property
    def digest(self) -> str:
        """A name for all that was written."""
        return self._hash.hexdigest()

    def tokens(self) -> Tokens:
        """All that was written; the ids stay on the disk."""
        lengths = np.concatenate([np.zeros(1, np.int64), *self._lengths])
        size = int(lengths.sum())
        ids = np.asarray(np.memmap(self.path, np.int32, "r", shape=(size,))) if size else np.zeros(0, np.int32)
        return Tokens(ids, np.cumsum(lengths), lengths[1:].astype(np.int32), np.zeros(len(lengths) - 1, np.bool_))
