"""Which acts moved an answer: each kind of thing is left out of the history in turn, and what the answer loses is its effect.

It holds for any task that reads a history, a shop's or a plain row's: the shortened history goes the whole way again,
words and features alike. A row costs as many passes as it has kinds of things, ``CALLS`` at most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from shoplm.data import contract
from shoplm.data.context import Context, Row
from shoplm.model.specs import Choice, HeadSpec, Labels
from shoplm.pipeline.bundle import Bundle, subject_rows
from shoplm.task import Answer
from shoplm.text.render import PATH, acts_of, clean

CALLS = 32
"""Kinds of things of one history that are left out in turn: those of most acts, of equals the newest."""
MOST = 3
"""Reasons that are told of one answer."""
LEAST = 0.005
"""A smaller effect is no reason."""


@dataclass(frozen=True)
class Reason:
    """One kind of thing in a history."""

    act: str
    times: int
    """How many acts of the history it was."""
    effect: float
    """The answer's probability with them minus without them."""

    def __str__(self) -> str:
        return f"{self.act}{f' ×{self.times}' if self.times > 1 else ''} ({self.effect:+.2f})"


def evidence(
    bundle: Bundle, data: Any, task: str | None = None, shop: Any = None, *, most: int = MOST, calls: int = CALLS
) -> list[dict[str, list[Reason]]]:
    """For each row, and each answer about it that is one of some labels, the acts that raised its probability most.

    Args:
        bundle: the model.
        data: as ``Bundle.predict`` takes it.
        task: which task; None when it has one.
        shop: where histories are.
        most: reasons an answer.
        calls: kinds of things a row that are left out in turn.

    Returns:
        By trait or head, the strongest first; of labels that are yes or no only those that hold. Empty for a row without history.
    """
    _, task_, part, fitted = bundle.part(task)
    subject = subject_rows(task_, data, fitted.features.names)
    found: list[dict[str, list[Reason]]] = []
    for contexts in bundle.contexts(subject, task, shop):
        for context in contexts:
            things, without = _things(context, contract.TABLES[task_.subject])
            kept = sorted(things, key=lambda thing: -things[thing])[:calls]
            if not kept:
                found.append({})
                continue
            answer = task_.answer(bundle.about([context, *(without(thing) for thing in kept)], task), fitted)
            found.append(_reasons(answer, part.network.specs, [(thing, things[thing]) for thing in kept], most))
    return found


def in_words(reasons: Mapping[str, Sequence[Reason]]) -> str:
    """``age: lego ×2 (+0.31), shoes (+0.05); gardens: soil (+0.60)``; empty where there are none."""
    return "; ".join(f"{name}: {', '.join(map(str, each))}" for name, each in reasons.items() if each)


def _reasons(answer: Answer, specs: Mapping[str, HeadSpec], kept: Sequence[tuple[str, int]], most: int) -> dict[str, list[Reason]]:
    said: dict[str, Any] = {}
    for head, spec in specs.items():
        if isinstance(spec, Choice):
            said[head] = answer.values[head][:, spec.labels.index(answer.columns[head][0])]
        elif isinstance(spec, Labels):
            said |= {
                name: answer.values[name] for name in spec.labels if answer.values.get(f"{name} choice", answer.values[name])[0] >= 0.5
            }
    found = {}
    for name, probability in said.items():
        effects = probability[0] - np.asarray(probability[1:], float)
        order = np.argsort(-effects, kind="stable")[:most]
        found[name] = [Reason(kept[at][0], kept[at][1], round(float(effects[at]), 4)) for at in order.tolist() if effects[at] >= LEAST]
    return found


def _things(context: Context, declared: contract.Table) -> tuple[dict[str, int], Callable[[str], Context]]:
    """The kinds of things in a history with how often each occurs, the newest first; and the context without one of them."""
    own = acts_of(context.subject.get("history"))
    if own:
        names = [act.rpartition(PATH)[2] for act in own]

        def of_row(thing: str) -> Context:
            rest = [act for act, name in zip(own, names, strict=True) if name != thing]
            table = pa.Table.from_pylist([{**context.subject.plain(), "history": rest or None}])
            return replace(context, subject=Row(table, 0, declared))

        return _counted(names), of_row
    columns = [context.acted(name) for name in ("search_term", "_kind", "_title", "item_id")]
    columns = [column or [None] * (context.stop - context.start) for column in columns]
    told = [clean(next((value for value in row if value), "")).rpartition(PATH)[2] for row in zip(*columns, strict=True)]

    def of_shop(thing: str) -> Context:
        rest = context.acts.slice(context.start, context.stop - context.start).filter(
            pa.array([name != thing for name in told], pa.bool_())
        )
        return replace(context, acts=rest, start=0, stop=rest.num_rows, held={})

    return _counted(told), of_shop


def _counted(names: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in reversed(names):
        if name:
            found[name] = found.get(name, 0) + 1
    return found
