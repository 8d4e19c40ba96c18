"""train: rows in, a fine-tuned, judged, saved bundle out. A run that was killed goes on where it was saved."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shoplm import task as tasks
from shoplm.data.shop import Shop
from shoplm.errors import ConfigError, DataError, DivergedError, ResourceError
from shoplm.model import adapters
from shoplm.model import bundle as files
from shoplm.model.backbone import Backbone, load_backbone
from shoplm.model.bundle import Contents, TaskPart
from shoplm.model.network import Network
from shoplm.model.precision import faster
from shoplm.pipeline import describe
from shoplm.pipeline.bundle import Bundle, load, run
from shoplm.pipeline.config import RunConfig, resolve
from shoplm.pipeline.prepare import Origin, encode, origin, prepare, refuse_unseen
from shoplm.pipeline.progress import Progress, Silent
from shoplm.tally import Tally
from shoplm.task import Fitted, Scores, Task
from shoplm.text.batch import Batch
from shoplm.text.tokenize import Tokens
from shoplm.train import checkpoint, loop, start
from shoplm.train.journal import Journal
from shoplm.train.plan import Plan
from shoplm.train.track import follow
from shoplm.train.trunk import Trunk


def fit(task: str, data: Any, out: str | Path | None = None, *, progress: Progress | None = None, **settings: Any) -> Bundle:
    """Fine-tune one task from Python.

    Args:
        task: a task's name.
        data: a ``Shop``, the path of one, the path of a plain file, or a pandas, polars or pyarrow table.
        out: where to write the bundle; None keeps it in memory only.
        progress: who waits; None = nobody.
        settings: as on the command line: ``method="lora"``, ``epochs=3``, …

    Raises:
        InputError: the data or a setting is wrong.
        RunError: the training failed.
    """
    from shoplm.pipeline.bundle import as_arrow

    config = RunConfig.read([task], **settings)
    with tempfile.TemporaryDirectory(prefix="shoplm-") as scratch:
        place = Path(out) if out is not None else Path(scratch) / "bundle"
        shop: Shop | Path | None = data if isinstance(data, Shop) else None
        file: Path | None = None
        if isinstance(data, str | Path):
            shop, file = (Path(data), None) if Path(data).is_dir() else (None, Path(data))
        elif shop is None:
            import pyarrow.parquet as pq

            file = Path(scratch) / "data.parquet"
            pq.write_table(as_arrow(data), file)
        bundle = train(config, shop=shop, data=file, out=place, progress=progress or Silent())
        if out is None:
            bundle.place = None
        return bundle


def train(
    config: RunConfig,
    *,
    shop: Path | Shop | None = None,
    data: Path | None = None,
    mapping: Mapping[str, str] | None = None,
    out: Path,
    resume: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Fine-tune the backbone for every task of ``config`` and write the bundle to ``out``.

    Args:
        config: the run's settings.
        shop: a shop, or
        data: a plain file whose columns carry the task's field names, or are named by
        mapping: ours -> theirs.
        out: the bundle's folder; ``<out>/run`` is its journal.
        resume: go on with the run that stands in ``<out>/run``.
        progress: who waits.

    Raises:
        InputError: the data or a setting is wrong; nothing was written.
        DivergedError: the loss exploded; the last good checkpoint stays.
        ResourceError: memory or disk ran out.
    """
    waiting = progress or Silent()
    begin = time.perf_counter()
    if out.exists() and (out.is_file() or not files.is_ours(out)):
        raise ConfigError(f"--out {out}: is not empty and no bundle; choose another place")
    if resume and (out / "checksums.json").is_file() and not any((out / "run").rglob("unfinished")):
        waiting.say(f"{out}: this run has ended already, nothing to resume")
        return load(out)
    backbone: Backbone | None = None
    parts: dict[str, TaskPart] = {}
    metrics: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    ended: list[Callable[[], None]] = []
    with _nothing_half_written(out):
        for name in config.tasks:
            task = tasks.get(name)
            with origin(task, shop, data, mapping, waiting) as source:
                backbone = backbone or load_backbone(config.backbone, config.text)
                run_folder = out / "run" if len(config.tasks) == 1 else out / "run" / name
                learnt = _Learning(task, name, config, source, backbone, run_folder, resume, waiting)
                parts[name], metrics[name], facts[name] = learnt.part(), learnt.judged(), learnt.facts()
                ended.append(learnt.end)
        assert backbone is not None
        changed = config.adapter.method == "full"
        contents = Contents(backbone, changed, parts, facts, metrics, describe.card(backbone.name, config, metrics, facts))
        files.write(contents, out)
    for end in ended:
        end()
    waiting.say(f"trained in {time.perf_counter() - begin:.1f} s")
    return Bundle(contents, out)


@contextlib.contextmanager
def _nothing_half_written(out: Path) -> Iterator[None]:
    """When the block fails and no checkpoint was saved, the run folder that it began goes again.

    Raises:
        ResourceError: ``out`` cannot be written; said before the work, not after it.
    """
    run_folder = out / "run"
    begun, folder = run_folder.exists(), next(place for place in (out, *out.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResourceError(f"--out {out}: {folder} cannot be written ({error.strerror}); choose another place") from None
    try:
        yield
    except BaseException:
        if not begun and not any(run_folder.rglob(checkpoint.FILE)):
            shutil.rmtree(run_folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                out.rmdir()
        raise


@dataclass
class _Best:
    """What validation has chosen so far."""

    value: float = float("-inf")
    epoch: int = 0
    stale: int = 0
    weights: dict[str, Tensor] | None = None


class _Learning:
    """One task's run, from rows to the best weights."""

    def __init__(
        self, task: Task, name: str, config: RunConfig, source: Origin, backbone: Backbone, folder: Path, resume: bool, progress: Progress
    ) -> None:
        self.task, self.name, self.progress, self.backbone = task, name, progress, backbone
        self.view, self.folder = source.view, folder
        self.prepared = prepare(source.view, task, config, backbone.tokenizer, progress)
        self.fitted, self.train_rows, self.valid_rows = self._rows(config)
        specs = task.heads(self.fitted)
        refuse_unseen(self.prepared, specs, task.subject)
        used = np.concatenate([self.train_rows, self.valid_rows])
        self.tokens: Tokens = self.prepared.tokens.take(used)
        encoded = encode(self.prepared.targets, specs)
        self.targets = {target: column[used] for target, column in encoded.items()}
        self.learnt = {target: column for target, column in self.targets.items() if target in specs}
        self.config = resolve(config, len(self.train_rows), backbone.depth)
        self.journal = Journal(folder)
        before = self._before(resume)
        precision = self.config.fit.precision or before.get("precision") or faster()
        self.config = self.config.model_copy(update={"fit": self.config.fit.model_copy(update={"precision": precision})})
        torch.manual_seed(self.config.fit.seed)
        cut = adapters.attach(backbone, self.config.adapter, name)
        self.network = Network(backbone, specs, cut)
        self.trunk = Trunk(self.network, self.tokens, precision, folder / "cache") if cut else None
        self.fit_config = self.config.fit
        self._learn(bool(before))

    def _rows(self, config: RunConfig) -> tuple[Fitted, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        train, valid = self.prepared.at("train"), self.prepared.at("valid")
        if not len(train):
            raise DataError(
                f"{self.task.subject}: {len(self.prepared.split):,} rows and none to learn from ({len(valid):,} valid, {len(self.prepared.at('test')):,} test); "
                f"give more different texts (equal ones stay together), train rows in the `split` column, or a smaller valid= and test="
            )
        import pyarrow as pa

        fitted = self.task.learn(
            {name: column.take(pa.array(train)) for name, column in self.prepared.targets.items()}, config.settings(self.name)
        )
        specs = self.task.heads(fitted)
        encoded = encode(self.prepared.targets, specs)
        labelled = np.zeros(len(self.prepared.tokens), bool)
        for target in specs:
            column = encoded[target]
            labelled |= ~np.isnan(column) if column.dtype.kind == "f" else column >= 0
        if not labelled[valid].any():
            valid = valid[:0]  # nothing to choose by
        return fitted, train[labelled[train]], valid

    def _before(self, resume: bool) -> dict[str, Any]:
        """The manifest of the run to go on with; empty when it starts anew.

        Raises:
            ConfigError: the data or a setting is not the same.
        """
        path = self.folder / "manifest.json"
        if not resume or not path.is_file() or not (self.folder / "checkpoints" / checkpoint.FILE).is_file():
            if resume:
                self.progress.say(f"{self.folder}: no checkpoint yet, starting from the beginning")
            shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
            return {}
        before = _manifest(path)
        if before["rows_digest"] != self.prepared.digest:
            raise ConfigError(f"--resume: the data is not what {self.folder} was trained on; train without --resume")
        asked = self.config.plain()
        asked["fit"]["precision"] = asked["fit"]["precision"] or before["precision"]
        if before["config"] != asked:
            differing = [f"{group}.{key}" if key else group for group, key in _differences(before["config"], asked)]
            raise ConfigError(f"--resume: other settings than {self.folder} began with: {', '.join(differing)}; give the same ones")
        return before

    def _batch(self, rows: npt.NDArray[np.int64]) -> tuple[Batch, Tensor | None]:
        batch = self.tokens.batch(rows, self.backbone.tokenizer.pad, self.learnt)
        return batch, None if self.trunk is None else self.trunk.hidden(batch)

    def _learn(self, resumed: bool) -> None:
        fit, progress = self.fit_config, self.progress
        count = len(self.train_rows)
        assert fit.epochs is not None
        assert fit.batch_size is not None
        plan = Plan(self.tokens.lengths[:count], fit.epochs, fit.batch_size, fit.token_budget, fit.seed)
        learning = list(adapters.trainable(self.network).values())
        progress.say(describe.rows_line(self.task.subject, self.prepared, count, len(self.valid_rows)))
        progress.say(adapters.described(self.config.adapter, learning, sum(p.numel() for p in self.network.parameters())))
        loop.rehearse(self.network, self._batch, plan, fit)
        progress.say(describe.estimate(loop.rehearse(self.network, self._batch, plan, fit), plan))
        self._fill()
        state = loop.start(self.network, fit)
        best, history, losses = _Best(), [], {}
        facts = {
            "data_version": self.view.data_version, "rows_digest": self.prepared.digest, "precision": fit.precision,
            "config": self.config.plain(), "task": self.name, "backbone": {"name": self.backbone.name, "digest": self.backbone.digest},
            "seed": fit.seed, "train_rows": count, "valid_rows": len(self.valid_rows), "learning_parameters": sum(p.numel() for p in learning),
        }  # fmt: skip
        if resumed:
            kept, said = checkpoint.load(self.folder / "checkpoints", self.network, state)
            best = _Best(said["best"]["value"], said["best"]["epoch"], said["best"]["stale"], kept or None)
            history, losses = said["history"], {head: Tally(*pair) for head, pair in said["losses"].items()}
            progress.say(f"resumed after step {state.step} of {plan.steps}")
        else:
            start.heads_from_features(self.network, self.tokens, self.learnt, count, self.trunk, fit)
        self.journal.open(self.config.plain(), facts, state.step)
        (self.folder / "unfinished").touch()
        self._steps(plan, state, best, history, losses)
        if best.weights:
            checkpoint.restore(self.network, best.weights)
        self.history, self.best = history, best
        self._choose()

    def _fill(self) -> None:
        trunk = self.trunk
        if trunk is None or trunk.ready:
            return
        if trunk.bytes > self.config.cache_mb << 20:
            self.progress.say(
                f"the frozen trunk's activations would take {trunk.bytes >> 20:,} MiB, more than cache_mb={self.config.cache_mb}: computing them in every epoch"
            )
            return
        with self.progress.bar("frozen layers, once for all epochs", len(self.tokens)) as advance:
            done = 0
            for now in trunk.fill():
                advance(now - done)
                done = now

    def _steps(self, plan: Plan, state: loop.State, best: _Best, history: list[Any], losses: dict[str, Tally[float]]) -> None:
        fit, saved = self.fit_config, time.monotonic()
        tracker = follow(self.journal, self.config.track)
        if history and _stops(best, fit):
            return
        with self.progress.bar(f"{self.name}: learning", plan.steps) as advance:
            advance(state.step)
            try:
                for step in loop.fit(self.network, self._batch, plan, fit, state):
                    advance(1)
                    losses = {head: losses.get(head, Tally(0.0, 0.0)) + tally for head, tally in step.losses.items()}
                    line = {"step": step.number, "epoch": step.epoch, "loss": step.loss, "learning_rate": step.learning_rate}
                    self.journal.add(**line, gradient_norm=step.gradient_norm, tokens=step.tokens, seconds=round(step.seconds, 5))
                    if step.ends_epoch:
                        mean = loop.weighted(losses, self.network.weights)
                        history.append(
                            {"epoch": step.epoch, "step": step.number, "train_loss": mean, **self._validate(state, best, step.epoch)}
                        )
                        self.progress.say(describe.epoch_line(history[-1]))
                        self.journal.add(**history[-1])
                        losses = {}
                    if step.ends_epoch or time.monotonic() - saved >= self.config.checkpoint_seconds:
                        self._save(state, best, history, losses)
                        tracker()
                        saved = time.monotonic()
                    if step.ends_epoch and _stops(best, fit):
                        self.progress.say(f"stopped after epoch {step.epoch}: no better validation for {fit.patience} epochs")
                        break
            except DivergedError as error:
                self._flush_after(error)

    def _flush_after(self, error: DivergedError) -> None:
        self.journal.flush()
        kept = self.folder / "checkpoints" / checkpoint.FILE
        where = f"; the last good checkpoint is {kept}" if kept.is_file() else "; no checkpoint had been written yet"
        raise DivergedError(f"{error}{where}") from None

    def _save(self, state: loop.State, best: _Best, history: list[Any], losses: Mapping[str, Tally[float]]) -> None:
        self.journal.flush()
        facts = {
            "best": {"value": best.value, "epoch": best.epoch, "stale": best.stale},
            "history": history,
            "losses": {head: (tally.total, tally.count) for head, tally in losses.items()},
        }
        checkpoint.save(self.folder / "checkpoints", self.network, state, best.weights or {}, facts)

    def _validate(self, state: loop.State, best: _Best, epoch: int) -> dict[str, float]:
        """Judge the weights of this epoch (their mean, once averaging has begun) and remember the best."""
        last = {name: tensor.clone() for name, tensor in checkpoint.learning(self.network).items()}
        judged = {name: tensor.clone() for name, tensor in state.mean.items()} or last
        if not len(self.valid_rows):
            best.value, best.epoch, best.weights = float(epoch), epoch, judged
            return {}
        checkpoint.restore(self.network, judged)
        answer = self.task.answer(self._scores(), self.fitted)
        checkpoint.restore(self.network, last)
        chosen = {name: self.task.metrics[name] for name in dict.fromkeys(["accuracy", self.task.judge_by])}
        found = {f"valid_{name}": metric.point(self._valid_targets(), answer.values) for name, metric in chosen.items()}
        value = found[f"valid_{self.task.judge_by}"]
        better = value > best.value if self.task.metrics[self.task.judge_by].higher_is_better else -value > best.value
        if better:
            best.value, best.epoch, best.stale, best.weights = value, epoch, 0, judged
        else:
            best.stale += 1
        return found

    def _valid_targets(self) -> dict[str, npt.NDArray[Any]]:
        return {name: column[len(self.train_rows) :] for name, column in self.targets.items()}

    def _scores(self) -> Scores:
        rows = np.arange(len(self.train_rows), len(self.tokens), dtype=np.int64)
        found = run(self.network, self.tokens, self.fit_config.precision or "fp32", rows, self.trunk)
        if not all(np.isfinite(values).all() for values in found.values.values()):
            rate = self.fit_config.learning_rate or 0.0
            raise DivergedError(
                f"training: the answers on validation rows are no numbers any more; try learning_rate={rate / 5:.2g}, now {rate:g}"
            )
        return found

    def _choose(self) -> None:
        """Thresholds, calibration and the final judgement on validation."""
        self.judgement = None
        if not len(self.valid_rows):
            self.progress.say("no validation rows: the last epoch is kept and probabilities are not calibrated")
            return
        from shoplm.pipeline.judging import judge_of, known

        scores = self._scores()
        self.fitted = self.task.choose(scores, self._valid_targets(), self.fitted)
        values = self.task.answer(scores, self.fitted).values
        judge = judge_of(self.task, values, known(self._valid_targets()))
        judge.update(self._valid_targets(), values)
        self.judgement = judge.result()

    def part(self) -> TaskPart:
        """What goes into the bundle."""
        self.network.eval()
        return TaskPart(self.network, self.config.adapter.method, self.fitted.model_dump_json(indent=1))

    def judged(self) -> dict[str, Any]:
        """What validation says, as plain values."""
        said = {} if self.judgement is None else self.judgement.plain()
        return {"split": "valid", "best_epoch": self.best.epoch, **said}

    def facts(self) -> dict[str, Any]:
        """What the bundle remembers of its making."""
        return {
            "data_version": self.view.data_version, "rows_digest": self.prepared.digest, "train_rows": len(self.train_rows),
            "valid_rows": len(self.valid_rows), "recipe": self.config.plain(),
        }  # fmt: skip

    def end(self) -> None:
        """After the bundle is written: the report, and what a finished run no longer needs goes."""
        describe.training_report(self.folder, self.name, self.judgement, self.fitted, self.prepared, self.facts(), self.history)
        for name in ("checkpoints", "cache"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        (self.folder / "unfinished").unlink(missing_ok=True)


def _manifest(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if not {"rows_digest", "precision", "config"} <= set(found):
            raise ValueError("it lacks what a resumed run needs")
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: not a run's manifest ({error}); start again without --resume") from None
    return found


def _stops(best: _Best, fit: loop.FitConfig) -> bool:
    return fit.patience is not None and best.stale >= fit.patience


def _differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for group in sorted(set(left) | set(right)):
        a, b = left.get(group), right.get(group)
        if isinstance(a, dict) and isinstance(b, dict):
            found += [(group, key) for key in sorted(set(a) | set(b)) if a.get(key) != b.get(key)]
        elif a != b:
            found.append((group, ""))
    return found
