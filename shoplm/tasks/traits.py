"""traits: what kind of person is this shopper, by what the shopper does? Several traits at once, some of them unknown.

Learns from a shop's shoppers whose traits are known: a segment, a column of ``users``, or the ``labels`` table. Or from a
file with ``text`` or ``history`` and a column for each trait. A trait is one of several values (an exclusive group, such
as an age band) or a yes or no of its own (a label, such as "has a garden").

The backbone reads the shopper's last acts, the newest first; how often each kind of thing occurs stands beside them.
Never more than that: one trait is not read to tell another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, final

import numpy as np
import pyarrow as pa
import pydantic

from shoplm.data import contract
from shoplm.data.context import Context
from shoplm.data.convert import name_in_sql, text_in_sql
from shoplm.data.shop import View
from shoplm.errors import DataError, did_you_mean
from shoplm.evaluate.calibrate import SETTING, Calibrating, calibrate, log_odds, log_probabilities
from shoplm.evaluate.calibration import sigmoid
from shoplm.evaluate.decide import best_favours, favoured, passed, thresholds
from shoplm.evaluate.metrics import AUROC, ECE, MacroF1, MicroF1, missing
from shoplm.evaluate.several import average_precisions, mean_of, pooled
from shoplm.model.specs import Choice, HeadSpec, Labels
from shoplm.task import NO, YES, Answer, Fitted, FloatArray, Metric, Moments, Scores, Task, verdicts
from shoplm.text.render import ACTS, PATH, Prompt, Segment, acts_of, clean, habits

NAME = "traits"
LABELS = "labels"
"""The head of all traits that are yes or no, and the column that answers which of them hold."""
MOST_VALUES = 30
"""A column of more values is a group only where the settings name it."""
ROWS_A_VALUE = 5
"""So is one with fewer train rows for each of its values, unless it has but two."""
MOST_TRAITS = 64
"""Segments, or names in the ``labels`` table, that are learnt without being named; the commonest."""
LATELY = 12
"""Titles of the newest things that are told beside the kinds."""


class TraitsSettings(Calibrating):
    """What traits learns."""

    groups: tuple[str, ...] | None = None
    """Traits that have one of several values. With neither ``groups`` nor ``labels`` all are found: a column of few values is one, yes and no make a label."""
    labels: tuple[str, ...] | None = None
    """Traits that are yes or no, independent of one another: columns, or segments of a shop's shoppers."""
    features: tuple[str, ...] | None = None
    """What stands beside the text: the task's own, or columns of a plain file; None = all of the task's own, [] = none."""

    @pydantic.field_validator("groups", "labels", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """``groups=age,gender`` is a list."""
        return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value

    @property
    def asked(self) -> tuple[str, ...] | None:
        """The traits that are asked for; None = all that are found."""
        return None if self.groups is None and self.labels is None else (*(self.groups or ()), *(self.labels or ()))


@final
class Traits(Task):
    """Learns a shopper's traits from the acts of the shopper."""

    subject = "users"
    needs = ("users", "events")
    acts = ("search", "select_item", "view_item", "add_to_wishlist", "add_to_cart", "purchase", "refund")
    last = 200
    reads = ("history", "text")
    plain = ("history", "text", "split")
    keys = ("user_id",)
    numbered = "user_id"
    fields: ClassVar[Mapping[str, str]] = {"behaviour": "history", "behavior": "history", "acts": "history", "basket": "history"}
    features = ("things", "acts", "kinds", "usual_price")
    Settings = TraitsSettings
    judge_by = "macro_f1"

    def moments(self, view: View, settings: TraitsSettings) -> Moments:
        """Every shopper of the part who has acted, or every row of a plain file, with the traits as far as they are known."""
        if set(self.reads) & set(view.columns("users")):
            return _plain(view, settings)
        return _of_shop(view, settings)

    def prompt(self, context: Context) -> Prompt:
        """The acts, newest first; of a plain row its own words."""
        subject = context.subject
        text = clean(subject.get("text"))
        given = acts_of(subject.get("history"))
        columns = {
            name: _feature(value) for name, value in subject.plain().items() if name not in _NO_FEATURES and not name.startswith("_")
        }
        own = {name: value for name, value in columns.items() if value is not None}
        if text or given:
            words = tuple(clean(step).lower() for act in given for step in act.split(PATH) if clean(step))
            beside: dict[str, float | str | tuple[str, ...]] = {**own}
            if given:
                beside |= {"things": words, "acts": float(len(given)), "kinds": float(len({*given}))}
            parts = (Segment(text, 2), Segment(habits(given[-self.last :])))
            return Prompt(tuple(part for part in parts if part.text), beside)
        return _habits_of(context)

    def heads(self, fitted: Fitted) -> Mapping[str, HeadSpec]:
        """A choice for each group, and one head for all that is yes or no."""
        width, settled = fitted.features.width, bool(fitted.features.bags)
        found: dict[str, HeadSpec] = {name: Choice(tuple(fitted.labels[name]), features=width, settled=settled) for name in _groups(fitted)}
        if LABELS in fitted.labels:
            found[LABELS] = Labels(tuple(fitted.labels[LABELS]), features=width, settled=settled)
        return found

    def metrics_of(self, fitted: Fitted) -> Mapping[str, Metric]:
        """The mean over traits, all decisions together, and each trait by itself.

        ``macro_f1`` is the mean over traits of a group's macro-F1 and a label's F1 of the yes.
        """
        groups, labels = _groups(fitted), fitted.labels.get(LABELS, ())
        precisions = average_precisions(labels)
        each = [(MacroF1(name, f"{name} choice"), len(fitted.labels[name])) for name in groups]
        yes = [MicroF1(name, f"{name} choice", ignore=0) for name in labels]
        found: dict[str, Metric] = {
            "macro_f1": mean_of([*each, *((one, 1) for one in yes)]),
            "micro_f1": pooled([*(MicroF1(name, f"{name} choice") for name in groups), *yes]),
        }
        if labels:
            found["mean_average_precision"] = mean_of([(one, 1) for one in precisions])
        for name, (macro, _) in zip(groups, each, strict=True):
            found[f"{name}_macro_f1"] = macro
            if len(fitted.labels[name]) == 2:
                found[f"{name}_roc_auc"] = AUROC(name, f"{name} event")
            found[f"{name}_ece"] = ECE(name, name)
        for name, metric, precision in zip(labels, yes, precisions, strict=True):
            found |= {f"{name}_f1": metric, f"{name}_average_precision": precision, f"{name}_ece": ECE(name, name)}
        return found

    def learn(self, targets: Mapping[str, pa.Array], settings: TraitsSettings) -> Fitted:
        """Which columns are groups and which yes or no, the values of each and how common they are."""
        groups: dict[str, Counter[str]] = {}
        shares: dict[str, float] = {}
        unfit: list[str] = []
        for name, column in targets.items():
            counts = Counter(column.drop_null().to_pylist())
            kind = _kind(name, counts, settings)
            if kind == "group":
                groups[name] = counts
            elif kind == "label":
                yes = sum(count for word, count in counts.items() if word.strip().lower() in YES)
                shares[name] = yes / sum(counts[word] for word in counts if word.strip().lower() in YES | NO)
            elif name in {_safe(each) for each in settings.asked or ()}:
                raise DataError(
                    f"traits: `{name}` cannot be learnt: {kind}; give train rows of two values at least, or leave it out of the settings"
                )
            elif counts:
                unfit.append(f"`{name}` ({kind})")
        if not groups and not shares:
            raise DataError(
                f"traits: nothing to learn in the train rows: {', '.join(unfit) or 'no column of a trait'}; name traits with groups= or labels="
            )
        labels: dict[str, list[str]] = {name: sorted(counts) for name, counts in groups.items()}
        numbers = {
            f"prior:{name}:{value}": counts[value] / sum(counts.values()) for name, counts in groups.items() for value in labels[name]
        }
        numbers |= {f"share:{name}": share for name, share in shares.items()}
        if shares:
            labels[LABELS] = list(shares)
        return Fitted(labels=labels, numbers=numbers, words={SETTING: settings.calibration, "not learnt": ", ".join(unfit)})

    def choose(self, scores: Scores, targets: Mapping[str, Any], fitted: Fitted) -> Fitted:
        """What makes each trait's probabilities honest, how far its rare values are favoured, from when on a label is a yes."""
        numbers = dict(fitted.numbers)
        worth: dict[str, Callable[[float], float]] = {}
        for name in _groups(fitted):
            if name in targets:
                fitted = calibrate(fitted, name, scores[name], targets[name])
                logs, shares = log_probabilities(fitted, name, scores[name]), _shares(fitted, name)
                worth[name] = partial(_macro_f1_at, name, logs, shares, targets[name])
        favours = best_favours(worth, {name: int((~missing(targets[name])).sum()) for name in worth})
        numbers |= {f"favour:{name}": favour for name, favour in favours.items()}
        if LABELS in fitted.labels and LABELS in targets:
            fitted = calibrate(fitted, LABELS, scores[LABELS], targets[LABELS])
            sure = sigmoid(log_odds(fitted, LABELS, scores[LABELS]))
            numbers |= thresholds(fitted.labels[LABELS], sure, targets[LABELS])
        return fitted.model_copy(update={"numbers": numbers})

    def answer(self, scores: Scores, fitted: Fitted) -> Answer:
        """Each group's value with its probability, which labels hold, and the probability of each of them.

        The value is the likeliest once rare ones are favoured as validation chose; a label holds from its own threshold
        on. Probabilities stay as they are.
        """
        columns: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for name in _groups(fitted):
            labels = fitted.labels[name]
            logs = log_probabilities(fitted, name, scores[name])
            probability = np.exp(logs).astype(np.float32)
            choice = favoured(logs, _shares(fitted, name), fitted.numbers.get(f"favour:{name}", 0.0))
            best = choice.argmax(1)
            columns[name] = [labels[at] for at in best]
            columns[f"{name}_probability"] = np.round(probability[np.arange(len(best)), best].astype(float), 4).tolist()
            values |= {name: probability, f"{name} choice": choice}
            if len(labels) == 2:
                values[f"{name} event"] = probability[:, 1]
        if LABELS in fitted.labels:
            names = fitted.labels[LABELS]
            odds = log_odds(fitted, LABELS, scores[LABELS])
            sure, held = sigmoid(odds).astype(np.float32), passed(names, odds, fitted.numbers)
            columns[LABELS] = [", ".join(name for name, holds in zip(names, row, strict=True) if holds) for row in held >= 0.5]
            for at, name in enumerate(names):
                columns[f"{name}_probability"] = np.round(sure[:, at].astype(float), 4).tolist()
                values |= {name: sure[:, at], f"{name} choice": held[:, at]}
        return Answer(columns, values)


def _macro_f1_at(name: str, logs: FloatArray, shares: FloatArray, target: Any, favour: float) -> float:
    metric = MacroF1(name, name)
    return metric.point({name: target}, {name: favoured(logs, shares, favour)})


def _groups(fitted: Fitted) -> list[str]:
    return [name for name in fitted.labels if name != LABELS]


def _shares(fitted: Fitted, name: str) -> Any:
    return np.array([fitted.numbers.get(f"prior:{name}:{value}", 1.0) for value in fitted.labels[name]])


def _kind(name: str, counts: Counter[str], settings: TraitsSettings) -> str:
    """``group``, ``label``, or why it is neither."""
    words = {word.strip().lower() for word in counts}
    truths = {word in YES for word in words & (YES | NO)}
    if settings.asked is not None:
        if name in {_safe(each) for each in settings.labels or ()}:
            if words - YES - NO:
                return f"the value `{sorted(words - YES - NO)[0]}` is neither yes nor no"
            return "label" if len(truths) == 2 else "no yes and no among its values"
        return "group" if len(counts) > 1 else "fewer than two values"
    if words and not words - YES - NO:
        return "label" if len(truths) == 2 else "the same in all rows"
    if len(counts) < 2:
        return "fewer than two values"
    if len(counts) > MOST_VALUES or len(counts) > max(2, sum(counts.values()) // ROWS_A_VALUE):
        return f"{len(counts):,} different values"
    return "group"


def _safe(name: str) -> str:
    """A trait's name as that of its head, which has no dot and is not that of all labels."""
    found = name.replace(".", "_")
    return f"{found}_" if found == LABELS else found


def _feature(value: Any) -> float | str | None:
    """A plain row's own column, as a feature to choose from."""
    if isinstance(value, str):
        return value
    return None if isinstance(value, list | dict) or not isinstance(value, int | float) else float(value)


_CONTRACT = {column.name for column in contract.USERS.columns}
_NOT_TRAITS = {*Traits.plain, *_CONTRACT, "source", "ingested_at", "row_digest"}
_NO_FEATURES = {*Traits.plain, *Traits.features, "user_id", "attributes", "segments", "source", "ingested_at", "row_digest"}


def _habits_of(context: Context) -> Prompt:
    """A shop's shopper: what was done with which kinds of things, then the newest things themselves; and how much of it."""
    names, kinds, titles = context.acted("event_name"), context.acted("_kind"), context.acted("_title")
    terms, brands, items = context.acted("search_term"), context.acted("_brand"), context.acted("item_id")
    told: list[str] = []
    words: list[str] = []
    for act, kind, title, term, brand, item in zip(names, kinds, titles, terms, brands, items, strict=True):
        thing = clean(term if act == "search" else kind or title or item)
        if not thing:
            continue
        thing = thing.rpartition(PATH)[2] if act != "search" else thing
        done = f"{ACTS.get(act, act)} {thing}"
        told.append(done)
        words += [thing.lower(), done.lower()] if act != "search" else [f"searched {word}" for word in thing.lower().split()]
        words += [clean(brand).lower()] if brand else []
    newest = [title for title, kind in zip(reversed(titles), reversed(kinds), strict=True) if title and kind]
    lately = list(dict.fromkeys(map(clean, newest)))[:LATELY]
    parts = (Segment(habits(told), 2), Segment(f"Lately {', '.join(lately)}." if lately else ""))
    paid = [price for price in context.acted("_price") if price is not None and price > 0]
    found: dict[str, float | tuple[str, ...]] = {"acts": float(len(names)), "kinds": float(len({kind for kind in kinds if kind}))}
    if words:
        found["things"] = tuple(words)
    if paid:
        found["usual_price"] = float(np.median(paid))
    return Prompt(tuple(part for part in parts if part.text), found)


def _plain(view: View, settings: TraitsSettings) -> Moments:
    """The rows of a plain file that have words, each other column a trait."""
    columns = [name for name in view.columns("users") if not name.startswith("_")]
    beside = set(settings.features or ())
    wanted = _wanted(settings, _found(view, [name for name in columns if name not in beside]), columns)
    words = [_text(name) for name in Traits.reads if name in columns]
    split = _text("split") if "split" in columns else "cast(null as varchar)"
    each = "".join(f", {_text(name)} as t{at}" for at, name in enumerate(wanted))
    rows = view.sql(
        f"""select _row, coalesce(epoch_us(created_at), 0) as at_us, concat_ws(' ', {", ".join(words)}) as words, {split} as split{each}
            from users where coalesce({", ".join(words)}) is not null order by _row"""
    )
    targets = {_safe(name): rows[f"t{at}"].combine_chunks() for at, name in enumerate(wanted)}
    return Moments(rows["_row"], rows["at_us"], targets, rows["words"], rows["split"])


def _of_shop(view: View, settings: TraitsSettings) -> Moments:
    """The part's shoppers who have acted, asked about after the newest act that the shop knows."""
    judged = _judged(view)
    columns = [name for name in view.columns("users") if not name.startswith("_")]
    segments = _segments(view)
    found = list(judged) if judged else [*_found(view, columns), *segments]
    wanted = _wanted(settings, found, [*columns, *segments, *judged])
    said = {name: _text(name) for name in columns}
    said |= {
        name: f"case when segments is not null then case when list_contains(segments, {text_in_sql(name)}) then 'yes' else 'no' end end"
        for name in segments
        if name not in said
    }
    said |= {name: f"t{at}" for at, name in enumerate(judged)}
    each = "".join(f", {said[name]} as target{at}" for at, name in enumerate(wanted))
    names = ", ".join(map(text_in_sql, Traits.acts))
    over = "".join(f", max(case when name = {text_in_sql(name)} then value end) as t{at}" for at, name in enumerate(judged))
    rows = view.sql(
        f"""with judged as (
              select subject, max(split) as split{over} from (
                {verdicts(NAME)})
              group by subject),
            acted as (
              select distinct coalesce(user_id, user_pseudo_id) as who from events
              where event_name in ({names}) and coalesce(user_id, user_pseudo_id) in (select user_id from users))
            select _row, user_id, membership, country, language, judged.split{each},
                   (select coalesce(epoch_us(max(event_time)), 0) + 1 from events) as at_us
            from users join acted on acted.who = users.user_id left join judged on judged.subject = users.user_id order by _row"""
    )
    targets = {_safe(name): rows[f"target{at}"].combine_chunks() for at, name in enumerate(wanted)}
    slices = {name: rows[name] for name in ("membership", "country", "language") if _safe(name) not in targets}
    return Moments(rows["_row"], rows["at_us"], targets, rows["user_id"], rows["split"], slices)


def _wanted(settings: TraitsSettings, found: Sequence[str], known: Sequence[str]) -> list[str]:
    """The traits to be learnt, as the settings name them, else all that were found.

    Raises:
        DataError: a named one is not there, or there is none.
    """
    if settings.asked is not None:
        for name in settings.asked:
            if name not in known:
                raise DataError(
                    f"users: no trait `{name}` to learn; {did_you_mean(name, [name for name in known if name not in Traits.plain])}"
                )
    wanted = list(dict.fromkeys(found if settings.asked is None else settings.asked))
    if not wanted:
        raise DataError(
            "users: no trait to learn; expected a column for each beside text or history, in a shop segments, further columns of users, "
            f"or labels of the task `{NAME}`"
        )
    return wanted


def _found(view: View, columns: Sequence[str]) -> list[str]:
    """The columns that may be traits without being named: those that are a shop's own, and the membership where there is one."""
    own = [name for name in columns if name not in _NOT_TRAITS]
    if "membership" in columns and view.whole.sql("select 1 as one from users where membership is not null limit 1").num_rows:
        own.insert(0, "membership")
    return own


def _text(name: str) -> str:
    return f"nullif(trim(cast({name_in_sql(name)} as varchar)), '')"


def _segments(view: View) -> list[str]:
    """The shop's segments, the commonest first."""
    rows = view.whole.sql(
        f"""select name from (select unnest(segments) as name from users) where name is not null
            group by name order by count(*) desc, name limit {MOST_TRAITS}"""
    )
    return [str(name) for name in rows["name"].to_pylist()]


def _judged(view: View) -> list[str]:
    """The traits that the ``labels`` table knows of, the commonest first."""
    if not view.has("labels"):
        return []
    rows = view.whole.sql(f"select name from labels where task = '{NAME}' group by name order by count(*) desc, name limit {MOST_TRAITS}")
    return [str(name) for name in rows["name"].to_pylist()]


TASK = Traits()
