"""Rows of a shop -> token ids and encoded targets, split: the first half of both training and judging.

A plain file goes the same way as a shop: it is imported into a temporary one.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data import contract
from shoplm.data.consent import learnable
from shoplm.data.importers.table import read
from shoplm.data.ingest import Chunk, TableReport
from shoplm.data.shop import Shop, View
from shoplm.data.split import SplitConfig
from shoplm.errors import DataError, did_you_mean
from shoplm.model.specs import MISSING, Choice, HeadSpec, Labels, Spans
from shoplm.pipeline.config import RunConfig
from shoplm.pipeline.dividing import Division, Repeats, leaking, reads_texts
from shoplm.pipeline.knowing import Knowing
from shoplm.pipeline.progress import Progress
from shoplm.task import Moments, Task, features_of, walked, yes_or_no
from shoplm.text.features import gathered
from shoplm.text.features import joined as end_to_end
from shoplm.text.spans import encoded
from shoplm.text.tokenize import Tokenizer, Tokens

PART_ROWS = 20_000
"""Rows of a table that are in memory at once."""
TEXTS_KEPT = 100_000
"""Train texts kept as text, for the baselines."""


@dataclass(frozen=True)
class Origin:
    """Where the rows of a run come from."""

    view: View
    notes: Sequence[str] = ()
    """What the import of a plain file had to say."""


class Form(Protocol):
    """What a plain file holds: a task's rows, or whatever else says so. The words are those of ``Task``."""

    @property
    def subject(self) -> str:
        """The contract's table that its rows go into."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns with words, of which it has at least one."""
        ...

    @property
    def fields(self) -> Mapping[str, str]:
        """Its columns -> ours."""
        ...

    @property
    def plain(self) -> tuple[str, ...]:
        """Columns that only it has."""
        ...

    @property
    def defaults(self) -> Mapping[str, str]:
        """Values for required columns that it may lack."""
        ...

    @property
    def numbered(self) -> str | None:
        """The key that it may lack."""
        ...


@contextlib.contextmanager
def origin(
    task: Task, shop: Path | Shop | None, data: Path | None, mapping: Mapping[str, str] | None = None, progress: Progress | None = None
) -> Iterator[Origin]:
    """A view of a shop, or of the temporary shop that a plain file becomes.

    Raises:
        DataError: neither or both are given, or the file is not to be used.
    """
    if shop is None and data is None:
        raise DataError("no data: give either --shop DIR or --data FILE")
    if shop is not None and data is not None:
        raise DataError(f"two sources of rows, --shop {shop} and --data {data}: give only one of them")
    if shop is not None:
        yield Origin(learnable(shop if isinstance(shop, Shop) else Shop(Path(shop))))
        return
    assert data is not None
    with tempfile.TemporaryDirectory(prefix="shoplm-") as folder:
        made = Shop(Path(folder) / "shop", create=True)
        notes = brought(made, task, data, field_mapping(task, data, mapping or {}))
        if progress:
            for note in notes:
                progress.say(note)
        yield Origin(made.view(), notes)


def brought(made: Shop, form: Form, data: Path, wanted: Mapping[str, str], then: Callable[[Chunk], Chunk] | None = None) -> list[str]:
    """Bring a plain file's rows into a temporary shop, streamed.

    Args:
        made: the shop.
        form: what the file's rows are.
        data: the file.
        wanted: ours -> theirs, as ``field_mapping`` found it.
        then: what a chunk becomes before the contract sees it; None = as it is.

    Returns:
        What there is to say: rows that are faulty, that stand twice or that replace others.

    Raises:
        DataError: the file cannot be read, or no row of it can be used.
    """
    plainly = {theirs: ours for ours, theirs in wanted.items() if ours in form.plain}
    rest = {ours: theirs for ours, theirs in wanted.items() if ours not in form.plain}
    with made.transaction() as transaction:
        chunks = (replace(chunk, rows=_renamed(chunk.rows, plainly)) for chunk in read([data], form.subject))
        numbered = _numbered(chunks, form.numbered if form.numbered not in rest else None)
        transaction.add(map(then, numbered) if then else numbered, mapping=rest, defaults=dict(form.defaults))
    found = transaction.report.tables[form.subject]
    if found.quarantined == found.read:
        raise DataError(f"no row can be used, all {found.read:,} are faulty; the first: {found.first_fault}")
    return [_became(data, found)] if found.quarantined or found.duplicate or found.updated else []


def field_mapping(task: Form, data: Path, mapping: Mapping[str, str], keys: Sequence[str] = ()) -> dict[str, str]:
    """Which column of a plain file is which of the contract or of the task: the user's ``--map`` first, then the task's own field names.

    A column of ``keys`` will do in place of a text.
    """
    first = next(iter(read([data], task.subject)), None)
    if first is not None and first.faults and not len(first.rows):
        raise DataError(f"{data}, {first.faults[0]}")
    theirs = {name.strip().lower(): name for name in (first.rows.column_names if first else ())}
    ours = {*contract.TABLES[task.subject].by_name, *task.plain}
    found: dict[str, str] = {}
    for target, source in mapping.items():  # `--map text=review_body`: the left side may be the task's word or the contract's
        name = task.fields.get(target, target)
        if source.strip().lower() not in theirs:
            raise DataError(f"{data}: no column `{source}` (--map {target}={source}); {did_you_mean(source, theirs.values())}")
        if name not in ours:
            raise DataError(
                f"--map {target}={source}: `{target}` is no field of {task.subject}; {did_you_mean(target, ours | set(task.fields))}"
            )
        if name in found:
            raise DataError(f"--map {target}={source}: {task.subject} already takes its `{name}` from `{found[name]}`; map it once")
        found[name] = source
    taken = {source.strip().lower() for source in found.values()}
    for word, target in task.fields.items():
        if target not in found and target not in theirs and word in theirs and word not in taken and target in ours:
            found[target] = theirs[word]
            taken.add(word)
    if task.reads and not {*task.reads, *keys} & (set(found) | set(theirs)):
        words = [word for word, target in task.fields.items() if target in task.reads]
        raise DataError(
            f"{data}: no column with the text of {task.subject}; expected one of {', '.join([*words, *task.reads])}, "
            f"{_seen(words + list(task.reads), theirs.values(), words[0])}"
        )
    return found


def _numbered(chunks: Iterator[Chunk], key: str | None) -> Iterator[Chunk]:
    """The same with a number for each row as its ``key``, in the order of the file, where it has no such column."""
    start = 0
    for chunk in chunks:
        if key is None or key in (name.strip().lower() for name in chunk.rows.column_names):
            yield chunk
            continue
        numbers = pa.array([f"row-{start + at:09}" for at in range(len(chunk.rows))], pa.string())
        start += len(chunk.rows)
        yield replace(chunk, rows=chunk.rows.append_column(key, numbers))


def _renamed(rows: pa.Table, names: Mapping[str, str]) -> pa.Table:
    """Columns (theirs -> ours) under the task's own names; one that bears such a name already gives way."""
    if not names:
        return rows
    low = {theirs.strip().lower(): ours for theirs, ours in names.items()}
    kept = [name for name in rows.schema.names if name.strip().lower() in low or name.strip().lower() not in names.values()]
    return rows.select(kept).rename_columns([low.get(name.strip().lower(), name) for name in kept])


def _seen(wanted: Sequence[str], names: Collection[str], word: str) -> str:
    """The columns that there are, and the closest to a wanted one."""
    alike = {(each, name): difflib.SequenceMatcher(None, each, name.strip().lower()).ratio() for each in wanted for name in names}
    best = max(alike, key=lambda pair: alike[pair], default=("", ""))
    close = best if alike.get(best, 0) >= 0.6 else (word, "COLUMN")
    shown = ", ".join(f"`{name}`" for name in list(names)[:20]) or "no column"
    return f"seen {shown}; {'did you mean' if close == best else 'name it with'} --map {close[0]}={close[1]}{'?' if close == best else ''}"


def _became(data: Path, found: TableReport) -> str:
    """What became of a plain file's rows; where faulty ones are listed does not outlive the temporary shop."""
    used = found.inserted + found.updated
    said = f"{data}: {found.read:,} rows read"
    if found.duplicate:
        said += f", {found.duplicate:,} of them a second time"
    if found.updated:
        said += f", {found.updated:,} replace an earlier row of the same id"
    if found.quarantined:
        said += f", {found.quarantined:,} left out as faulty (the first: {found.first_fault})"
    return f"{said}; {used:,} taken"


@dataclass(frozen=True)
class Piece:
    """Moments of one chunk with what the backbone reads about them."""

    ids: Sequence[str]
    moments: Moments
    tokens: Tokens
    texts: Sequence[str]
    split: npt.NDArray[np.str_]
    rows: int
    """How many rows of the table these moments and those before them come from, less what earlier pieces said."""
    features: Mapping[str, pa.Array] = field(default_factory=dict)
    """(moments,) numbers or words beside the texts, null = missing; ``tokens`` does not hold them yet."""


def moments_of(
    view: View, task: Task, settings: Any, config: SplitConfig, where: str | None, division: Division | None = None
) -> Iterator[tuple[View, Moments, npt.NDArray[np.str_]]]:
    """The task's moments part by part with the split of each, in memory that does not grow with the table."""
    division = division or Division.of(view, task, settings, config, where, PART_ROWS)
    for part in view.parts(walked(task, settings), rows=PART_ROWS, where=where):
        moments = task.moments(part, settings)
        words = division.words(part, moments)
        if len(moments):
            yield part, moments, words


def pieces(
    view: View,
    task: Task,
    settings: Any,
    tokenizer: Tokenizer,
    config: SplitConfig,
    where: str | None,
    division: Division | None = None,
    *,
    names: Sequence[str],
) -> Iterator[Piece]:
    """The same moments with what the backbone reads about them; a part of many moments comes in several pieces.

    ``names`` are the prompt's features that are wanted.
    """
    knowing = Knowing(view, task)
    for part, moments, chosen in moments_of(view, task, settings, config, where, division):
        asked, rows = moments.subject(part), np.asarray(moments.row, np.int64)
        contexts = knowing.contexts(asked, rows, np.asarray(moments.at_us, np.int64))
        ids, came = asked["_id"].take(moments.row).to_pylist(), part.table.num_rows
        for begin in range(0, len(contexts), PART_ROWS):
            at = np.arange(begin, min(begin + PART_ROWS, len(contexts)))
            prompts = [task.prompt(contexts[place]) for place in at.tolist()]
            texts = [prompt.words() for prompt in prompts]
            some = moments if len(at) == len(moments) else moments.take(at)
            yield Piece(ids[begin : begin + len(at)], some, tokenizer.encode(prompts), texts, chosen[at], came, gathered(prompts, names))
            came = 0


@dataclass(frozen=True)
class Prepared:
    """All rows of a task, tokenised, in the order of their ids: the same rows in the same order whatever the files."""

    tokens: Tokens
    targets: Mapping[str, pa.Array]
    split: npt.NDArray[np.str_]
    train_texts: Sequence[str]
    """The first train rows' texts, for baselines."""
    truncated: int
    """Rows that are longer than what is read."""
    crossing: int
    """Equal texts that stand in more than one split."""
    repeats: Repeats
    """Nearly equal ones."""
    features: Mapping[str, pa.Array] = field(default_factory=dict)
    """Numbers or words beside the texts, null = missing."""
    notes: Sequence[str] = field(default_factory=tuple)

    def at(self, name: str) -> npt.NDArray[np.int64]:
        """The rows of one split."""
        return np.flatnonzero(self.split == name).astype(np.int64)

    @property
    def digest(self) -> str:
        """A name for exactly these tokens, targets and splits."""
        found = hashlib.sha256(self.tokens.digest.encode())
        for name in sorted(self.targets):
            found.update(f"{name} {self.targets[name].to_pylist()}".encode())
        for name in sorted(self.features):
            found.update(f"{name} {self.features[name].to_pylist()}".encode())
        found.update("".join(word[0] for word in self.split).encode())
        return found.hexdigest()


def prepare(view: View, task: Task, config: RunConfig, tokenizer: Tokenizer, progress: Progress) -> Prepared:
    """The rows of a task, ready to train on.

    Raises:
        DataError: no row can be used.
    """
    ids: list[str] = []
    tokens: list[Tokens] = []
    splits: list[npt.NDArray[np.str_]] = []
    texts: list[str] = []
    groups: list[int] = []
    targets: dict[str, list[pa.Array]] = {}
    features: list[Mapping[str, pa.Array]] = []
    settings = config.settings(config_name(task))
    division = Division.of(view, task, settings, config.split, config.where, PART_ROWS).counting()
    if reads_texts(task, view):
        division.watch()
    with progress.bar(f"{task.subject}: reading and tokenising", view.rows(walked(task, settings))) as advance:
        wanted = features_of(task, settings)
        for piece in pieces(view, task, settings, tokenizer, config.split, config.where, division, names=wanted):
            ids += piece.ids
            tokens.append(piece.tokens)
            splits.append(piece.split)
            texts += piece.texts[: max(0, TEXTS_KEPT - len(texts))]
            groups += [hash(group) for group in piece.moments.group.to_pylist()]
            for name, column in piece.moments.targets.items():
                targets.setdefault(name, []).append(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)
            features.append(piece.features)
            advance(piece.rows)
    if not ids:
        raise DataError(f"{task.subject}: no row can be used{f' where {config.where}' if config.where else ''}; {_lacking(view, task, ())}")
    progress.say(f"split by {division.kind}: {division.report()}")
    for line in leaking(view, task, settings, config.where):
        progress.say(line)
    crossing = division.repeats(task.subject)
    if crossing:
        progress.say(f"warning: {task.subject}: {crossing}; {crossing.FIX}")
    order = np.argsort(np.asarray(ids), kind="stable").astype(np.int64)
    split_of = np.concatenate(splits)
    where: dict[int, set[str]] = {}
    for group, side in zip(groups, split_of, strict=True):
        where.setdefault(group, set()).add(str(side))
    if not reads_texts(task, view):
        where = {}  # a pair of a shopper and an item comes again by right
    joined = Tokens.join(tokens)
    whole = {name: pa.concat_arrays(columns).take(pa.array(order)) for name, columns in targets.items() if len(columns) == len(tokens)}
    if all(column.null_count == len(column) for column in whole.values()):
        raise DataError(f"{task.subject}: {len(ids):,} rows with a text and none with an answer to learn; {_lacking(view, task, whole)}")
    kept = [texts[at] for at in order if at < len(texts) and split_of[at] == "train"]
    return Prepared(
        joined.take(order), whole, split_of[order], kept, int(joined.cut.sum()), sum(len(sides) > 1 for sides in where.values()), crossing,
        {name: column.take(pa.array(order)) for name, column in end_to_end(features).items()},
    )  # fmt: skip


def _lacking(view: View, task: Task, targets: Collection[str]) -> str:
    """What a table without a usable row may lack: the column of an answer, perhaps under another name."""
    if not view.has(task.subject):
        return f"the table {task.subject} is empty: bring rows in with shoplm import"
    words = {word for pair in task.fields.items() if pair[1] not in task.reads for word in pair} | set(targets)
    foreign = set(view.columns(task.subject)) - set(contract.TABLES[task.subject].by_name)
    expected = f"texts in {' or '.join(task.reads)}, answers in {' or '.join(sorted(words))}"
    return f"expected {expected}; {_seen(sorted(words), sorted(foreign - words), sorted(words)[-1])}"


def config_name(task: Task) -> str:
    """A task's name: that of its file."""
    return type(task).__module__.rpartition(".")[2]


def encode(targets: Mapping[str, Any], heads: Mapping[str, HeadSpec]) -> dict[str, npt.NDArray[Any]]:
    """Targets as heads and judges read them: int64 with -1 for a label missing or unknown, float32 with NaN missing.

    A Labels head gets its labels' columns side by side, (M, C), beside each by itself; a Spans head int32 (M, S, 3). Words that no head reads are left out.
    """
    found: dict[str, npt.NDArray[Any]] = {}
    for name, column in targets.items():
        spec = heads.get(name)
        if isinstance(spec, Choice):
            places = pc.index_in(column, pa.array(spec.labels, pa.string()))
            found[name] = pc.fill_null(places, MISSING).to_numpy(zero_copy_only=False).astype(np.int64)
        elif isinstance(spec, Spans):
            found[name] = encoded(column, spec.labels)
        elif not pa.types.is_string(column.type):
            found[name] = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False).astype(np.float32)
        elif any(isinstance(spec, Labels) and name in spec.labels for spec in heads.values()):
            found[name] = yes_or_no(column)
    for name, spec in heads.items():
        if isinstance(spec, Labels) and (there := [label for label in spec.labels if label in found]):
            rows = len(found[there[0]])
            columns = [found.get(label, np.full(rows, np.nan, np.float32)) for label in spec.labels]
            found[name] = np.stack(columns, 1).astype(np.float32)
    return found


def refuse_unseen(prepared: Prepared, heads: Mapping[str, HeadSpec], subject: str) -> None:
    """Labels outside train must be labels of train.

    Raises:
        DataError: a label stands in valid or test alone.
    """
    for name, spec in heads.items():
        if isinstance(spec, Choice):
            for side in ("valid", "test"):
                column = prepared.targets[name].take(pa.array(prepared.at(side)))
                unseen = sorted(set(pc.unique(column.drop_null()).to_pylist()) - set(spec.labels))
                if unseen:
                    count = int(pc.sum(pc.is_in(column, pa.array(unseen, pa.string()))).as_py())
                    shown = ", ".join(f"`{label}`" for label in unseen[:3]) + (f" and {len(unseen) - 3} more" if len(unseen) > 3 else "")
                    raise DataError(
                        f"{subject}: {name} {shown} stands in {side} ({count} rows) and never in train; "
                        f"give it train rows, or leave it out with --where"
                    )
