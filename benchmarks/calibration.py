"""Calibration: log loss and calibration error on test rows, by what was fitted on validation rows; scikit-learn's beside ours.

One quick model a data set (two learning layers, a limited number of train rows, seed 0); its logits of validation and
test rows are kept, so that every calibration is fitted on the same validation rows and judged on the same test rows,
paired. Then again with few validation rows, drawn several times: there a calibration with many numbers over-fits, and
it shows whether ``auto`` sees that.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.side_by_side import RESULTS, Json, Parts, child, data, must, result, say, source_digest, table
from benchmarks.sides import SETS

OURS = ("none", "temperature", "platt", "isotonic", "auto")
THEIRS = ("temperature", "sigmoid", "isotonic")
"""Methods of scikit-learn's ``CalibratedClassifierCV``: the last two fit each class against the rest and renormalise."""
FEW = (100, 300, 1000)
METRICS = ("log_loss", "ece", "ece_equal_mass", "accuracy")
REPLICATES = 200


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Measure both data sets."""
    reader = argparse.ArgumentParser(
        prog="benchmarks calibration", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    reader.add_argument("--rows", type=int, default=450 if quick else 1500, help="train rows")
    reader.add_argument("--judged", type=int, default=300 if quick else 2000, help="validation rows, and test rows, at most")
    reader.add_argument("--draws", type=int, default=1 if quick else 5, help="draws of few validation rows")
    reader.add_argument("--data", choices=sorted(SETS), help="one of the data sets; default: both")
    reader.add_argument("--fresh", action="store_true", help="measure everything anew")
    options = reader.parse_args(list(arguments))
    begin = time.perf_counter()
    parts, found = Parts("calibration", fresh=options.fresh, keep=not quick), {}
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as scratch:
        for name, of in SETS.items():
            if options.data not in (None, name):
                continue
            data(*of["file"])
            place = (Path(scratch) if quick else RESULTS) / f"calibration_{name}.npz.partial"
            settings = {"data": name, "rows": options.rows, "judged": options.judged, "place": str(place), "quick": quick}
            if not place.is_file():
                parts.kept.pop(f"logits {name}", None)
            wanted = {**settings, "shoplm": source_digest("shoplm/model", "shoplm/train", "shoplm/text")}
            made = parts.take(f"logits {name}", wanted, lambda s=settings: must(child("benchmarks.calibration:logits", s)))
            with np.load(place) as kept:
                found[name] = {**made, **measured({key: kept[key] for key in kept.files}, options.draws)}
    _print(found)
    return result(
        "calibration", begin, quick=quick, settings={key: value for key, value in vars(options).items() if key != "fresh"},
        ours={name: {"all": {kind: said["all"][f"ours {kind}"] for kind in OURS}, "few": said["few"], "auto": said["auto"]} for name, said in found.items()},
        peers={name: {kind: said["all"].get(f"scikit-learn {kind}", {"failed": "too few rows of a class"}) for kind in THEIRS} for name, said in found.items()},
        quality={name: {key: said[key] for key in ("rows", "train_seconds", "classes")} for name, said in found.items()},
    )  # fmt: skip


def logits(settings: Mapping[str, Any]) -> Json:
    """Train the quick model and keep what it says of validation and test rows, as a job."""
    import pandas as pd

    from shoplm import task as tasks
    from shoplm.pipeline.config import RunConfig
    from shoplm.pipeline.prepare import encode, origin, pieces
    from shoplm.pipeline.training import train

    of = SETS[settings["data"]]
    frame = pd.read_parquet(data(*of["file"]))
    if settings["data"] == "clinc":
        frame = frame[~frame["extra_oos_train"]]
        drawn = frame[frame["split"] == "train"].groupby("intent").head(max(1, settings["rows"] // 150))
    else:
        frame = frame[frame["text"].notna()]
        drawn = frame[frame["split"] == "train"].sample(settings["rows"], random_state=0)
    rest = frame[frame["split"] != "train"]
    rest = rest.sample(frac=1, random_state=0).groupby("split").head(settings["judged"])
    with tempfile.TemporaryDirectory(prefix="shoplm-bench-") as folder:
        file = Path(folder) / "rows.parquet"
        pd.concat([drawn, rest]).sort_index().to_parquet(file, index=False)
        task = tasks.get(of["task"])
        config = RunConfig.read([of["task"]], where=of["where"], layers=2, seed=0, **({"epochs": 1} if settings["quick"] else {}))
        begin = time.perf_counter()
        bundle = train(config, data=file, out=Path(folder) / "bundle")
        seconds = time.perf_counter() - begin
        head, kept = of["target"], {"valid": ([], []), "test": ([], [])}
        specs = task.heads(bundle.part()[3])
        with origin(task, None, file) as source:
            tokenizer = bundle.contents.backbone.tokenizer
            for piece in pieces(source.view, task, config.settings(of["task"]), tokenizer, config.split, config.where):
                target = encode(piece.moments.targets, specs)[head]
                for split, (scores, truths) in kept.items():
                    at = np.flatnonzero((piece.split == split) & (target >= 0))
                    if len(at):
                        scores.append(bundle.read(of["task"], piece.tokens.take(at))[head])
                        truths.append(target[at])
    arrays = {
        f"{split}_{word}": np.concatenate(one) for split, pair in kept.items() for word, one in zip(("logits", "target"), pair, strict=True)
    }
    place = Path(settings["place"])
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("wb") as stream:
        np.savez(stream, **arrays)
    counts = {split: len(arrays[f"{split}_target"]) for split in kept}
    return {"train_seconds": round(seconds, 1), "rows": {"train": len(drawn), **counts}, "classes": int(arrays["valid_logits"].shape[1])}


def measured(kept: Mapping[str, npt.NDArray[Any]], draws: int) -> Json:
    """All calibrations on all validation rows, and ours on few."""
    valid, target, test, truth = kept["valid_logits"], kept["valid_target"], kept["test_logits"], kept["test_target"]
    every, auto = {}, ""
    for kind in OURS:
        every[f"ours {kind}"], auto = ours(kind, valid, target, test)
    for kind in THEIRS:
        say(f"scikit-learn {kind}")
        try:
            every[f"scikit-learn {kind}"] = theirs(kind, valid, target, test)
        except ValueError as error:  # a class with fewer rows than folds
            say(f"scikit-learn {kind}: {error}")
    return {"all": _judged(every, truth), "auto": auto, "few": {str(rows): _few(kept, rows, draws) for rows in FEW if rows < len(target)}}


def ours(kind: str, valid: npt.NDArray[Any], target: npt.NDArray[Any], test: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], str]:
    """Test rows' probabilities, and how they came about."""
    from shoplm.evaluate.calibrate import calibrate, log_probabilities, told
    from shoplm.task import Fitted

    fitted = calibrate(Fitted(words={"calibration": kind}), "head", valid, target)
    return np.exp(log_probabilities(fitted, "head", test)), told(fitted)[0]


def theirs(kind: str, valid: npt.NDArray[Any], target: npt.NDArray[Any], test: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same from scikit-learn, with the logits as the decision function of a classifier that is not fitted again."""
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        def fit(self, rows: Any, target: Any) -> Given:
            self.classes_, self.n_features_in_ = np.unique(target), rows.shape[1]
            return self

        def predict(self, rows: Any) -> Any:
            return self.classes_[rows.argmax(1)]

        def decision_function(self, rows: Any) -> Any:
            return rows[:, 1] - rows[:, 0] if rows.shape[1] == 2 else rows

    given = FrozenEstimator(Given().fit(valid, np.arange(valid.shape[1])))  # every class is known, also one without validation rows
    fitted = CalibratedClassifierCV(given, method=kind, ensemble=False).fit(valid.astype(float), target)
    found: npt.NDArray[Any] = fitted.predict_proba(test.astype(float))
    return found


def _judged(every: Mapping[str, npt.NDArray[Any]], truth: npt.NDArray[Any]) -> Json:
    """Each metric with its interval, and its difference to our temperature, paired on the same resampled rows."""
    from shoplm.evaluate.calibration import equal_mass, reliability
    from shoplm.evaluate.judge import Judge, difference
    from shoplm.evaluate.metrics import ECE, Accuracy, LogLoss

    metrics = {"log_loss": LogLoss("t", "p"), "ece": ECE("t", "p"), "accuracy": Accuracy("t", "p")}
    judged, masses = {}, {}
    random = np.random.default_rng(0)
    draws = [np.arange(len(truth)), *(random.integers(0, len(truth), len(truth)) for _ in range(REPLICATES))]
    for name, probability in every.items():
        judge = Judge(metrics, {"p": probability.shape[1]})
        judge.update({"t": truth}, {"p": probability})
        judged[name] = judge.result()
        top, right = probability.max(1), (probability.argmax(1) == truth).astype(np.int64)
        edges = equal_mass(top)
        masses[name] = np.array([reliability(top[rows], right[rows], edges=edges).error for rows in draws])
    base, found = judged["ours temperature"], {}
    for name, one in judged.items():
        changed = difference(one, base)
        found[name] = {
            metric: {**_plain(estimate.value, estimate.low, estimate.high), "minus_temperature": _plain(changed[metric].value, changed[metric].low, changed[metric].high)}
            for metric, estimate in one.metrics.items()
        }  # fmt: skip
        mass, gap = masses[name], masses[name] - masses["ours temperature"]
        low, high, least, most = (*np.quantile(mass[1:], [0.025, 0.975]), *np.quantile(gap[1:], [0.025, 0.975]))
        found[name]["ece_equal_mass"] = {
            **_plain(mass[0], min(low, mass[0]), max(high, mass[0])), "minus_temperature": _plain(gap[0], min(least, gap[0]), max(most, gap[0])),
        }  # fmt: skip
    return found


def _plain(value: float, low: float, high: float) -> Json:
    return {"value": round(float(value), 5), "low": round(float(low), 5), "high": round(float(high), 5)}


def _few(kept: Mapping[str, npt.NDArray[Any]], rows: int, draws: int) -> Json:
    """Test log loss of each calibration fitted on few validation rows: mean over the draws, and what ``auto`` chose."""
    truth, found, choices = kept["test_target"], {kind: [] for kind in OURS}, Counter()
    for draw in range(draws):
        at = np.random.default_rng(draw).permutation(len(kept["valid_target"]))[:rows]
        for kind in OURS:
            said, how = ours(kind, kept["valid_logits"][at], kept["valid_target"][at], kept["test_logits"])
            found[kind].append(float(-np.log(np.maximum(said[np.arange(len(truth)), truth], 1e-12)).mean()))
            if kind == "auto":
                choices[how.split("calibrated by ")[1].split(" ")[0].strip(";,(")] += 1
    return {"log_loss": {kind: round(float(np.mean(one)), 5) for kind, one in found.items()}, "auto_chose": dict(choices)}


def _print(found: Mapping[str, Json]) -> None:
    for name, said in found.items():
        lines = []
        for kind, one in said["all"].items():
            cells = [f"{one[metric]['value']:.4f} [{one[metric]['low']:.4f}, {one[metric]['high']:.4f}]" for metric in METRICS]
            gap = one["log_loss"]["minus_temperature"]
            lines.append([kind, *cells, f"{gap['value']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]"])
        counts = said["rows"]
        table(
            f"{name}: {counts['test']:,} test rows, fitted on {counts['valid']:,} validation rows",
            ["", *METRICS, "log loss - temperature's"],
            lines,
        )
        say(said["auto"])
        for rows, few in said["few"].items():
            say(f"{name}, {rows} validation rows: test log loss {few['log_loss']}, auto chose {few['auto_chose']}")
