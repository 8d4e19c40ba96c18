"""sentiment: is a review positive, neutral or negative, how many stars does it give, and what does it say of each aspect?

Learns from a shop's reviews, or from a file with ``text`` (and ``title``) and ``rating`` or ``label``.
With ``target=COLUMN`` it learns that column's values instead (``recommended``, ``verified_purchase``, …).

Aspects are learnt where some reviews tell them: a column ``aspects`` such as ``fit:negative|price:positive`` (or
``none``, where a review speaks of none), or the ``labels`` table, a row for each aspect of a review (task ``sentiment``,
name the aspect, value its mood). Each aspect with its mood is a yes or no of its own; where nothing is told, nothing is
learnt of either.
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
from shoplm.evaluate.calibration import sigmoid
from shoplm.evaluate.decide import best_favour, favoured, passed, thresholds
from shoplm.evaluate.metrics import AUROC, ECE, MAE, RMSE, Accuracy, LogLoss, MacroF1, MicroF1
from shoplm.evaluate.several import average_precisions, mean_of, pooled
from shoplm.model.specs import Choice, HeadSpec, Labels, Score
from shoplm.task import Answer, Fitted, Metric, Moments, Scores, Task, each_held, verdicts
from shoplm.text.render import Prompt, titled

MOODS = ("negative", "neutral", "positive")
ASPECTS = "aspects"
"""The column and the head of what a review says of its aspects."""
PARTED = "|"
"""Between the aspects of one review,"""
SAID = ":"
"""and between an aspect and its mood."""
FEWEST = 5
"""Train reviews that must say a thing of an aspect before it is learnt."""


class SentimentSettings(Calibrating):
    """What sentiment learns."""

    target: str | None = None
    """A column of the reviews whose values are the classes; None = ``label`` if there is one, else the stars' mood."""
    stars: bool = True
    """Learn the number of stars beside the class, where there are ratings and no other target is named."""
    aspects: bool = True
    """Learn what is said of each aspect, where some reviews tell it and no other target is named."""


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
        if settings.aspects and settings.target is None:
            targets |= _aspects(view, rows["_row"])
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
        if ASPECTS in fitted.labels:
            found[ASPECTS] = Labels(tuple(fitted.labels[ASPECTS]))
        return found

    def metrics_of(self, fitted: Fitted) -> Mapping[str, Metric]:
        """Where aspects were learnt also F1 over all they are said of, its mean over aspects and moods, and mean average precision."""
        said = fitted.labels.get(ASPECTS, ())
        if not said:
            return self.metrics
        yes = [MicroF1(name, f"{name} choice", ignore=0) for name in said]
        return {
            **self.metrics,
            "aspects_micro_f1": pooled(yes),
            "aspects_macro_f1": mean_of([(one, 1) for one in yes]),
            "aspects_mean_average_precision": mean_of([(one, 1) for one in average_precisions(said)]),
        }

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
        said = [name for name, column in targets.items() if SAID in name and _tells(column)]
        return Fitted(
            labels={"label": labels, **({ASPECTS: said} if said else {})},
            numbers=numbers,
            words={"target": settings.target or "", SETTING: settings.calibration},
        )

    def choose(self, scores: Scores, targets: Mapping[str, Any], fitted: Fitted) -> Fitted:
        """What makes the probabilities honest; for moods, how far rare classes are favoured in the decision."""
        fitted = calibrate(fitted, "label", scores["label"], targets["label"])
        if ASPECTS in fitted.labels and ASPECTS in targets:
            fitted = calibrate(fitted, ASPECTS, scores[ASPECTS], targets[ASPECTS])
            sure = sigmoid(log_odds(fitted, ASPECTS, scores[ASPECTS]))
            limits = thresholds(fitted.labels[ASPECTS], sure, targets[ASPECTS])
            fitted = fitted.model_copy(update={"numbers": {**fitted.numbers, **limits}})
        if fitted.words.get("target"):
            return fitted

        def tried(favour: float) -> Fitted:
            return fitted.model_copy(update={"numbers": {**fitted.numbers, "favour": favour}})

        metric = self.metrics["macro_f1"]
        return tried(best_favour(lambda favour: metric.point(targets, self.answer(scores, tried(favour)).values)))

    def answer(self, scores: Scores, fitted: Fitted) -> Answer:
        """The class with its probability, the stars, and what is said of which aspect.

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
        if ASPECTS in fitted.labels:
            names, odds = fitted.labels[ASPECTS], log_odds(fitted, ASPECTS, scores[ASPECTS])
            sure, held = sigmoid(odds).astype(np.float32), passed(names, odds, fitted.numbers)
            columns[ASPECTS] = [PARTED.join(name for name, holds in zip(names, row, strict=True) if holds) for row in held >= 0.5]
            for at, name in enumerate(names):
                values |= {name: sure[:, at], f"{name} choice": held[:, at]}
        return Answer(columns, values)


def _aspects(view: View, rows: pa.ChunkedArray) -> dict[str, pa.Array]:
    """For each aspect with its mood that some review of the whole view tells: 1 said, 0 not, null of reviews that tell nothing."""
    here, everywhere = _told(view, "_row"), _told(view.whole, "review_id")
    if here is None or everywhere is None:
        return {}
    names = view.whole.sql(
        f"""select distinct trim(name) as name from (select unnest(string_split(told, '{PARTED}')) as name from ({everywhere}))
            where name like '%_{SAID}_%' order by name"""
    )["name"].to_pylist()
    if not names:
        return {}
    told = dict(zip(*(column.to_pylist() for column in view.sql(here).columns), strict=True))
    return each_held(pa.chunked_array([pa.array([told.get(row) for row in rows.to_pylist()], pa.string())]), names, PARTED)


def _told(view: View, key: str) -> str | None:
    """A query for (``key``, what its aspects are said to be) of the reviews that tell it, a person's word before a model's; None = none can."""
    if ASPECTS in view.columns("reviews"):
        return f'select {key}, cast("{ASPECTS}" as varchar) as told from reviews where "{ASPECTS}" is not null'
    if not view.has("labels"):
        return None
    return f"""select {key}, string_agg(name || '{SAID}' || value, '{PARTED}') as told from reviews join ({verdicts("sentiment")})
               on subject = review_id where name not in ('label', 'stars') group by {key}"""


def _tells(column: pa.Array) -> bool:
    """Whether enough train reviews say it, and some that could do not."""
    said = pc.sum(column).as_py() or 0.0
    return bool(FEWEST <= said < len(column) - column.null_count)


def _said(seen: set[str]) -> str:
    return "no value at all" if not seen else f"only the value `{next(iter(seen))}`"


TASK = Sentiment()
