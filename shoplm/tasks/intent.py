"""intent: what does a customer want, or is it something that this shop does not handle?

Learns from the user turns of a shop's chats, or from a file with ``text`` and ``intent`` (and ``is_oos``). With
``several=true`` a turn may hold several intents, parted by ``|``, and each is a yes or no of its own. Turns that are
out of scope teach no intent: a calibrated score tells them apart, its threshold is chosen on validation. The first
guess is always shown beside it, never hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplm.data.context import Context
from shoplm.data.shop import View
from shoplm.errors import DataError, did_you_mean
from shoplm.evaluate.calibrate import SETTING, Calibrating, calibrate, log_odds, log_probabilities
from shoplm.evaluate.calibration import platt, sigmoid, threshold_best_f1, threshold_for_recall
from shoplm.evaluate.decide import passed, thresholds
from shoplm.evaluate.metrics import AUROC, ECE, Accuracy, LogLoss, MacroF1, MicroF1
from shoplm.evaluate.several import all_right, average_precisions, mean_of, pooled
from shoplm.model.specs import Choice, HeadSpec, Labels
from shoplm.task import Answer, Fitted, FloatArray, Metric, Moments, Scores, Task, each_held
from shoplm.text.render import Prompt, Segment, clean

PARTED = "|"
"""Between the intents of one turn."""
SEVERAL = "several"
"""The word in ``Fitted.words`` of a model whose turns may hold several."""
SCOPE_KEPT = 0.95
"""Without out-of-scope turns to choose by, the share of in-scope turns that must count as in scope."""


class IntentSettings(Calibrating):
    """What intent learns."""

    target: str = "intent"
    """The column that holds the intent."""
    out_of_scope: str = "oos"
    """The value of that column that stands for "none of ours"; a true ``is_oos`` says the same."""
    several: bool = False
    """Whether a turn may hold several intents; the column then names them parted by `|`."""


@final
class Intent(Task):
    """Learns a turn's intent from its own words."""

    subject = "chats"
    needs = ("chats",)
    reads = ("content",)
    learning_share = 5 / 6
    fields: ClassVar[Mapping[str, str]] = {
        "text": "content",
        "utterance": "content",
        "query": "content",
        "message": "content",
        "label": "intent",
    }
    Settings = IntentSettings
    metrics: ClassVar[Mapping[str, Metric]] = {
        "accuracy": Accuracy("intent", "intent"),
        "macro_f1": MacroF1("intent", "intent"),
        "log_loss": LogLoss("intent", "intent"),
        "ece": ECE("intent", "intent"),
        "oos_auroc": AUROC("oos", "oos"),
        "oos_accuracy": Accuracy("oos", "oos"),
    }
    judge_by = "accuracy"

    def moments(self, view: View, settings: IntentSettings) -> Moments:
        """Every user turn with an intent; out-of-scope turns have none to learn."""
        columns = view.columns("chats")
        if settings.target not in columns:
            raise DataError(f"chats: no column `{settings.target}` to learn; {did_you_mean(settings.target, columns)}")
        marked = 'coalesce(try_cast("is_oos" as boolean), false)' if "is_oos" in columns else "false"
        split = 'cast("split" as varchar)' if "split" in columns else "cast(null as varchar)"
        none = settings.out_of_scope.replace("'", "''")
        rows = view.sql(
            f"""with turns as (
                  select _row, coalesce(epoch_us(created_at), 0) as at_us, content, {split} as split, channel, language,
                         cast("{settings.target}" as varchar) as said, {marked} as marked
                  from chats where role = 'user' and length(trim(content)) > 0)
                select *, said = '{none}' or marked as oos, case when said <> '{none}' and not marked then said end as intent
                from turns where said is not null or marked order by _row"""
        )
        own = _each(rows["intent"], _named(view, settings.target, none)) if settings.several else {"intent": rows["intent"]}
        targets = {**own, "oos": pc.cast(rows["oos"], pa.float64())}
        slices = {"channel": rows["channel"], "language": rows["language"]}
        return Moments(rows["_row"], rows["at_us"], targets, rows["content"], rows["split"], slices)

    def prompt(self, context: Context) -> Prompt:
        """The turn itself."""
        return Prompt((Segment(clean(context.subject.content)),))

    def heads(self, fitted: Fitted) -> Mapping[str, HeadSpec]:
        """One class an intent; where a turn may hold several, one yes or no an intent."""
        labels = tuple(fitted.labels["intent"])
        return {"intent": Labels(labels) if SEVERAL in fitted.words else Choice(labels)}

    def metrics_of(self, fitted: Fitted) -> Mapping[str, Metric]:
        """Where a turn may hold several: ``accuracy`` of whole answers, and F1 and average precision over intents."""
        if SEVERAL not in fitted.words:
            return self.metrics
        labels = fitted.labels["intent"]
        yes = [MicroF1(name, f"{name} choice", ignore=0) for name in labels]
        return {
            "accuracy": all_right([Accuracy(name, f"{name} choice") for name in labels]),
            "micro_f1": pooled(yes),
            "macro_f1": mean_of([(one, 1) for one in yes]),
            "mean_average_precision": mean_of([(one, 1) for one in average_precisions(labels)]),
            "ece": mean_of([(ECE(name, name), 1) for name in labels]),
            "oos_auroc": self.metrics["oos_auroc"],
            "oos_accuracy": self.metrics["oos_accuracy"],
        }

    def learn(self, targets: Mapping[str, pa.Array], settings: IntentSettings) -> Fitted:
        """The intents in the train rows."""
        if settings.several:
            return _learn_several(targets, settings)
        seen = sorted(set(pc.unique(targets["intent"].drop_null()).to_pylist()))
        if len(seen) < 2:
            held = f"only the intent `{seen[0]}`" if seen else "no intent at all"
            raise DataError(f"intent: the train rows hold {held}; give turns of at least two intents")
        return Fitted(labels={"intent": seen}, words={SETTING: settings.calibration})

    def choose(self, scores: Scores, targets: Mapping[str, Any], fitted: Fitted) -> Fitted:
        """The intents' probabilities on in-scope turns; then a line from energy to the probability of being out of scope, and its threshold.

        Without out-of-scope turns in validation the threshold keeps 95 % of the in-scope ones, and the
        probability is only an order.
        """
        fitted = calibrate(fitted, "intent", scores["intent"], targets["intent"])
        if SEVERAL in fitted.words:
            sure = sigmoid(log_odds(fitted, "intent", scores["intent"]))
            limits = thresholds(fitted.labels["intent"], sure, targets["intent"])
            fitted = fitted.model_copy(update={"numbers": {**fitted.numbers, **limits}})
        score = _strangeness(scores["intent"], several=SEVERAL in fitted.words)
        event = np.nan_to_num(np.asarray(targets["oos"], float), nan=-1.0).astype(np.int64)
        if (event == 1).any() and (event == 0).any():
            slope, offset = platt(score, event)
            found = sigmoid(slope * score + offset)
            numbers = {"slope": slope, "offset": offset, "threshold": threshold_best_f1(found, event)}
            words = {
                "scope": f"threshold chosen on {int((event == 1).sum())} out-of-scope and {int((event == 0).sum())} in-scope validation turns"
            }
        else:
            middle, spread = float(np.median(score)), float(score.std() or 1.0)
            slope, offset = 1 / spread, -middle / spread
            found = sigmoid(slope * score + offset)
            at = -threshold_for_recall(-found, np.ones(len(found), np.int64), SCOPE_KEPT)
            numbers = {
                "slope": slope,
                "offset": offset,
                "threshold": at + 1e-6,
            }  # a hair above the last one kept: float32 scores round by less
            words = {"scope": "no out-of-scope turns in validation: the threshold keeps 95 % of the in-scope ones"}
        return fitted.model_copy(update={"numbers": {**fitted.numbers, **numbers}, "words": {**fitted.words, **words}})

    def answer(self, scores: Scores, fitted: Fitted) -> Answer:
        """The likeliest intent with its probability, and whether the turn is in scope at all."""
        labels, numbers = fitted.labels["intent"], fitted.numbers
        several = SEVERAL in fitted.words
        line = numbers.get("slope", 1.0) * _strangeness(scores["intent"], several=several) + numbers.get("offset", 0.0)
        strange = sigmoid(line).astype(np.float32)
        threshold = numbers.get("threshold", 0.5)
        columns: dict[str, Any]
        values: dict[str, FloatArray]
        if several:
            columns, values = _several(log_odds(fitted, "intent", scores["intent"]), fitted)
        else:
            probabilities = np.exp(log_probabilities(fitted, "intent", scores["intent"])).astype(np.float32)
            values = {"intent": probabilities}
            columns = {
                "intent": [labels[at] for at in probabilities.argmax(1)],
                "probability": np.round(probabilities.max(1).astype(float), 4).tolist(),
            }
        columns |= {"in_scope": (strange < threshold).tolist(), "oos_probability": np.round(strange.astype(float), 4).tolist()}
        # a judge decides at 0.5: the line is shifted so that the threshold lies there
        shift = np.log(threshold / (1 - threshold)) if 0 < threshold < 1 else 0.0
        return Answer(columns, {**values, "oos": sigmoid(line - shift).astype(np.float32)})


def _named(view: View, target: str, none: str) -> list[str]:
    """Every intent that a turn of the whole view holds, in order."""
    rows = view.whole.sql(
        f"""select distinct trim(name) as name from
              (select unnest(string_split(cast("{target}" as varchar), '{PARTED}')) as name from chats where role = 'user')
            where length(trim(name)) > 0 and trim(name) <> '{none}' order by name"""
    )
    return [str(name) for name in rows["name"].to_pylist()]


def _each(said: pa.ChunkedArray, names: list[str]) -> dict[str, pa.Array]:
    """Of turns with their intents a column for each intent: 1 held, 0 not, null where nothing is known of the turn."""
    return {_safe(name): column for name, column in each_held(said, names, PARTED).items()}


def _safe(name: str) -> str:
    """An intent's name beside the other targets of a turn."""
    return f"{name}_" if name in ("intent", "oos") else name


def _learn_several(targets: Mapping[str, pa.Array], settings: IntentSettings) -> Fitted:
    """The intents that some train turn holds and some does not."""
    seen = [name for name, column in targets.items() if name != "oos" and set(column.drop_null().to_pylist()) == {0.0, 1.0}]
    if len(seen) < 2:
        held = f"only the intent `{seen[0]}`" if seen else "no intent that some turns hold and others do not"
        raise DataError(
            f"intent: the train rows hold {held}; give turns of at least two intents, parted by `{PARTED}` where a turn holds several"
        )
    return Fitted(labels={"intent": sorted(seen)}, words={SETTING: settings.calibration, SEVERAL: PARTED})


def _several(odds: FloatArray, fitted: Fitted) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """(M, C) log-odds -> the intents that reach their thresholds, the surest first and at least one; what metrics read."""
    labels = fitted.labels["intent"]
    sure, held = sigmoid(odds).astype(np.float32), passed(labels, odds, fitted.numbers)
    rows = np.arange(len(odds))
    first = held.argmax(1)
    held[rows, first] = np.maximum(held[rows, first], 0.5)
    order = np.argsort(-held, 1, kind="stable")
    said = [PARTED.join(labels[at] for at in line if held[row, at] >= 0.5) for row, line in enumerate(order)]
    columns = {"intent": said, "probability": np.round(sure[rows, first].astype(float), 4).tolist()}
    values: dict[str, FloatArray] = {}
    for at, name in enumerate(labels):
        values |= {name: sure[:, at], f"{name} choice": held[:, at]}
    return columns, values


def _strangeness(logits: FloatArray, *, several: bool) -> FloatArray:
    """(M, C) -> (M): high where no intent speaks up.

    The free energy -log Σ exp(logit) (Liu et al., 2020); where each intent is a yes or no of its own the sum of their
    free energies, -Σ log(1 + exp(logit)) (Wang et al., 2021).
    """
    found: FloatArray
    if several:
        found = -np.logaddexp(0.0, logits).sum(1)
        return found
    top = logits.max(1, keepdims=True)
    found = -(top[:, 0] + np.log(np.exp(logits - top).sum(1)))
    return found


TASK = Intent()
