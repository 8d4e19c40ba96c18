"""Profiles from behaviour on two public sets, cross-validated beside a plain linear model in the same folds.

``household``: seven traits of 801 households from a sample of their groceries; mean macro-F1. ``viewer``: the gender of
943 film viewers from what they rated; ROC AUC. The floor is TF-IDF over the items' tokens and a logistic regression with
balanced classes; both answer the same held-out rows, and the difference is paired over resampled rows. Each fold is one
run of the public ``train`` in a process of its own; it has no validation rows, so nothing is chosen on what judges.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.side_by_side import Json, Parts, child, data, interval, must, result, say, source_digest, table

FOLDS = 5
REPLICATES = 1000
TRAITS: Mapping[str, tuple[str, ...]] = {
    "household": ("age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count"),
    "viewer": ("gender",),
}
FLOORS = {"household": 0.289, "viewer": 0.774}
"""What was noted of the same plain model with the set, in other folds."""


def people(name: str) -> list[Json]:
    """One row a person: ``history`` (acts, oldest first, each a path), the tokens for the plain model, and the traits."""
    return _households() if name == "household" else _viewers()


def _households() -> list[Json]:
    import pyarrow.parquet as pq

    folder = "complete_journey_profiles"
    goods = {row["product_id"]: row for row in pq.read_table(data(folder, "products.parquet")).to_pylist()}
    bought: dict[str, list[Json]] = {}
    found = pq.read_table(data(folder, "transactions.parquet")).sort_by(
        [("transaction_timestamp", "ascending"), ("product_id", "ascending")]
    )
    for row in found.select(["household_id", "product_id"]).to_pylist():
        bought.setdefault(row["household_id"], []).append(goods.get(row["product_id"], {}))
    rows = []
    for home in pq.read_table(data(folder, "households.parquet")).to_pylist():
        acts = bought.get(home["household_id"], [])
        steps = [[good.get(key) for key in ("department", "brand", "product_type", "product_category")] for good in acts]
        history = [" > ".join(str(step).lower().replace(" > ", " ") for step in act if step) for act in steps]
        tokens = [str(step) for act in steps for step in act if step]
        rows.append({"history": [act for act in history if act], "tokens": tokens, **{trait: home[trait] for trait in TRAITS["household"]}})
    return rows


def _viewers() -> list[Json]:
    import pyarrow.parquet as pq

    folder = "ml100k_user_profiles"
    films = {row["item_id"]: row for row in pq.read_table(data(folder, "items.parquet")).to_pylist()}
    seen: dict[int, list[int]] = {}
    found = pq.read_table(data(folder, "ratings.parquet")).sort_by([("timestamp", "ascending"), ("item_id", "ascending")])
    for row in found.select(["user_id", "item_id"]).to_pylist():
        seen.setdefault(row["user_id"], []).append(row["item_id"])
    rows = []
    for user in pq.read_table(data(folder, "users.parquet")).to_pylist():
        items = [films[item] for item in seen[user["user_id"]]]
        history = [" > ".join([*str(film["class"] or "").split(), f"{film['movie_title']} {film['release_year']}"]) for film in items]
        rows.append({"history": history, "tokens": [str(film["item_id"]) for film in items], "gender": user["gender"]})
    return rows


def folds(rows: Sequence[Json], trait: str, seed: int) -> Any:
    """(N,) the fold of each row, stratified by one trait."""
    from sklearn.model_selection import StratifiedKFold

    found = np.zeros(len(rows), np.int64)
    kept = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(np.zeros(len(rows)), [row[trait] for row in rows])
    for fold, (_, test) in enumerate(kept):
        found[test] = fold
    return found


def fold(job: Mapping[str, Any]) -> Json:
    """One fold, as a job: ours and the plain model on its held-out rows, each row's answers by trait."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from shoplm.pipeline.config import RunConfig
    from shoplm.pipeline.training import train

    name = job["set"]
    rows = people(name)
    if job["rows"] is not None:
        rows = rows[: job["rows"]]
    side = folds(rows, TRAITS[name][0], job["seed"])
    test = np.flatnonzero(side == job["fold"]).tolist()
    for at, row in enumerate(rows):
        row["split"] = "test" if side[at] == job["fold"] else "train"
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as place:
        file = Path(place) / "people.parquet"
        pq.write_table(pa.Table.from_pylist([{key: value for key, value in row.items() if key != "tokens"} for row in rows]), file)
        settings = {"groups": list(TRAITS[name]), **job["settings"]}
        begin = time.perf_counter()
        bundle = train(
            RunConfig.read(["traits"], settings=[f"{key}={value}" for key, value in settings.items()]), data=file, out=Path(place) / "out"
        )
        seconds = time.perf_counter() - begin
        answer = bundle.answer(pa.table({"history": [rows[at]["history"] for at in test]}))
    ours = {
        trait: {
            "said": list(answer.columns[trait]),
            "classes": list(bundle.part()[3].labels[trait]),
            "sure": np.asarray(answer.values[trait], float).round(6).tolist(),
        }
        for trait in TRAITS[name]
    }
    return {"rows": test, "seconds": round(seconds, 1), "ours": ours, "plain": _plain(name, rows, side != job["fold"], test)}


def _plain(name: str, rows: Sequence[Json], train: Any, test: Sequence[int]) -> Json:
    """The linear model of each trait, learnt on the same rows."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(analyzer=lambda tokens: tokens, sublinear_tf=True)
    learnt = [row for row, inside in zip(rows, train, strict=True) if inside]
    features, asked = words.fit_transform([row["tokens"] for row in learnt]), words.transform([rows[at]["tokens"] for at in test])
    found: Json = {}
    for trait in TRAITS[name]:
        known = [at for at, row in enumerate(learnt) if row[trait] is not None]
        model = LogisticRegression(class_weight="balanced", max_iter=2000, random_state=0).fit(
            features[known], [learnt[at][trait] for at in known]
        )
        found[trait] = {
            "said": model.predict(asked).tolist(),
            "classes": model.classes_.tolist(),
            "sure": model.predict_proba(asked).round(6).tolist(),
        }
    return found


def judged(name: str, truth: Sequence[Json], ours: Mapping[str, Any], plain: Mapping[str, Any]) -> Json:
    """Each trait's macro-F1 (of two values the AUC too) and their mean, ours and the plain model's, with paired intervals.

    Args:
        name: the set.
        truth: the judged rows.
        ours: for each trait what was said of each row, and the probability of the last class.
        plain: the same of the plain model.
    """
    random = np.random.default_rng(0)
    weights = np.stack([np.bincount(random.integers(0, len(truth), len(truth)), minlength=len(truth)) for _ in range(REPLICATES)])
    weights = np.concatenate([np.ones((1, len(truth)), np.int64), weights])
    found: Json = {}
    means = {"ours": [], "plain": []}
    for trait in TRAITS[name]:
        known = np.array([row[trait] is not None for row in truth])
        true = np.array([str(row[trait]) for row in truth])[known]
        scores = {}
        for side, said in (("ours", ours), ("plain", plain)):
            f1 = _macro_f1(true, np.array(said[trait]["said"])[known], weights[:, known])
            scores[side] = f1
            means[side].append(f1)
        found[f"{trait} macro_f1"] = _beside(scores)
        values = sorted(set(true))
        if len(values) == 2:
            event = true == values[1]
            auc = {
                side: _auc(event, np.array(said[trait]["last"])[known], weights[:, known])
                for side, said in (("ours", ours), ("plain", plain))
            }
            found[f"{trait} roc_auc"] = _beside(auc)
    found["macro_f1"] = _beside({side: np.mean(each, axis=0) for side, each in means.items()})
    return found


def _beside(scores: Mapping[str, Any]) -> Json:
    gain = scores["ours"] - scores["plain"]
    return {key: interval(float(value[0]), value[1:]) for key, value in {**scores, "gain": gain}.items()}


def _macro_f1(true: Any, said: Any, weights: Any) -> Any:
    """(R,) macro-F1 of each weighting of the rows, over the classes that occur."""
    each = []
    for value in sorted({*true.tolist(), *said.tolist()}):
        hits, told, there = (
            weights @ (side.astype(np.int64)) for side in ((true == value) & (said == value), said == value, true == value)
        )
        total = told + there
        each.append(np.where(total > 0, 2 * hits / np.maximum(total, 1), np.nan))
    return np.nanmean(np.stack(each), axis=0)


def _auc(event: Any, score: Any, weights: Any) -> Any:
    """(R,) the chance that an event scores above another row, ties counting half."""
    order = np.argsort(score, kind="stable")
    event, score, weights = event[order], score[order], weights[:, order]
    first = np.searchsorted(score, score, "left")
    last = np.searchsorted(score, score, "right")
    below = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights * ~event, 1)], 1)
    won = (weights * event * (below[:, first] + below[:, last]) / 2).sum(1)
    return won / np.maximum((weights * event).sum(1) * (weights * ~event).sum(1), 1)


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Measure the asked sets; folds measured before with the same sources and settings are kept."""
    options = _options(arguments, quick)
    begin = time.perf_counter()
    parts, sources = Parts("profiles", fresh=options.fresh, keep=not quick), source_digest("shoplm")
    settings = {"max_length": options.max_length, "seed": options.seed, "valid": 0, **dict(pair.split("=", 1) for pair in options.settings)}
    found: dict[str, Json] = {}
    for name in options.sets:
        rows = people(name)[: options.rows]
        done: list[Json] = []
        for number in range(options.folds):
            job = {"set": name, "fold": number, "rows": options.rows, "seed": options.seed, "settings": settings}
            done.append(
                parts.take(
                    f"{name} {number}", {**job, "sources": sources},
                    lambda job=job: must(child("benchmarks.profiles:fold", job, timeout=options.limit)),
                )
            )  # fmt: skip
            say(f"{name}, fold {number + 1} of {FOLDS}: {len(done[-1]['rows']):,} rows judged, {done[-1]['seconds']} s of training")
        truth = [rows[at] for one in done for at in one["rows"]]
        sides = {side: {trait: _joined([one[side][trait] for one in done]) for trait in TRAITS[name]} for side in ("ours", "plain")}
        found[name] = {
            "judged": judged(name, truth, sides["ours"], sides["plain"]), "rows": len(truth), "folds": options.folds,
            "seconds": [one["seconds"] for one in done], "noted_floor": FLOORS[name],
        }  # fmt: skip
        table(
            f"{name}, {len(truth):,} held-out rows", ["", "ours", "TF-IDF + logistic regression", "gain, paired"],
            [[key, *(_text(one[side]) for side in ("ours", "plain", "gain"))] for key, one in found[name]["judged"].items()],
        )  # fmt: skip
    return result("profiles", begin, quick=quick, ours={"settings": settings, "sets": found}, quality=_quality(found))


def _joined(several: Sequence[Json]) -> Json:
    return {
        "said": [str(value) for one in several for value in one["said"]],
        "last": [row[-1] for one in several for row in one["sure"]],
    }


def _quality(found: Mapping[str, Json]) -> Json:
    keys = {"household": "macro_f1", "viewer": "gender roc_auc"}
    said: Json = {name: one["judged"][keys[name]] for name, one in found.items()}
    said["holds"] = {f"{name} not below the plain model": one["gain"]["high"] >= 0 for name, one in said.items()}
    return said


def _text(one: Json) -> str:
    return f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"


def _options(arguments: Sequence[str], quick: bool) -> argparse.Namespace:
    reader = argparse.ArgumentParser(prog="benchmarks profiles", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--sets", type=lambda text: text.split(","), default=list(TRAITS), help="of household,viewer")
    reader.add_argument("--rows", type=int, default=200 if quick else None, help="the first rows only")
    reader.add_argument("--folds", type=int, default=1 if quick else FOLDS, help="folds that are measured")
    reader.add_argument("--max-length", type=int, default=96 if quick else 256)
    reader.add_argument("--seed", type=int, default=0, help="of the folds and of the runs")
    reader.add_argument("--fresh", action="store_true", help="forget what was measured before")
    reader.add_argument("--limit", type=float, default=3 * 3600.0, help="seconds that one fold may take")
    reader.add_argument("settings", nargs="*", default=["method=head"] if quick else [], help="of train, as KEY=VALUE")
    return reader.parse_args(list(arguments))
