"""The form that one task fills in, and what flows through it.

A task is a question put to the shared backbone. It says which rows it learns from (``moments``),
which words the backbone reads (``prompt``), which heads answer (``heads``) and how their numbers
become an answer (``answer``). It writes no tensor code and opens no file. The very same ``prompt``
serves learning, judging and answering, so that they cannot drift apart.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoplm.config import Config
from shoplm.data.context import Context
from shoplm.data.shop import View
from shoplm.data.split import Kind
from shoplm.errors import ConfigError, did_you_mean
from shoplm.model.specs import HeadSpec
from shoplm.text.features import Features
from shoplm.text.render import Prompt
from shoplm.text.spans import Tagged

YES = frozenset({"yes", "true", "1", "1.0"})
NO = frozenset({"no", "false", "0", "0.0"})
"""The words of a label that is yes or no, in lower case."""

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Moments:
    """The rows that a task learns from or is judged on, columnar: M moments.

    ``row`` points into the chunk of the subject table that ``view`` holds (its ``_row`` column).
    A null target is a missing label. ``group`` decides which moments may not be parted between
    train and test (equal texts, usually). ``split`` is null where the data does not say.
    """

    row: pa.Array
    """int64 (M): index into the view's chunk of the subject table."""
    at_us: pa.Array
    """int64 (M): the moment, UTC microseconds; only what was known before it is read."""
    targets: Mapping[str, pa.Array]
    """One array (M) for each target: strings for Choice, numbers for Score, for Labels one a label, as numbers or yes and no,
    for Spans lists (``text.spans.SPANS``); null = missing."""
    group: pa.Array
    """string (M): moments of one group stay on one side of a split."""
    split: pa.Array | None = None
    """string (M): what the data says; None where it says nothing."""
    slices: Mapping[str, pa.Array] = field(default_factory=dict)
    """string (M) each: named cuts by which a report is broken down."""
    asked: pa.Table | None = None
    """Rows of the subject table, with ``_id``, that are asked about where the part itself has no such rows: ``row`` then points here."""
    seen: Mapping[str, pa.Array] = field(default_factory=dict)
    """string (M) each: keys by which a report tells cold rows (no train row had the key) from warm ones."""

    def __len__(self) -> int:
        return len(self.row)

    def subject(self, part: View) -> pa.Table:
        """The rows that ``row`` points into, with ``_id``."""
        return part.table if self.asked is None else self.asked

    def take(self, indices: IntArray) -> Moments:
        """The moments at ``indices``, in that order."""
        at = pa.array(indices, pa.int64())
        return replace(
            self,
            row=self.row.take(at),
            at_us=self.at_us.take(at),
            targets={name: column.take(at) for name, column in self.targets.items()},
            group=self.group.take(at),
            split=None if self.split is None else self.split.take(at),
            slices={name: column.take(at) for name, column in self.slices.items()},
            seen={name: column.take(at) for name, column in self.seen.items()},
        )


class Seen(Config):
    """How honest some probabilities were on rows that had no part in calibrating them."""

    log_loss: tuple[float, float, float]
    """In nats, and its 95 % interval."""
    ece: tuple[float, float, float]
    """Calibration error in [0, 1], and its 95 % interval."""
    count: Sequence[int]
    """The reliability diagram of N bins of equal width: rows, mean probability and the share that came true (0 in an empty bin)."""
    said: Sequence[float]
    happened: Sequence[float]


CalibrationKind = Literal["none", "temperature", "platt", "isotonic"]


class Calibration(Config):
    """How the logits of one question become probabilities that hold (``evaluate/calibrate.py``), and what was seen when it was chosen."""

    kind: CalibrationKind = "none"
    temperature: float = 1.0
    """Of ``temperature`` and ``isotonic``: the logits are divided by it."""
    slope: Sequence[float] = ()
    """Of ``platt``: the logits are multiplied by it, one a class, or one."""
    offset: Sequence[float] = ()
    """Of ``platt``: added then."""
    said: Sequence[float] = ()
    """Of ``isotonic``: the knots, probabilities after the temperature,"""
    happened: Sequence[float] = ()
    """and what stands in their place."""
    mixed: float = 0.01
    """Of ``isotonic``: the share in which the temperature's own probability is kept, so that no step hides an order."""
    note: str = ""
    """Why this kind."""
    rows: int = 0
    """Rows that it was fitted on."""
    before: Seen | None = None
    """The plain probabilities of those rows."""
    after: Seen | None = None
    """Those of each fifth of the rows, calibrated on the other four; None with too few rows for that."""


class Fitted(Config):
    """What a task learnt from TRAIN and VALID rows beside the weights: ``fitted/<task>.json``."""

    labels: Mapping[str, Sequence[str]] = {}
    """For each Choice head its labels, in the order of the logits."""
    numbers: Mapping[str, float] = {}
    """Thresholds, class priors, ranges: by a name that the task chooses."""
    calibrations: Mapping[str, Calibration | Sequence[Calibration]] = {}
    """For each head that was calibrated one for all its logits, or, of labels that are independent, one a label."""
    words: Mapping[str, str] = {}
    """Settings that the answer depends on, and notes in words."""
    features: Features = Features()
    """How the prompts' features are read; the pipeline fits them before ``heads`` is asked."""

    def saved(self) -> str:
        """As ``fitted/<task>.json`` holds it: features only where there are any."""
        return self.model_dump_json(indent=1, exclude=None if self.features.width else {"features"})


@dataclass(frozen=True)
class Scores:
    """What the heads said about B rows: (B, C) logits of a Choice, (B,) of a Score, and more by name."""

    values: Mapping[str, FloatArray]
    tagged: Mapping[str, Tagged] = field(default_factory=dict)
    """What a Spans head said of every token."""

    def __getitem__(self, head: str) -> FloatArray:
        return self.values[head]


@dataclass(frozen=True)
class Answer:
    """What a task answers about B rows."""

    columns: Mapping[str, Sequence[Any]]
    """What a person reads: one value a row for each name (``intent``, ``probability``, …)."""
    values: Mapping[str, FloatArray]
    """What a judge reads: (B, C) probabilities, (B,) scores or (B, S, 3) spans, by name."""

    def rows(self) -> list[dict[str, Any]]:
        """One plain dict a row."""
        names = list(self.columns)
        return [dict(zip(names, row, strict=True)) for row in zip(*self.columns.values(), strict=True)]


@dataclass(frozen=True)
class Metric(ABC):
    """A number about answers, computed from a statistic that adds up over rows.

    A statistic is a vector of ``size`` cells; each row adds amounts to a few of them. So a metric
    streams in flat memory, merges exactly, and its bootstrap only re-weights rows.
    """

    target: str
    """Which target it reads: int (M), -1 = missing, float (M), NaN = missing, or spans (M, S, 3) as ``text.spans.encoded`` gives them."""
    value: str
    """Which of ``Answer.values`` it reads."""
    higher_is_better: ClassVar[bool] = True

    @abstractmethod
    def size(self, classes: int) -> int:
        """How many cells the statistic has when the value has ``classes`` columns (1 for a score)."""

    @abstractmethod
    def cells(self, target: Any, value: FloatArray) -> tuple[IntArray, FloatArray]:
        """For M rows the (M, K) cells that each adds to, and the (M, K) amounts; cell -1 adds nothing."""

    @abstractmethod
    def read(self, statistic: FloatArray) -> FloatArray:
        """The metric of each statistic, (…, size) -> (…); NaN where nothing was counted."""

    @property
    def reads(self) -> tuple[tuple[str, str], ...]:
        """Each target that it reads with the value that answers it."""
        return ((self.target, self.value),)

    def counted(self, targets: Mapping[str, Any], values: Mapping[str, FloatArray]) -> tuple[IntArray, FloatArray]:
        """``cells`` of what it ``reads``."""
        return self.cells(targets[self.target], np.asarray(values[self.value]))

    def readable(self, targets: Collection[str], values: Collection[str]) -> bool:
        """Whether some target that it reads is there together with its value."""
        return any(target in targets and value in values for target, value in self.reads)

    def point(self, targets: Mapping[str, Any], values: Mapping[str, FloatArray]) -> float:
        """The metric of some rows, without interval; NaN where they have no such target or value."""
        if not self.readable(targets, values):
            return float("nan")
        cells, amounts = self.counted(targets, values)
        first = values.get(self.value)
        size = self.size(first.shape[1] if first is not None and first.ndim == 2 else 1)
        return float(self.read(np.bincount(cells[cells >= 0], amounts[cells >= 0], size).astype(np.float64)))


class Task(ABC):
    """One question to the backbone. Stateless: one final class and one ``TASK = Name()`` in its file."""

    subject: ClassVar[str]
    """The table whose rows are asked about."""
    needs: ClassVar[tuple[str, ...]]
    """The tables it reads: the subject, and products or users where a context is to hold what was known of them."""
    acts: ClassVar[tuple[str, ...]] = ()
    """Names of the events that make a context's history; none = no histories. It then needs ``events``."""
    last: ClassVar[int] = 50
    """The most acts of a history."""
    features: ClassVar[tuple[str, ...]] = ()
    """The prompt's features that heads read where the settings' own ``features`` names none."""
    learning_share: ClassVar[float] = 1 / 3
    """Share of the backbone's layers, from the top, that learn where the settings name none. What a text is about a sentence
    encoder's upper layers tell well enough; what its words imply (a mood) is settled lower down."""
    parted_by: ClassVar[Kind] = "group"
    """What parts a shop's rows where ``split.kind`` says nothing."""
    reads: ClassVar[tuple[str, ...]] = ()
    """Columns of the subject table whose words the backbone reads: a plain file has at least one of them."""
    keys: ClassVar[tuple[str, ...]] = ()
    """Columns of the subject table that lead into a shop: rows with them may be answered with its histories and facts."""
    fields: ClassVar[Mapping[str, str]] = {}
    """Columns of a plain file -> columns of the subject table (others keep their names)."""
    plain: ClassVar[tuple[str, ...]] = ()
    """Columns that only a plain file has, such as a label: the contract does not name them."""
    defaults: ClassVar[Mapping[str, str]] = {}
    """Values for required columns of the subject table that a plain file may lack."""
    numbered: ClassVar[str | None] = None
    """The subject table's key where a plain file may lack it: each row then gets a number of its own."""
    Settings: ClassVar[type[Config]]
    metrics: ClassVar[Mapping[str, Metric]] = {}
    """Those of every run of the task."""
    judge_by: ClassVar[str]
    """The metric that validation chooses by."""

    @abstractmethod
    def moments(self, view: View, settings: Any) -> Moments:
        """The moments in this chunk of the subject table.

        Raises:
            DataError: a column that the settings name is not there.
        """

    @abstractmethod
    def prompt(self, context: Context) -> Prompt:
        """The words that the backbone reads about one moment."""

    @abstractmethod
    def heads(self, fitted: Fitted) -> Mapping[str, HeadSpec]:
        """The heads that answer, by the name of the target each learns."""

    def metrics_of(self, fitted: Fitted) -> Mapping[str, Metric]:  # noqa: ARG002  (most tasks have the same in every run)
        """The metrics of a run, where they follow what it learnt; else the task's own."""
        return self.metrics

    @abstractmethod
    def learn(self, targets: Mapping[str, pa.Array], settings: Any) -> Fitted:
        """What train rows alone tell: labels, ranges, priors.

        Raises:
            DataError: nothing can be learnt from these targets (one class only, none at all).
        """

    @abstractmethod
    def choose(self, scores: Scores, targets: Mapping[str, Any], fitted: Fitted) -> Fitted:
        """Thresholds and calibration from VALID rows (targets encoded as a Metric reads them)."""

    @abstractmethod
    def answer(self, scores: Scores, fitted: Fitted) -> Answer:
        """The answers that these scores mean."""


def yes_or_no(column: pa.Array) -> FloatArray:
    """(M,) float32 of words: 1 yes, 0 no, NaN where a word says neither."""
    words = [None if word is None else word.strip().lower() for word in column.to_pylist()]
    return np.array([1.0 if word in YES else 0.0 if word in NO else np.nan for word in words], np.float32)


def each_held(said: pa.ChunkedArray, names: Sequence[str], parted: str) -> dict[str, pa.Array]:
    """Of rows that each name some of ``names``, parted by a sign, a column for each name: 1 named, 0 not, null where a row is null."""
    place = {name: at for at, name in enumerate(names)}
    words = said.to_pylist()
    held = np.zeros((len(words), len(names)), np.float32)
    for row, word in enumerate(words):
        for name in (word or "").split(parted):
            if name.strip() in place:
                held[row, place[name.strip()]] = 1.0
    gone = np.array([word is None for word in words], bool)
    return {name: pa.array(held[:, at], mask=gone) for name, at in place.items()}


def verdicts(task: str) -> str:
    """A query for (subject, name, value, split) of what the ``labels`` table says for a task: of each name one value, a person's before
    a model's, then the newest.
    """
    return f"""select subject, name, value, split from labels where task = '{task}'
               qualify row_number() over (partition by subject, name order by "by" = 'person' desc, "at" desc, "by") = 1"""


def walked(task: Task, settings: Any) -> str:
    """The table whose parts ``moments`` sees: the subject's own, unless the task's settings name another as their ``table``."""
    return getattr(settings, "table", None) or task.subject


def features_of(task: Task, settings: Any) -> tuple[str, ...]:
    """The prompt's features that heads are to read: those that the settings' ``features`` name, else the task's own."""
    named = getattr(settings, "features", None)
    return task.features if named is None else tuple(named)


def names() -> tuple[str, ...]:
    """Every task there is: the files of ``shoplm/tasks``, and of the folders that ``SHOPLM_TASKS`` names."""
    places = importlib.import_module("shoplm.tasks").__path__
    return tuple(sorted({module.name for module in pkgutil.iter_modules(places)}))


def get(name: str) -> Task:
    """The task in ``shoplm/tasks/<name>.py``, or in a folder that ``SHOPLM_TASKS`` names.

    Raises:
        ConfigError: there is no such file, or it holds no task.
    """
    if name not in names():
        raise ConfigError(
            f"no task `{name}`; {did_you_mean(name, names())} (a task is a file in shoplm/tasks, or in a folder that SHOPLM_TASKS names)"
        )
    module = importlib.import_module(f"shoplm.tasks.{name}")
    task = getattr(module, "TASK", None)
    if not isinstance(task, Task):
        raise ConfigError(f"{module.__file__}: no task in it; end the file with `TASK = Name()`, Name being its class")
    return task
