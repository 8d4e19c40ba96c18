"""What plain methods reach on the same rows: the number that a language model has to beat.

``majority`` knows no words: class shares, event rate, mean. ``tfidf`` is a linear model over
weighted words and word pairs (characters where the text is mostly Chinese, Japanese or Korean):
a linear SVM whose margins are made into probabilities on held-out rows, ridge for numbers.
Both answer in the shape of the model, (M, C) probabilities or (M,) scores.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from shoplm.evaluate.calibration import log_softmax, platt, temperature
from shoplm.evaluate.metrics import LEAST, missing
from shoplm.task import FloatArray, IntArray

Head: TypeAlias = tuple[Literal["choice"], int] | tuple[Literal["binary"]] | tuple[Literal["regression"]]
"""("choice", C): target 0 … C-1; ("binary",): target 0 or 1; ("regression",): target a number."""

CAP = 100_000
"""Training rows that a baseline reads at most, drawn at random."""
SEARCHED = 10_000
"""Rows on which the strength of the regularisation is chosen."""
FEATURES = 400_000
"""Half of them words, half pieces of words."""
COEFFICIENTS = 40_000_000
"""Features times classes at most (320 MB): with many classes the rarer words are left out."""
SHORT = 100
"""Texts of fewer letters on average are also read by the pieces of their words: there is little else to go by."""
SVM_STRENGTHS = (0.1, 0.3, 1.0, 3.0)
MANY = 20
"""With more classes than this the strength is 1 and not chosen: a fit takes as many times as long as there are classes."""
RIDGE_STRENGTHS = (1.0, 4.0, 16.0)

# Han, kana, hangul
_CJK = ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7AF), (0xF900, 0xFAFF))

Predict: TypeAlias = Callable[[Any], FloatArray]


@dataclass(frozen=True)
class Baseline:
    """A fitted baseline."""

    name: str
    note: str
    """What a reader should know, such as rows left out; empty when there is nothing."""
    predict: Mapping[str, Predict]
    """For each target, features -> (M, C) or (M,)."""
    features: Callable[[Sequence[str]], Any]

    def values(self, texts: Sequence[str]) -> dict[str, FloatArray]:
        """For each target (M, C) probabilities or (M,) scores of M texts."""
        features = self.features(texts)
        return {target: predict(features) for target, predict in self.predict.items()}


def fit_baselines(texts: Sequence[str], targets: Mapping[str, Any], heads: Mapping[str, Head], seed: int = 0) -> dict[str, Baseline]:
    """The baselines ``majority`` and ``tfidf``, fitted on train rows.

    Args:
        texts: M of them.
        targets: (M,) for each head: int with -1 missing, or float with NaN missing.
        heads: what kind each target is.
        seed: draws the rows when there are more than ``CAP``, and the held-out ones.

    Returns:
        By name. Where a target has one class only, or too few rows to hold any out, ``tfidf``
        answers as ``majority`` does.
    """
    rng = np.random.default_rng(seed)
    encoded = {name: np.asarray(targets[name]) for name in heads}
    majority = {name: _constant(encoded[name], heads[name]) for name in heads}
    known = np.any([~missing(target) for target in encoded.values()], axis=0) if heads else np.zeros(len(texts), bool)
    rows = np.nonzero(known)[0]
    note = ""
    if len(rows) > CAP:
        note = f"fitted on {CAP:,} of {len(rows):,} rows, drawn at random"
        rows = np.sort(rng.choice(rows, CAP, replace=False))
    kept = [texts[row] for row in rows.tolist()]
    widest = max((head[1] for head in heads.values() if head[0] == "choice"), default=1)
    vectorizer = _vectorizer(kept, min(FEATURES, max(1000, COEFFICIENTS // widest)))
    linear = dict(majority)
    try:
        features = vectorizer.fit_transform(kept) if kept else None
    except ValueError:  # no word in any text
        features = None
    if features is not None:
        for name, head in heads.items():
            linear[name] = _linear(features, encoded[name][rows], head, rng) or majority[name]
    words = _lengths if features is None else vectorizer.transform
    return {"majority": Baseline("majority", "", majority, _lengths), "tfidf": Baseline("tfidf", note, linear, words)}


def mostly_cjk(texts: Sequence[str], sample: int = 1000) -> bool:
    """Whether more than half of the letters of (a sample of) the texts are Chinese, Japanese or Korean."""
    step = max(1, len(texts) // sample)
    letters = [ord(letter) for text in texts[::step] for letter in text[:400] if letter.isalpha()]
    return sum(low <= code <= high for code in letters for low, high in _CJK) * 2 > len(letters)


def _vectorizer(texts: Sequence[str], most: int) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    def weighed(**kind: Any) -> Any:
        return TfidfVectorizer(sublinear_tf=True, dtype=np.float32, min_df=fewest, max_features=most // 2, **kind)

    letters = sum(map(len, texts))
    fewest = 2 if letters > 1_000_000 else 1  # a word seen once is dead weight in many texts, a signal in few
    if mostly_cjk(texts):
        # Not 2-4: on 50,352 Chinese reviews 1-2 are as good for mood (.932, .936), better for category (.905, .896), six times as fast.
        return make_union(weighed(analyzer="char", ngram_range=(1, 2)))
    words = weighed(token_pattern=r"(?u)\b\w+\b", ngram_range=(1, 2))  # noqa: S106 (a pattern of words)
    if letters > SHORT * len(texts):
        return make_union(words)
    return make_union(words, weighed(analyzer="char_wb", ngram_range=(3, 4)))  # clinc150, valid: accuracy .933 instead of .912


def _lengths(texts: Sequence[str]) -> FloatArray:
    return np.zeros((len(texts), 1))


def _constant(target: Any, head: Head) -> Predict:
    known = target[~missing(target)]
    if head[0] == "choice":
        shares = np.bincount(known.astype(np.int64), minlength=head[1]) / max(len(known), 1)
        answer = shares if len(known) else np.full(head[1], 1 / head[1])
    else:
        answer = np.asarray(known.mean() if len(known) else 0.5 if head[0] == "binary" else 0.0)
    return lambda features: np.broadcast_to(answer, (features.shape[0], *answer.shape)).copy()


def _linear(features: Any, target: Any, head: Head, rng: np.random.Generator) -> Predict | None:
    """A linear model of the known rows, or None where there is nothing to learn."""
    known = rng.permutation(np.nonzero(~missing(target))[0])
    held = known[: min(len(known), SEARCHED) // 5]
    search, rows = known[len(held) : SEARCHED], np.sort(known)
    if len(np.unique(target[search])) < 2 or not len(held):
        return None
    if head[0] == "regression":
        return _ridge(features, target.astype(float), held, search, rows)
    whole = np.nan_to_num(target, nan=-1).astype(np.int64)
    return _svm(features, whole, 2 if head[0] == "binary" else head[1], (held, search, rows), binary=head[0] == "binary")


def _ridge(features: Any, target: FloatArray, held: IntArray, search: IntArray, rows: IntArray) -> Predict:
    from sklearn.linear_model import Ridge

    def fitted(strength: float, on: IntArray) -> Any:
        return Ridge(alpha=strength, solver="sparse_cg", tol=1e-3).fit(features[on], target[on])

    errors = [np.square(fitted(strength, search).predict(features[held]) - target[held]).mean() for strength in RIDGE_STRENGTHS]
    final = fitted(RIDGE_STRENGTHS[int(np.argmin(errors))], rows)
    low, high = float(target[rows].min()), float(target[rows].max())
    return lambda given: np.clip(final.predict(given), low, high)


def _svm(features: Any, target: IntArray, classes: int, parts: tuple[IntArray, IntArray, IntArray], *, binary: bool) -> Predict:
    """Strength and calibration from the held-out rows, then fitted again on all."""
    held, search, rows = parts
    best, least, calibrate = 0.0, np.inf, _cool(1.0)
    for strength in SVM_STRENGTHS if classes <= MANY else (1.0,):
        margins = _margins(features, target, classes, strength, search, binary)(features[held])
        if binary:
            trial = _line(*platt(margins, target[held]))
            right = np.where(target[held] == 1, trial(margins), 1 - trial(margins))
        else:
            each = (np.arange(len(held)), target[held])
            trial = _cool(temperature(margins, np.where(margins[each] > _NEVER, target[held], -1)))
            right = trial(margins)[each]
        loss = float(-np.log(np.maximum(right, LEAST)).mean())
        if loss >= least:  # it falls, then rises
            break
        best, least, calibrate = strength, loss, trial
    final = _margins(features, target, classes, best, rows, binary)
    return lambda given: calibrate(final(given))


def _line(slope: float, offset: float) -> Predict:
    return lambda margins: 1 / (1 + np.exp(-np.clip(slope * margins + offset, -30, 30)))


def _cool(heat: float) -> Predict:
    return lambda margins: np.exp(log_softmax(margins / heat))


_NEVER = -1e3
"""The margin of a class that no training row has."""


def _margins(features: Any, target: IntArray, classes: int, strength: float, on: IntArray, binary: bool) -> Predict:
    """(M, C) margins, or (M,) of a binary event. Rare classes weigh as much as common ones, unless binary."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a baseline stopped early is a baseline
        model = LinearSVC(C=strength, class_weight=None if binary else "balanced", random_state=0, max_iter=300)
        model.fit(features[on], target[on])
    if binary:
        return lambda given: np.asarray(model.decision_function(given))

    def margins(given: Any) -> FloatArray:
        found = np.asarray(model.decision_function(given))
        out = np.full((found.shape[0], classes), _NEVER)
        out[:, model.classes_] = np.stack([-found, found], 1) if found.ndim == 1 else found
        return out

    return margins
