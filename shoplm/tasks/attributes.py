"""attributes: which values of which attributes does a product's text name?

Learns from a file with ``title`` (or ``text``), perhaps ``description`` and ``category``, and a column ``attributes``: a JSON
object such as ``{"Brand": "Acme", "Colour": ["red", "dark red"], "Size": null}``. Null says that the attribute has no value in
this text; of an attribute that is not there nothing is known. In a shop it learns from the ``labels`` table, a row for each
attribute of a product (task ``attributes``, subject the product's id, name the attribute, value its value).

A value is learnt where it stands in the text word for word, in upper or lower case. A value that does not stand there teaches
nothing; the slice ``values`` of a report counts the rows that have such values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from shoplm.data.context import Context
from shoplm.data.shop import View
from shoplm.errors import DataError
from shoplm.evaluate.calibrate import SETTING, Calibrating, calibrate, log_probabilities
from shoplm.evaluate.extraction import extraction
from shoplm.model.specs import HeadSpec, Spans
from shoplm.task import Answer, Fitted, Metric, Moments, Scores, Task, verdicts
from shoplm.text.render import PATH, Prompt, Segment, clean
from shoplm.text.spans import SPANS, Found, decode

NAME = "attributes"
"""The task, its head, its target and the column of its answer."""
ANNOTATED = "annotated"
"""The column of a plain file's ``attributes`` in here: the contract means something else by that name."""
LEANS = (0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.0, -2.0, 3.0, -3.0, 4.0, 5.0)
"""How far a decision may lean to finding more, the least first; in nats of a token."""
IN_TEXT, SOME_NOT, UNKNOWN = "all in the text", "some not in the text", "not annotated"

Values = Mapping[str, Sequence[str]]
"""Attribute -> its values; none = it has no value in the text."""


class AttributesSettings(Calibrating):
    """What attributes learns."""

    most: int = pydantic.Field(default=200, ge=1)
    """Attributes that are learnt at most, the commonest first: each takes two tags of every token."""


@final
class Attributes(Task):
    """Learns where a product's own words name an attribute's value."""

    subject = "products"
    needs = ("products",)
    reads = ("title", "description")
    learning_share = 1.0
    plain = (ANNOTATED, "category", "split")
    numbered = "id"
    fields: ClassVar[Mapping[str, str]] = {"text": "title", NAME: ANNOTATED}
    Settings = AttributesSettings
    judge_by = "micro_f1"

    def moments(self, view: View, settings: AttributesSettings) -> Moments:  # noqa: ARG002
        """Every product with words, and where its words name which attribute."""
        columns = view.columns("products")
        kept = {name: f'cast("{name}" as varchar)' if name in columns else "cast(null as varchar)" for name in self.plain}
        rows = view.sql(
            f"""select _row, _id, coalesce(epoch_us(created_at), 0) as at_us, title, description, language, {kept[ANNOTATED]} as annotated,
                       coalesce({kept["category"]}, product_type) as category, {kept["split"]} as split
                from products where length(trim(concat_ws(' ', title, description))) > 0 order by _row"""
        )
        texts = [
            Prompt(_read(title, body)).searched()
            for title, body in zip(rows["title"].to_pylist(), rows["description"].to_pylist(), strict=True)
        ]
        if ANNOTATED in columns:
            known = [_values(word) for word in rows["annotated"].to_pylist()]
        else:
            judged = _judged(view)
            known = [judged.get(name) for name in rows["_id"].to_pylist()]
        spans, whole = [], []
        for text, values in zip(texts, known, strict=True):
            found = None if values is None else located(text, values)
            spans.append(None if found is None else found[0])
            whole.append(UNKNOWN if found is None else SOME_NOT if found[1] else IN_TEXT)
        slices = {"category": rows["category"], "language": rows["language"], "values": pa.array(whole, pa.string())}
        return Moments(rows["_row"], rows["at_us"], {NAME: pa.array(spans, SPANS)}, pa.array(texts, pa.string()), rows["split"], slices)

    def prompt(self, context: Context) -> Prompt:
        """The category, then the title and the description, in which values are looked for; only the description may be cut."""
        product = context.subject
        category = clean(product.get("category") or product.product_type).rpartition(PATH)[2]
        before = (Segment(f"{category}:", 8),) if category else ()
        return Prompt((*before, *_read(product.title, product.description)))

    def heads(self, fitted: Fitted) -> Mapping[str, HeadSpec]:
        """The tags of every token."""
        return {NAME: Spans(tuple(fitted.labels[NAME]))}

    def metrics_of(self, fitted: Fitted) -> Mapping[str, Metric]:
        """F1, precision and recall over all pairs of a product and an attribute that are known, and the mean of the attributes' F1."""
        return extraction(NAME, len(fitted.labels[NAME]))

    def learn(self, targets: Mapping[str, pa.Array], settings: AttributesSettings) -> Fitted:
        """The attributes that some train text names, the commonest first."""
        told = targets[NAME].combine_chunks() if isinstance(targets[NAME], pa.ChunkedArray) else targets[NAME]
        flat = told.flatten()
        kinds = pc.struct_field(flat, "kind").filter(pc.greater(pc.struct_field(flat, "stop"), pc.struct_field(flat, "start")))
        counts = {row["values"].as_py(): row["counts"].as_py() for row in pc.value_counts(kinds)}
        if not counts:
            raise DataError(
                "attributes: no train text names a value; expected a column `attributes` such as "
                '{"Brand": "Acme", "Size": null} whose values stand in the title or the description word for word, '
                "or labels of the task `attributes`"
            )
        labels = sorted(counts, key=lambda name: (-counts[name], name))[: settings.most]
        return Fitted(labels={NAME: labels}, words={SETTING: settings.calibration})

    def choose(self, scores: Scores, targets: Mapping[str, Any], fitted: Fitted) -> Fitted:
        """What makes the tags' probabilities honest; then how far to lean to finding more, and whether values end where words do, by F1."""
        tagged, metric = scores.tagged[NAME], self.metrics_of(fitted)[self.judge_by]
        tags = tagged.tags(targets[NAME])
        fitted = calibrate(fitted, NAME, tagged.logits[tags >= 0], tags[tags >= 0])

        def tried(lean: float, *, whole: bool) -> Fitted:
            return fitted.model_copy(update={"numbers": {**fitted.numbers, "lean": lean, "whole": float(whole)}})

        def worth(one: Fitted) -> float:
            found = metric.point(targets, {NAME: self._found(scores, one).padded()})
            return found if found == found else -1.0  # NaN: nothing was counted

        return max((tried(lean, whole=whole) for lean in LEANS for whole in (True, False)), key=worth)  # of equals the first

    def answer(self, scores: Scores, fitted: Fitted) -> Answer:
        """Of each attribute its surest value, as JSON, and how sure the least sure of them is; of none, how sure that there is none."""
        labels, found = fitted.labels[NAME], self._found(scores, fitted)
        texts = scores.tagged[NAME].searched.texts.to_pylist()
        said, sure = [], []
        for text, nothing, row in zip(texts, found.nothing.tolist(), found.rows(), strict=True):
            said.append(json.dumps({labels[kind]: text[start:stop] for start, stop, kind, _ in row}, ensure_ascii=False))
            sure.append(round(min((probability for *_, probability in row), default=nothing), 4))
        return Answer({NAME: said, "probability": sure}, {NAME: found.padded()})

    def _found(self, scores: Scores, fitted: Fitted) -> Found:
        tagged = scores.tagged[NAME]
        found = decode(tagged, log_probabilities(fitted, NAME, tagged.logits), fitted.numbers.get("lean", 0.0))
        return (found.whole(tagged.searched.texts.to_pylist()) if fitted.numbers.get("whole") else found).surest()


def located(text: str, values: Values) -> tuple[list[dict[str, Any]], int]:
    """Where values stand in a text.

    Whole words come before parts of words: ``red`` is not looked for in ``tired`` where it also stands alone.

    Returns:
        Rows of ``SPANS``, and how many values do not stand there. Of an attribute of which none does nothing is told.
    """
    spans: list[dict[str, Any]] = []
    gone = 0
    for kind, each in values.items():
        if not each:
            spans.append({"start": 0, "stop": 0, "kind": kind})
        for value in each:
            wanted = re.escape(value)
            found = list(re.finditer(rf"(?<!\w){wanted}(?!\w)", text, re.IGNORECASE)) or list(re.finditer(wanted, text, re.IGNORECASE))
            spans += [{"start": at.start(), "stop": at.end(), "kind": kind} for at in found]
            gone += not found
    return spans, gone


def _read(title: Any, body: Any) -> tuple[Segment, ...]:
    """The segments in which values are looked for, in the shop's own words alone: a stop behind a title would become part of a value.

    At least one, perhaps empty.
    """
    told = (Segment(clean(title), 9, spans=True), Segment(clean(body), spans=True))
    return tuple(segment for segment in told if segment.text) or told[:1]


def _values(word: str | None) -> Values | None:
    """What a JSON object says of the attributes; None where there is none.

    Raises:
        DataError: it is no JSON object.
    """
    if word is None or not word.strip():
        return None
    try:
        found = json.loads(word)
    except ValueError:
        found = None
    if found is None and word.strip() == "null":
        return None
    if not isinstance(found, dict):
        shown = word if len(word) <= 60 else f"{word[:60]}…"
        raise DataError(
            f'attributes: `{shown}` is no JSON object; write such as {{"Brand": "Acme", "Colour": ["red", "blue"], "Size": null}}'
        )
    return {str(name): _words(value) for name, value in found.items() if clean(name)}


def _words(value: Any) -> list[str]:
    """One value, several or none, as text."""
    each = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(filter(None, map(clean, each))))


def _judged(view: View) -> dict[str, dict[str, list[str]]]:
    """For each product that the ``labels`` table speaks of its attributes and their values, a person's word before a model's."""
    if not view.has("labels"):
        return {}
    rows = view.sql(f"select subject, name, value from ({verdicts(NAME)}) where subject in (select id from products)")
    found: dict[str, dict[str, list[str]]] = {}
    for subject, name, value in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        found.setdefault(subject, {})[name] = _words(value)
    return found


TASK = Attributes()
