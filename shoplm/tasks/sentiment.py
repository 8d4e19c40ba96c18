"""sentiment: is a review positive, neutral or negative, and how many stars does it give?

Learns from a shop's reviews, or from a file with ``text`` (and ``title``) and ``rating`` or ``label``.
With ``target=COLUMN`` it learns that column's values instead (``recommended``, ``verified_purchase``, …).
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
from shoplm.evaluate.decide import best_favour, favoured
from shoplm.evaluate.metrics import AUROC, ECE, MAE, RMSE, Accuracy, LogLoss, MacroF1
from shoplm.model.specs import Choice, HeadSpec, Score
from shoplm.task import Answer, Fitted, Metric, Moments, Scores, Task
from shoplm.text.render import Prompt, titled

MOODS = ("negative", "neutral", "positive")


class SentimentSettings(Calibrating):
    """What sentiment learns."""

    target: str | None = None
    """A column of the reviews whose values are the classes; None = ``label`` if there is one, else the stars' mood."""
    stars: bool = True
    """Learn the number of stars beside the class, where there are ratings and no other target is named."""


@final
class Sentiment(Task):
    """Learns mood and stars from a review's own words."""

    subject = "reviews"
    needs = ("reviews",)
    reads = ("body", "title")
    learning_share = 1.0
    fields: ClassVar[Mapping[str, str]] = {"text": "body", "review": "body", "review_text": "body", "stars": "rating"}
    defaults: ClassVar[Mapping[str, str]] = {"item_id": "unknown"}
    Settings = SentimentSettings
    metrics: ClassVar[Mapping[str, Metric]] = {
        "macro_f1": MacroF1("label", "choice"),
        "accuracy": Accuracy("label", "choice"),
        "roc_auc": AUROC("label", "event"),
        "log_loss": LogLoss("label", "label"),
        "ece": ECE("label", "label"),
        "rmse": RMSE("stars", "stars"),
        "mae": MAE("stars", "stars"),
    }
    judge_by = "macro_f1"

    def moments(self, view: View, settings: SentimentSettings) -> Moments:
        """One to two stars are negative, three neutral, four to five positive; no words, no moment."""
        columns = view.columns("reviews")
        if settings.target is not None and settings.target not in columns:
            raise DataError(f"reviews: no column `{settings.target}` to learn; {did_you_mean(settings.target, columns)}")
        chosen = settings.target or ("label" if "label" in columns else None)
        label = f'cast("{chosen}" as varchar)' if chosen else (
            "case when rating <= 2 then 'negative' when rating < 4 then 'neutral' when rating is not null then 'positive' end"
        )  # fmt: skip
        split = 'cast("split" as varchar)' if "split" in columns else "cast(null as varchar)"
        rows = view.sql(
            f"""select _row, coalesce(epoch_us(created_at), 0) as at_us, {label} as label, cast(rating as double) as stars,
                       concat_ws(' ', title, body) as words, {split} as split, language, source
                from reviews where length(trim(concat_ws(' ', title, body))) > 0 order by _row"""
        )
        targets = {"label": rows["label"]}
        if settings.stars and settings.target is None:
            targets["stars"] = rows["stars"]
        slices = {"language": rows["language"], "source": rows["source"]}
        return Moments(rows["_row"], rows["at_us"], targets, rows["words"], rows["split"], slices)

    def prompt(self, context: Context) -> Prompt:
        """The title is kept; only the body may be cut."""
        review = context.subject
        return Prompt(titled(review.title, review.body))

    def heads(self, fitted: Fitted) -> Mapping[str, HeadSpec]:
        """The class, and the stars where they were learnt."""
        found: dict[str, HeadSpec] = {"label": Choice(tuple(fitted.labels["label"]))}
        if "low" in fitted.numbers:
            found["stars"] = Score("regression", fitted.numbers["low"], fitted.numbers["high"])
        return found

    def learn(self, targets: Mapping[str, pa.Array], settings: SentimentSettings) -> Fitted:
        """The classes in the train rows; moods keep their natural order."""
        seen = set(pc.unique(targets["label"].drop_null()).to_pylist())
        if len(seen) < 2:
            what = settings.target or "label or rating"
            raise DataError(f"sentiment: the train rows hold {_said(seen)} of `{what}`; give rows of at least two classes")
        labels = [mood for mood in MOODS if mood in seen] if seen <= set(MOODS) else sorted(seen)
        stars = targets.get("stars")
        held = pc.value_counts(targets["label"].drop_null())
        counts = {row["values"].as_py(): row["counts"].as_py() for row in held}
        numbers = {f"prior:{label}": counts[label] / sum(counts.values()) for label in labels}
        numbers |= {} if stars is None or stars.null_count == len(stars) else {"low": 1.0, "high": 5.0}
        return Fitted(labels={"label": labels}, numbers=numbers, words={"target": settings.target or "", SETTING: settings.calibration})

    def choose(self, scores: Scores, targets: Mapping[str, Any], fitted: Fitted) -> Fitted:
        """What makes the probabilities honest; for moods, how far rare classes are favoured in the decision."""
        fitted = calibrate(fitted, "label", scores["label"], targets["label"])
        if fitted.words.get("target"):
            return fitted

        def tried(favour: float) -> Fitted:
            return fitted.model_copy(update={"numbers": {**fitted.numbers, "favour": favour}})

        metric = self.metrics["macro_f1"]
        return tried(best_favour(lambda favour: metric.point(targets, self.answer(scores, tried(favour)).values)))

    def answer(self, scores: Scores, fitted: Fitted) -> Answer:
        """The class with its probability, and the stars.

        The class is the likeliest once the rare ones are favoured as validation chose: argmax of
        log p(class) - favour · log share(class) (Menon et al., 2021). Probabilities stay as they are.
        """
        labels, numbers = fitted.labels["label"], fitted.numbers
        logs = log_probabilities(fitted, "label", scores["label"])
        shares = np.array([numbers.get(f"prior:{label}", 1.0) for label in labels])
        choice = favoured(logs, shares, numbers.get("favour", 0.0))
        probabilities = np.exp(logs).astype(np.float32)
        best = choice.argmax(1)
        columns: dict[str, Any] = {
            "label": [labels[at] for at in best],
            "probability": np.round(probabilities[np.arange(len(best)), best].astype(float), 4).tolist(),
        }
        values = {"label": probabilities, "choice": choice}
        if len(labels) == 2:
            values["event"] = probabilities[:, 1]
        if "stars" in scores.values:
            columns["stars"] = np.round(scores["stars"].astype(float), 2).tolist()
            values["stars"] = scores["stars"]
        return Answer(columns, values)


def _said(seen: set[str]) -> str:
    return "no value at all" if not seen else f"only the value `{next(iter(seen))}`"


TASK = Sentiment()
