"""What there is to learn: the rows of a task that have an answer, encoded, and what the task fitted on those of train."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoplm.data.shop import View
from shoplm.errors import DataError
from shoplm.model.specs import HeadSpec
from shoplm.pipeline.config import RunConfig
from shoplm.pipeline.prepare import Prepared, encode, prepare, refuse_unseen
from shoplm.pipeline.progress import Progress
from shoplm.task import Fitted, Task
from shoplm.text.features import Features
from shoplm.text.tokenize import Tokenizer, Tokens

FOLDS = 5
"""Of the train rows one part in so many stands aside when probabilities must be calibrated without validation rows."""


@dataclass(frozen=True)
class Lesson:
    """One task's rows: those of train first, those of validation after them."""

    name: str
    task: Task
    view: View
    prepared: Prepared
    fitted: Fitted
    specs: Mapping[str, HeadSpec]
    tokens: Tokens
    targets: Mapping[str, npt.NDArray[Any]]
    """What heads and judges read, by name, as long as ``tokens``."""
    train: int
    """How many rows are learnt from."""

    @property
    def train_rows(self) -> npt.NDArray[np.int64]:
        """Where the rows to learn from stand in ``tokens``."""
        return np.arange(self.train, dtype=np.int64)

    @property
    def valid_rows(self) -> npt.NDArray[np.int64]:
        """Where the rows to choose by stand in ``tokens``."""
        return np.arange(self.train, len(self.tokens), dtype=np.int64)

    @property
    def learnt(self) -> dict[str, npt.NDArray[Any]]:
        """The targets that a head learns."""
        return {name: column for name, column in self.targets.items() if name in self.specs}

    @property
    def valid_targets(self) -> dict[str, npt.NDArray[Any]]:
        """The targets of the rows to choose by."""
        return {name: column[self.train :] for name, column in self.targets.items()}

    def parted(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The train rows in two, a fifth of them aside; equal texts stay on one side.

        Returns:
            Rows to learn from and rows aside; none aside when there are fewer than ten different texts.
        """
        starts, ids = self.tokens.start, self.tokens.ids
        digest = np.array([zlib.crc32(ids[starts[at] : starts[at + 1]].tobytes()) for at in range(self.train)], np.int64)
        texts = np.unique(digest)  # in the order of their digests, which is as good as drawn
        aside = np.isin(digest, texts[: len(texts) // FOLDS] if len(texts) >= 2 * FOLDS else [])
        return self.train_rows[~aside], self.train_rows[aside]


def lesson_of(name: str, task: Task, view: View, config: RunConfig, tokenizer: Tokenizer, progress: Progress) -> Lesson:
    """The rows of a view as a lesson.

    Raises:
        DataError: no row can be used, none is for learning, or a label is unknown to the train rows.
    """
    prepared = prepare(view, task, config, tokenizer, progress)
    train, valid = prepared.at("train"), prepared.at("valid")
    if not len(train):
        raise DataError(
            f"{task.subject}: {len(prepared.split):,} rows and none to learn from ({len(valid):,} valid, {len(prepared.at('test')):,} test); "
            f"give more different texts (equal ones stay together), train rows in the `split` column, or a smaller valid= and test="
        )
    fitted = task.learn({key: column.take(pa.array(train)) for key, column in prepared.targets.items()}, config.settings(name))
    features = Features.fit({key: column.take(pa.array(train)) for key, column in prepared.features.items()})
    tokens = prepared.tokens
    if features.width:
        fitted = fitted.model_copy(update={"features": features})
        tokens = replace(tokens, features=features.encode(prepared.features, len(tokens)))
        progress.say(f"{task.subject}: beside the text {', '.join(features.names)}")
    specs = task.heads(fitted)
    refuse_unseen(prepared, specs, task.subject)
    encoded = encode(prepared.targets, specs)
    labelled = np.zeros(len(prepared.tokens), bool)
    for target in specs:
        column = encoded[target]
        known = ~np.isnan(column) if column.dtype.kind == "f" else column >= 0
        labelled |= known.reshape(len(known), -1).any(1)
    train = train[labelled[train]]
    used = np.concatenate([train, valid if labelled[valid].any() else valid[:0]])  # without an answer there is nothing to choose by
    return Lesson(
        name,
        task,
        view,
        prepared,
        fitted,
        specs,
        tokens.take(used),
        {key: column[used] for key, column in encoded.items()},
        len(train),
    )
