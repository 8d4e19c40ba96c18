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

from shoplm.config import Config
from shoplm.data.context import Context
from shoplm.data.shop import View
from shoplm.errors import DataError, did_you_mean
from shoplm.evaluate.calibration import log_softmax, temperature
from shoplm.evaluate.metrics import AUROC, ECE, MAE, RMSE, Accuracy, LogLoss, MacroF1
from shoplm.model.heads import Choice, HeadSpec, Score
from shoplm.task import Answer, Fitted, Metric, Moments, Scores, Task
from shoplm.text.render import Prompt, titled

MOODS = ("negative", "neutral", "positive")


class SentimentSettings(Config):
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
    fields: ClassVar[Mapping[str, str]] = {"text": "body", "review": "body", "review_text": "body", "stars": "rating"}
    defaults: ClassVar[Mapping[str, str]] = {"item_id": "unknown"}
    Settings = SentimentSettings
    metrics: ClassVar[Mapping[str, Metric]] = {
        "macro_f1": MacroF1("label", "label"),
        "accuracy": Accuracy("label", "label"),
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
        numbers = {} if stars is None or stars.null_count == len(stars) else {"low": 1.0, "high": 5.0}
        return Fitted(labels={"label": labels}, numbers=numbers, words={"target": settings.target or ""})

    def choose(self, scores: Scores, targets: Mapping[str, Any], fitted: Fitted) -> Fitted:
        """The temperature that makes the probabilities honest."""
        found = temperature(scores["label"], targets["label"])
        return fitted.model_copy(update={"numbers": {**fitted.numbers, "temperature": found}})

    def answer(self, scores: Scores, fitted: Fitted) -> Answer:
        """The likeliest class with its probability, and the stars."""
        labels = fitted.labels["label"]
        probabilities = np.exp(log_softmax(scores["label"] / fitted.numbers.get("temperature", 1.0))).astype(np.float32)
        best = probabilities.argmax(1)
        columns: dict[str, Any] = {
            "label": [labels[at] for at in best],
            "probability": np.round(probabilities.max(1).astype(float), 4).tolist(),
        }
        values = {"label": probabilities}
        if len(labels) == 2:
            values["event"] = probabilities[:, 1]
        if "stars" in scores.values:
            columns["stars"] = np.round(scores["stars"].astype(float), 2).tolist()
            values["stars"] = scores["stars"]
        return Answer(columns, values)


def _said(seen: set[str]) -> str:
    return "no value at all" if not seen else f"only the value `{next(iter(seen))}`"


TASK = Sentiment()
