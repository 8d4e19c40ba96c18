"""intent: what does a customer want, or is it something that this shop does not handle?

Learns from the user turns of a shop's chats, or from a file with ``text`` and ``intent`` (and ``is_oos``).
Turns that are out of scope teach no intent: a calibrated score tells them apart, its threshold is chosen
on validation. The first guess is always shown beside it, never hidden.
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
from shoplm.evaluate.calibrate import SETTING, Calibrating, calibrate, log_probabilities
from shoplm.evaluate.calibration import platt, threshold_best_f1, threshold_for_recall
from shoplm.evaluate.metrics import AUROC, ECE, Accuracy, LogLoss, MacroF1
from shoplm.model.specs import Choice, HeadSpec
from shoplm.task import Answer, Fitted, FloatArray, Metric, Moments, Scores, Task
from shoplm.text.render import Prompt, Segment, clean

SCOPE_KEPT = 0.95
"""Without out-of-scope turns to choose by, the share of in-scope turns that must count as in scope."""


class IntentSettings(Calibrating):
    """What intent learns."""

    target: str = "intent"
    """The column that holds the intent."""
    out_of_scope: str = "oos"
    """The value of that column that stands for "none of ours"; a true ``is_oos`` says the same."""


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
        targets = {"intent": rows["intent"], "oos": pc.cast(rows["oos"], pa.float64())}
        slices = {"channel": rows["channel"], "language": rows["language"]}
        return Moments(rows["_row"], rows["at_us"], targets, rows["content"], rows["split"], slices)

    def prompt(self, context: Context) -> Prompt:
        """The turn itself."""
        return Prompt((Segment(clean(context.subject.content)),))

    def heads(self, fitted: Fitted) -> Mapping[str, HeadSpec]:
        """One class an intent."""
        return {"intent": Choice(tuple(fitted.labels["intent"]))}

    def learn(self, targets: Mapping[str, pa.Array], settings: IntentSettings) -> Fitted:
        """The intents in the train rows."""
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
        score = _strangeness(scores["intent"])
        event = np.nan_to_num(np.asarray(targets["oos"], float), nan=-1.0).astype(np.int64)
        if (event == 1).any() and (event == 0).any():
            slope, offset = platt(score, event)
            found = 1 / (1 + np.exp(-(slope * score + offset)))
            numbers = {"slope": slope, "offset": offset, "threshold": threshold_best_f1(found, event)}
            words = {
                "scope": f"threshold chosen on {int((event == 1).sum())} out-of-scope and {int((event == 0).sum())} in-scope validation turns"
            }
        else:
            middle, spread = float(np.median(score)), float(score.std() or 1.0)
            slope, offset = 1 / spread, -middle / spread
            found = 1 / (1 + np.exp(-(slope * score + offset)))
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
        probabilities = np.exp(log_probabilities(fitted, "intent", scores["intent"])).astype(np.float32)
        line = numbers.get("slope", 1.0) * _strangeness(scores["intent"]) + numbers.get("offset", 0.0)
        strange = (1 / (1 + np.exp(-line))).astype(np.float32)
        threshold = numbers.get("threshold", 0.5)
        columns = {
            "intent": [labels[at] for at in probabilities.argmax(1)],
            "probability": np.round(probabilities.max(1).astype(float), 4).tolist(),
            "in_scope": (strange < threshold).tolist(),
            "oos_probability": np.round(strange.astype(float), 4).tolist(),
        }
        # a judge decides at 0.5: the line is shifted so that the threshold lies there
        shift = np.log(threshold / (1 - threshold)) if 0 < threshold < 1 else 0.0
        return Answer(columns, {"intent": probabilities, "oos": (1 / (1 + np.exp(-(line - shift)))).astype(np.float32)})


def _strangeness(logits: FloatArray) -> FloatArray:
    """(M, C) -> (M) the free energy -log Σ exp(logit): high where no intent speaks up (Liu et al., 2020)."""
    top = logits.max(1, keepdims=True)
    found: FloatArray = -(top[:, 0] + np.log(np.exp(logits - top).sum(1)))
    return found


TASK = Intent()
