"""The bundle that users hold: predict, evaluate, save, load."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from shoplm import task as tasks
from shoplm.data import contract
from shoplm.data.consent import learnable
from shoplm.data.context import Context, Contexts
from shoplm.data.shop import Shop, View
from shoplm.errors import DataError, did_you_mean
from shoplm.model import adapters, heads
from shoplm.model import bundle as files
from shoplm.model.bundle import Contents, TaskPart
from shoplm.model.network import Network
from shoplm.model.precision import Precision, autocast
from shoplm.model.specs import Choice, HeadSpec, Labels, Spans
from shoplm.pipeline.knowing import Knowing
from shoplm.task import Answer, Fitted, Scores, Task
from shoplm.text.features import Features, gathered
from shoplm.text.spans import Searched, Tagged, padded
from shoplm.text.tokenize import Tokens
from shoplm.train.plan import cut as cut_batches
from shoplm.train.trunk import Trunk

PASS_TOKENS = 8192
"""Padded tokens of one forward pass without gradient."""
PASS_ROWS = 4096
"""Texts that are tokenised together."""


class Bundle:
    """A trained model: one backbone and the heads of one or more tasks."""

    def __init__(self, contents: Contents, place: Path | None = None) -> None:
        self.contents = contents
        self.place = place
        self.precision: Precision = "fp32"

    def __repr__(self) -> str:
        return f"Bundle({', '.join(self.contents.tasks)}; {self.contents.backbone.name})"

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that it answers."""
        return tuple(self.contents.tasks)

    @property
    def metrics(self) -> Mapping[str, Any]:
        """What validation said when it was trained, by task."""
        return self.contents.metrics

    def part(self, name: str | None = None) -> tuple[str, Task, TaskPart, Fitted]:
        """One task's parts, by name or the only one.

        Raises:
            BundleError: there is no such task in it, or several and none named.
        """
        name, part = files.part_of(self.contents, name, str(self.place or "bundle"))
        return name, tasks.get(name), part, Fitted.model_validate_json(part.fitted)

    def predict(self, data: Any, task: str | None = None, shop: Any = None) -> list[dict[str, Any]]:
        """Answers, one a row and in the same order.

        Args:
            data: texts, or a pandas, polars or pyarrow table with the task's columns.
            task: which task; may be left out when the bundle has one.
            shop: a ``Shop`` or its path, from which a task that needs them takes histories and facts.

        Raises:
            DataError: the data has no column that the task reads.
        """
        return self.answer(data, task, shop).rows()

    def predict_proba(self, data: Any, task: str | None = None) -> npt.NDArray[np.float32]:
        """(M, C) probabilities of the task's first classes, in the order of ``labels``.

        Raises:
            DataError: the task has no classes, or the data no column that it reads.
        """
        head, _ = self._classes(task)
        return np.asarray(self.answer(data, task).values[head], np.float32)

    def labels(self, task: str | None = None) -> tuple[str, ...]:
        """The classes in the order of ``predict_proba``.

        Raises:
            DataError: the task has no classes.
        """
        _, spec = self._classes(task)
        return spec.labels

    def _classes(self, task: str | None) -> tuple[str, Choice]:
        name, _, part, _ = self.part(task)
        for head, spec in part.network.specs.items():
            if isinstance(spec, Choice):
                return head, spec
        raise DataError(f"{name}: this task has no classes; use predict")

    def score(self, data: Any, truth: Sequence[Any], task: str | None = None) -> float:
        """Accuracy on rows whose true labels are given, as in scikit-learn."""
        labels = np.asarray([str(label) for label in truth])
        head, _ = self._classes(task)
        chosen = np.asarray(self.answer(data, task).columns[head])  # as predict decides, not the likeliest alone
        if len(labels) != len(chosen):
            raise DataError(f"score: {len(chosen)} rows and {len(labels)} true labels; give one label a row")
        return float((labels == chosen).mean())

    def answer(self, data: Any, task: str | None = None, shop: Any = None) -> Answer:
        """As ``predict``, columnar and with every probability."""
        _, task_, _, fitted = self.part(task)
        return task_.answer(self.scores(subject_rows(task_, data, fitted.features.names), task, shop), fitted)

    def scores(self, subject: pa.Table, task: str | None = None, shop: Any = None) -> Scores:
        """What the heads say about rows of the subject table (contract columns, and the task's own of a plain file).

        With a shop, a row is asked about at its own time, and one without a time after all that the shop knows.
        """
        _, _, part, _ = self.part(task)
        if not len(subject):
            return _nothing(part.network.specs)
        found = [self.about(contexts, task) for contexts in self.contexts(subject, task, shop)]
        return Scores(
            {head: np.concatenate([one.values[head] for one in found]) for head in found[0].values},
            {head: Tagged.join([one.tagged[head] for one in found]) for head in found[0].tagged},
        )

    def contexts(self, subject: pa.Table, task: str | None = None, shop: Any = None) -> Iterator[Contexts]:
        """What was known about rows of the subject table, as ``scores`` asks about them, some thousand rows at a time."""
        _, task_, _, _ = self.part(task)
        rows = np.arange(len(subject), dtype=np.int64)
        view = None if shop is None else learnable(shop if isinstance(shop, Shop) else Shop(Path(shop)))
        at_us, knowing = _moments(task_, subject, view), Knowing(view, task_)
        for begin in range(0, len(rows), PASS_ROWS):
            yield knowing.contexts(subject, rows[begin : begin + PASS_ROWS], at_us[begin : begin + PASS_ROWS])

    def about(self, contexts: Iterable[Context], task: str | None = None) -> Scores:
        """What the heads say about some contexts, at least one, in their order."""
        name, task_, _, fitted = self.part(task)
        prompts = [task_.prompt(context) for context in contexts]
        tokens = self.contents.backbone.tokenizer.encode(prompts)
        return self.read(name, beside(tokens, fitted.features, gathered(prompts, fitted.features.names)))

    def read(self, name: str, tokens: Tokens) -> Scores:
        """What the heads say about token sequences, in their order."""
        part = self.contents.tasks[name]
        adapters.choose(self.contents.backbone, part.adapter, part.method)
        return run(part.network, tokens, self.precision)

    def evaluate(self, rows: Any = None, *, task: str | None = None, split: str = "test", **options: Any) -> Any:
        """Judge it on rows with known answers: see ``pipeline.evaluate`` for the options.

        ``rows`` is what ``fit`` takes: a ``Shop``, the path of one, the path of a plain file, or a pandas, polars or pyarrow table.
        """
        from shoplm.pipeline.judging import evaluate

        with tempfile.TemporaryDirectory(prefix="shoplm-") as scratch:
            rows = options.pop("data", None) if rows is None else rows
            if rows is not None:
                shop, file = source_of(rows, Path(scratch))
                options = {"shop": shop, "data": file, **options}
            return evaluate(self, task, split=split, **options)

    def save(self, place: str | Path) -> Path:
        """Write it as a folder that ``shoplm.load`` and every ShopLM command read."""
        target = Path(place)
        files.write(self.contents, target)
        return target


def load(place: str | Path) -> Bundle:
    """A bundle from its folder, every file checked first.

    Raises:
        BundleError: missing, altered, truncated, or of a later format.
        BackboneError: the pre-trained model that it names is not to be had.
    """
    return Bundle(files.read(Path(place)), Path(place))


@torch.no_grad()
def run(
    network: Network, tokens: Tokens, precision: Precision, rows: npt.NDArray[np.int64] | None = None, trunk: Trunk | None = None
) -> Scores:
    """The heads' answers about sequences, in order; those of similar length share a pass.

    Args:
        network: answers.
        tokens: the sequences.
        precision: of the forward pass.
        rows: which sequences; None = all.
        trunk: what the frozen part computed of them, if that is kept.
    """
    network.eval()
    wanted = np.arange(len(tokens), dtype=np.int64) if rows is None else rows
    order = np.argsort(tokens.lengths[wanted], kind="stable").astype(np.int64)
    found: dict[str, npt.NDArray[np.float32]] = {}
    start = np.concatenate([[0], np.cumsum(tokens.lengths[wanted])]).astype(np.int64)
    tagging = {head for head, spec in network.specs.items() if isinstance(spec, Spans)}
    for places in cut_batches(order, tokens.lengths[wanted], 1024, PASS_TOKENS):
        batch = tokens.batch(wanted[places], network.backbone.tokenizer.pad)
        with autocast(precision):
            logits = network(batch, None if trunk is None else trunk.hidden(batch))
        for head, values in logits.items():
            numbers = heads.answer(network.specs[head], values)
            if head in tagging:  # a row a token, without those of the padding
                kept, own = batch.mask > 0, padded(start, places)[0]
                found.setdefault(head, np.empty((int(start[-1]), numbers.shape[2]), np.float32))[own[kept]] = numbers[kept]
                continue
            if head not in found:
                found[head] = np.empty((len(wanted), *numbers.shape[1:]), np.float32)
            found[head][places] = numbers
    if not tagging or not len(wanted):
        return Scores({head: numbers for head, numbers in found.items() if head not in tagging})
    searched = tokens.take(wanted).searched
    assert searched is not None, "spans are asked for, and no segment says that they are looked for in it"
    return Scores(
        {head: numbers for head, numbers in found.items() if head not in tagging},
        {head: Tagged(found[head], searched, start) for head in found if head in tagging},
    )


def _nothing(specs: Mapping[str, HeadSpec]) -> Scores:
    """What heads say about no rows."""
    return Scores(
        {
            head: np.zeros((0, len(spec.labels)) if isinstance(spec, Choice | Labels) else 0, np.float32)
            for head, spec in specs.items()
            if not isinstance(spec, Spans)
        },
        {
            head: Tagged(
                np.zeros((0, 2 * len(spec.labels) + 1), np.float32),
                Searched(np.zeros((0, 2), np.int32), pa.array([], pa.string())),
                np.zeros(1, np.int64),
            )
            for head, spec in specs.items()
            if isinstance(spec, Spans)
        },
    )


def beside(tokens: Tokens, features: Features, columns: Mapping[str, pa.Array]) -> Tokens:
    """The same sequences with what stands beside them, as a bundle's heads read it; nothing, where they read nothing."""
    return replace(tokens, features=features.encode(columns, len(tokens)) if features.width else None)


def _moments(task: Task, subject: pa.Table, view: View | None) -> npt.NDArray[np.int64]:
    """(rows,) when each row is asked about: with a shop at its own time, else after the shop's newest event; without one after all times."""
    after = np.full(len(subject), np.iinfo(np.int64).max)
    clock = contract.TABLES[task.subject].clock
    if view is None:
        return after
    newest = view.sql("select epoch_us(max(event_time)) as at from events")["at"][0].as_py() if view.has("events") else None
    after[:] = (newest if newest is not None else time.time_ns() // 1000) + 1
    if clock is None:
        return after
    own = np.asarray(pc.fill_null(subject[clock].cast(pa.int64()), np.iinfo(np.int64).max), np.int64)
    return np.where(own == np.iinfo(np.int64).max, after, own)


def subject_rows(task: Task, data: Any, features: Sequence[str] = ()) -> pa.Table:
    """Texts or a table of any kind as rows of the subject table, in the same order, nothing dropped.

    Returns:
        The contract's columns, the task's own of a plain file, and the named features where they are there.

    Raises:
        DataError: no column that the task reads.
    """
    table = contract.TABLES[task.subject]
    word, main = next(((word, column) for word, column in task.fields.items() if word == "text"), ("text", "text"))
    if isinstance(data, str):
        data = [data]
    if isinstance(data, Sequence) or (isinstance(data, np.ndarray) and data.ndim == 1):
        given = pa.table({main: pa.array([None if text is None else str(text) for text in data], pa.string())})
    else:
        given = as_arrow(data)
        names = {}
        for name in given.column_names:
            low = name.strip().lower()
            names[name] = low if low in table.by_name or low in task.plain else task.fields.get(low, low)
        given = given.select(list(dict.fromkeys({target: name for name, target in reversed(names.items())}.values())))
        given = given.rename_columns([names[name] for name in given.column_names])
        readable = {main, *task.reads, *task.keys}
        if not readable & set(given.column_names):
            raise DataError(f"no column that `{task.subject}` reads; expected `{word}`, {did_you_mean(word, names)}")
    columns: dict[str, Any] = {}
    for column in table.columns:
        there = column.name in given.column_names
        if there and pa.types.is_string(column.type):
            columns[column.name] = given[column.name].cast(pa.string())
        elif there and column.name == table.clock and task.keys:
            columns[column.name] = _times(given[column.name])
        else:
            columns[column.name] = pa.nulls(len(given), column.type)
    for name in task.plain:
        columns[name] = _words(given[name]) if name in given.column_names else pa.nulls(len(given), pa.string())
    for name in features:
        if name in given.column_names:
            columns[name] = given[name] if pa.types.is_string(given[name].type) else given[name].cast(pa.float64())
    return pa.table(columns)


def _words(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of a task's own as text; a list as JSON."""
    if not pa.types.is_nested(column.type):
        return column.cast(pa.string())
    return pa.chunked_array(
        [[None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in column.to_pylist()]], pa.string()
    )


def _times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times as the contract stores them; text in RFC 3339.

    Raises:
        DataError: a text is no time.
    """
    try:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            return column.cast(pa.timestamp("us", tz="UTC"))
        return column.cast(contract.TIME)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"a time cannot be read ({str(error).splitlines()[0]}); write such as 2024-06-01T12:00:00Z") from None


def source_of(data: Any, scratch: Path) -> tuple[Shop | Path | None, Path | None]:
    """Where rows given from Python are: a shop, or a plain file.

    Args:
        data: a ``Shop``, the path of one, the path of a plain file, or a pandas, polars or pyarrow table.
        scratch: a folder for the file that a table becomes.

    Raises:
        DataError: something else.
    """
    if isinstance(data, Shop):
        return data, None
    if isinstance(data, str | Path):
        return (Path(data), None) if Path(data).is_dir() else (None, Path(data))
    file = scratch / "data.parquet"
    pq.write_table(as_arrow(data), file)
    return None, file


def as_arrow(data: Any) -> pa.Table:
    """A pandas, polars or pyarrow table as pyarrow.

    Raises:
        DataError: something else.
    """
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if hasattr(data, "to_arrow"):
        table: pa.Table = data.to_arrow()
        return table.cast(
            pa.schema(
                [
                    pa.field(f.name, pa.string() if pa.types.is_large_string(f.type) or str(f.type) == "string_view" else f.type)
                    for f in table.schema
                ]
            )
        )
    if type(data).__module__.startswith("pandas") and hasattr(data, "columns"):
        return pa.Table.from_pandas(data, preserve_index=False)
    if isinstance(data, Mapping):
        return pa.table(dict(data))
    raise DataError(f"data: expected texts or a pandas, polars or pyarrow table, seen {type(data).__name__}")
