"""compare: every method, or every pre-trained model, with a search of its own; the best of each again with several seeds.

    <out>/
      plan.json        what is compared, and the seconds that each may use
      study.db         the Optuna studies, one a candidate
      finalists/       what each repeat found
      recipe.yaml      the chosen recipe; recipes/ holds that of every finalist
      compare.json, report.html

What always holds: only validation rows choose, and the test rows are judged once, for finalists, at the end. The same
command goes on where a killed one was; what was done is not done again.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shoplm import task as tasks
from shoplm.data.shop import Shop
from shoplm.errors import ConfigError, DataError, ResourceError, RunError
from shoplm.evaluate.compare_page import ComparePage, summary
from shoplm.files import write_text
from shoplm.model.backbone import load_backbone
from shoplm.model.precision import Precision, faster
from shoplm.pipeline import describe
from shoplm.pipeline.bundle import source_of
from shoplm.pipeline.compare import outcome, spaces
from shoplm.pipeline.compare.attempt import ANSWERED, Attempt, attempt, expected, memory_mb, thin
from shoplm.pipeline.compare.candidates import Candidate, CompareConfig, candidates
from shoplm.pipeline.compare.outcome import Finalist, slug
from shoplm.pipeline.compare.repeating import Job, repeat
from shoplm.pipeline.compare.search import Limits, Quest, Studies, Trial, best, front, require, search
from shoplm.pipeline.compare.spaces import Frame
from shoplm.pipeline.config import RunConfig, resolve
from shoplm.pipeline.lesson import Lesson, lesson_of
from shoplm.pipeline.prepare import origin
from shoplm.pipeline.progress import Progress, Silent

FEW_VALID = 300
"""Validation rows below which a choice among many trials is mostly luck; said, not refused."""
FINALISTS = 8
"""A Pareto search repeats at most so many, the best quality first."""
RUNS = 4
"""Without a budget each candidate may use so many times the longest run of a recipe as it is."""


Lessons = Mapping[str, tuple[Lesson, Frame]]
"""Backbone -> what is to be learnt, in its tokens."""


@dataclass(frozen=True)
class Comparison:
    """What was found."""

    out: Path
    page: ComparePage
    facts: Mapping[str, Any]

    def plain(self) -> dict[str, Any]:
        """The object that ``compare --json`` prints."""
        return dict(self.facts)

    def __str__(self) -> str:
        return f"{summary(self.page)}\n\n{self.page.verdict}"

    @property
    def after(self) -> str:
        """What to type next."""
        return self.page.commands[0]


def compare(task: str, data: Any, out: str | Path | None = None, *, progress: Progress | None = None, **settings: Any) -> Comparison:
    """Compare methods or pre-trained models on one task, from Python.

    Args:
        task: a task's name.
        data: a ``Shop``, the path of one, the path of a plain file, or a pandas, polars or pyarrow table.
        out: the comparison's folder; None = ``compare-<task>``. One that stands there is gone on with.
        progress: who waits; None = nobody.
        settings: ``methods``, ``backbones``, ``trials``, ``budget``, ``seeds``, ``objective``; and settings of a run, which
            are then the same for every trial: ``epochs=3``, ``max_length=64``, …

    Raises:
        InputError: the data or a setting is wrong, or the folder holds another comparison.
        RunError: nothing came to an end.
    """
    import tempfile

    own = {key: settings.pop(key) for key in list(settings) if key in CompareConfig.model_fields}
    own = {key: value for key, value in own.items() if value is not None}
    for key in ("methods", "backbones", "objective"):
        if isinstance(own.get(key), str):
            own[key] = own[key].split(",")
    config = CompareConfig.read(task, **own)
    with tempfile.TemporaryDirectory(prefix="shoplm-") as scratch:
        shop, file = source_of(data, Path(scratch))
        return run(config, candidates(config, (), settings), shop=shop, data=file, out=Path(out or f"compare-{task}"), progress=progress)


def run(
    config: CompareConfig,
    compared: Sequence[Candidate],
    *,
    shop: Path | Shop | None = None,
    data: Path | None = None,
    mapping: Mapping[str, str] | None = None,
    out: Path,
    restart: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Search, repeat, judge, write.

    Args:
        config: how much of it.
        compared: the candidates.
        shop: a shop, or
        data: a plain file, with
        mapping: ours -> theirs.
        out: the folder; the comparison that stands there is gone on with.
        restart: throw that one away instead.
        progress: who waits.

    Raises:
        InputError: the data or a setting is wrong, or ``out`` holds something else; nothing was written.
        ResourceError: memory or disk ran out.
        RunError: no candidate came to its end.
    """
    waiting, begin = progress or Silent(), time.perf_counter()
    require()
    if out.exists() and (out.is_file() or (any(out.iterdir()) and not (out / "plan.json").is_file())):
        raise ConfigError(f"--out {out}: is not empty and no comparison; choose another place")
    source = _Source(shop, data, dict(mapping or {}))
    lessons = _lessons(config, compared, source, waiting)
    reading = time.perf_counter() - begin
    if not config.methods:
        compared = _fitting(compared, lessons, waiting)
    plan = _plan(config, compared, lessons, out, None if restart else _Plan.read(out), waiting)
    with _alone(out):
        if restart:
            _clear(out)
        plan.write(out)
        for line in _said(config, compared, lessons, plan, reading):
            waiting.say(line)
        tried = _search(config, compared, lessons, plan, out, waiting)
        finalists = _finalists(config, compared, lessons, tried)
        runs = _repeat(config, finalists, lessons, plan, source, out, waiting)
        shutil.rmtree(out / "work", ignore_errors=True)
        facts = {
            "task": config.task, "data_version": lessons[compared[0].config.backbone][0].view.data_version, "objective": list(config.objective),
            "trials": config.trials, "budget_seconds": round(plan.budget, 3), "seeds": config.seeds,
        }  # fmt: skip
        page, facts = outcome.write(out, finalists, runs, tried, lessons[compared[0].config.backbone][0], source.words, facts)
    waiting.say(f"compared in {describe.duration(time.perf_counter() - begin)}")
    return Comparison(out, page, facts)


@dataclass(frozen=True)
class _Source:
    """Where the rows are."""

    shop: Path | Shop | None
    data: Path | None
    mapping: dict[str, str]

    @property
    def place(self) -> tuple[str | None, str | None]:
        """(shop, file) for another process."""
        folder = self.shop.path if isinstance(self.shop, Shop) else self.shop
        return (str(Path(folder).absolute()) if folder else None, str(self.data.absolute()) if self.data else None)

    @property
    def words(self) -> list[str]:
        """As on a command line."""
        if self.data is None:
            return ["--shop", str(self.shop.path if isinstance(self.shop, Shop) else self.shop)]
        shown = "FILE" if self.data.parent.name.startswith("shoplm-") else str(self.data)  # a table that came from Python has no file
        return ["--data", shown, *(word for ours, theirs in self.mapping.items() for word in ("--map", f"{ours}={theirs}"))]


def _lessons(config: CompareConfig, compared: Sequence[Candidate], source: _Source, progress: Progress) -> dict[str, tuple[Lesson, Frame]]:
    """Each backbone's lesson: rows are read once, and tokenised once for all trials of a backbone."""
    found: dict[str, tuple[Lesson, Frame]] = {}
    task = tasks.get(config.task)
    with origin(task, source.shop, source.data, source.mapping, progress) as rows:
        for candidate in compared:
            name = candidate.config.backbone
            if name not in found:
                backbone = load_backbone(name, candidate.config.text)
                lesson = lesson_of(config.task, task, rows.view, candidate.config, backbone.tokenizer, Silent() if found else progress)
                found[name] = lesson, Frame(lesson.train, backbone.depth, backbone.positions - backbone.tokenizer.config.max_length)
    lesson, _ = next(iter(found.values()))
    if not len(lesson.valid_rows):
        raise DataError(
            f"{task.subject}: no validation rows with an answer, and compare chooses by them; set valid=0.1, or give rows `valid` in the `split` column"
        )
    progress.say(describe.rows_line(task.subject, lesson.prepared, lesson.train, len(lesson.valid_rows)))
    return found


def _fitting(compared: Sequence[Candidate], lessons: Lessons, progress: Progress) -> list[Candidate]:
    """Without a prefix that nobody asked for by name where texts leave it no positions."""
    kept = []
    for candidate in compared:
        _, frame = lessons[candidate.config.backbone]
        if candidate.method == "prefix" and candidate.config.adapter.num_virtual_tokens > frame.room:
            progress.say(
                f"{candidate.name} is left out: texts leave {frame.room} of the backbone's positions to it; set a smaller max_length"
            )
        else:
            kept.append(candidate)
    return kept


@dataclass(frozen=True)
class _Plan:
    """What a comparison was begun with; a later call must fit it."""

    task: str
    objective: list[str]
    rows: dict[str, str]
    """backbone -> digest of the rows."""
    candidates: dict[str, Any]
    """name -> settings."""
    expected: dict[str, float]
    """name -> seconds of one run of the recipe as it is."""
    budget: float
    asked: float | None
    precision: Precision

    @staticmethod
    def read(out: Path) -> _Plan | None:
        """The one in a folder.

        Raises:
            DataError: it cannot be read.
        """
        path = out / "plan.json"
        if not path.is_file():
            return None
        try:
            return _Plan(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{path}: cannot be read ({error}); give --restart, or another --out") from None

    def write(self, out: Path) -> None:
        """Into a folder, whole or not at all."""
        write_text(out / "plan.json", json.dumps(self.__dict__, indent=1, ensure_ascii=False))


def _plan(
    config: CompareConfig,
    compared: Sequence[Candidate],
    lessons: Lessons,
    out: Path,
    before: _Plan | None,
    progress: Progress,
) -> _Plan:
    """The plan of the comparison to go on with, or a new one.

    Raises:
        ConfigError: another comparison stands there, or the budget is too small for one trial.
    """
    rows = {name: lesson.prepared.digest for name, (lesson, _) in lessons.items()}
    wanted = {candidate.name: candidate.config.plain() for candidate in compared}
    if before is not None:
        differs = [name for name, value in (("task", config.task), ("objective", list(config.objective))) if getattr(before, name) != value]
        differs += [f"settings of {name}" for name in wanted.keys() & before.candidates.keys() if wanted[name] != before.candidates[name]]
        differs += ["rows" for name in rows.keys() & before.rows.keys() if rows[name] != before.rows[name]][:1]
        if differs:
            raise ConfigError(
                f"--out {out}: holds another comparison ({', '.join(sorted(differs))} differ); choose another --out, or throw it away with --restart"
            )
    known = dict(before.expected) if before else {}
    precision = before.precision if before else compared[0].config.fit.precision or faster()
    new = [candidate for candidate in compared if candidate.name not in known]
    with progress.bar("how long one run takes", len(new)) as advance:
        for candidate in new:
            known[candidate.name] = round(_expected(candidate, *lessons[candidate.config.backbone], precision, out), 3)
            advance(1)
    kept = before.budget if before and config.budget == before.asked else None
    here = {candidate.name: known[candidate.name] for candidate in compared}
    budget = config.budget or kept or max(1.0, RUNS * max(here.values()))
    slow = max(here, key=lambda name: here[name])
    if new and budget < here[slow]:
        raise ConfigError(
            f"--budget {budget:g}: too small for one trial of {slow}, which takes about {here[slow]:.0f} s here; give at least {int(here[slow]) + 1}, "
            f"or leave {slow} out"
        )
    if before:
        wanted, rows = {**before.candidates, **wanted}, {**before.rows, **rows}
    return _Plan(config.task, list(config.objective), rows, wanted, known, budget, config.budget, precision)


def _expected(candidate: Candidate, lesson: Lesson, frame: Frame, precision: Precision, out: Path) -> float:
    config = _resolved(candidate.config, frame, precision)
    seconds = expected(lesson, config, load_backbone(config.backbone, config.text), out / "work")
    gc.collect()  # modules hold one another
    return seconds


def _resolved(config: RunConfig, frame: Frame, precision: Precision) -> RunConfig:
    done = resolve(config, frame.rows, frame.depth)
    return done.model_copy(update={"fit": done.fit.model_copy(update={"precision": config.fit.precision or precision})})


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """No two processes work on one comparison.

    Raises:
        ConfigError: another one does.
        ResourceError: the folder cannot be written.
    """
    import fcntl

    try:
        out.mkdir(parents=True, exist_ok=True)
        file = open(out / ".lock", "a", encoding="utf-8")  # noqa: SIM115  (closed below; made anew it would be another file, and no lock)
    except OSError as error:
        raise ResourceError(f"--out {out}: cannot be written ({error.strerror}); choose another place") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"--out {out}: another process is at work there; wait for it, or choose another place") from None
        yield


def _clear(out: Path) -> None:
    """Remove a comparison, all but its lock."""
    for path in out.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != ".lock":
            path.unlink()


def _said(config: CompareConfig, compared: Sequence[Candidate], lessons: Lessons, plan: _Plan, reading: float) -> list[str]:
    """All that is to be known before the start."""
    lesson = next(iter(lessons.values()))[0]
    task, test, valid = lesson.task, len(lesson.prepared.at("test")), len(lesson.valid_rows)
    ones = {candidate.name: plan.expected[candidate.name] for candidate in compared}
    searching = sum(min(plan.budget, config.trials * seconds) + config.trials for seconds in ones.values())  # a second to load each
    repeating = config.seeds * sum(seconds + reading + 10 for seconds in ones.values())  # a process takes ten to begin and to judge
    judge = f"judged once on {test:,} test rows" if test else "judged on the validation rows, for there are no test rows"
    how = "halved by validation after a quarter and a half of their steps" if len(config.objective) == 1 else "none stopped early"
    lines = [
        f"comparing {', '.join(ones)}; validation {task.judge_by} chooses. Models behind an endpoint take prompts and are not tuned here",
        f"each: up to {config.trials} trials in {describe.duration(plan.budget)} of training, {how}; frozen layers, steps and judging count, "
        f"reading and loading do not. One run as the recipe is: {', '.join(f'{name} {describe.duration(seconds)}' for name, seconds in ones.items())}",
        f"then the best of each {config.seeds} time{'s' if config.seeds > 1 else ''} at full size, each in a process of its own, {judge}",
        f"about {describe.duration(searching + repeating)} in all, at most; memory of the search up to {memory_mb():,.0f} MB",
    ]
    if valid < FEW_VALID:
        lines.append(
            f"warning: {valid:,} validation rows choose among many trials: much of what they see is chance; trust the test rows' intervals"
        )
    return lines


def _search(
    config: CompareConfig,
    compared: Sequence[Candidate],
    lessons: Lessons,
    plan: _Plan,
    out: Path,
    progress: Progress,
) -> dict[str, list[Trial]]:
    """The trials of each candidate."""
    studies = Studies(out / "study.db", config.objective)
    tried: dict[str, list[Trial]] = {}
    try:
        for candidate in compared:
            lesson, frame = lessons[candidate.config.backbone]
            quest = Quest(
                candidate.name,
                spaces.space(candidate.config, frame),
                spaces.default(candidate.config, frame),
                _trying(candidate, lesson, frame, plan.precision, out / "work", "latency" in config.objective),
            )
            seed = candidate.config.fit.seed
            tried[candidate.name] = search(studies, quest, Limits(config.trials, plan.budget), seed, progress)
    finally:
        studies.close()
    return tried


def _trying(
    candidate: Candidate, lesson: Lesson, frame: Frame, precision: Precision, work: Path, timed: bool
) -> Callable[[spaces.Params, float, Callable[[int, float], bool]], Attempt]:
    def trying(params: spaces.Params, allowed: float, rung: Callable[[int, float], bool]) -> Attempt:
        config = _resolved(spaces.laid(candidate.config, params, frame), frame, precision)
        thin(work, config.cache_mb << 20)
        backbone = load_backbone(config.backbone, config.text)
        ended = attempt(lesson, config, backbone, work, allowed=allowed, rung=rung, timed=timed)
        del backbone
        gc.collect()  # modules hold one another
        return ended

    return trying


def _finalists(
    config: CompareConfig, compared: Sequence[Candidate], lessons: Lessons, tried: Mapping[str, Sequence[Trial]]
) -> list[Finalist]:
    """The best trial of each candidate; in a Pareto search every trade-off that no other beats.

    Raises:
        RunError: no trial came to its end.
    """
    by_name = {candidate.name: candidate for candidate in compared}
    if len(config.objective) == 1:
        pairs = [(name, leading) for name, trials in tried.items() if (leading := best(trials)) is not None]
    else:
        pairs = front([(name, trial) for name, trials in tried.items() for trial in trials], config.objective)[:FINALISTS]
    if not pairs:
        states = sorted({trial.state for trials in tried.values() for trial in trials})
        raise RunError(
            f"no trial came to its end ({', '.join(states)}); give a larger --budget, a smaller batch_size or a smaller max_length"
        )
    listed = []
    for name, trial in pairs:
        candidate = by_name[name]
        _, frame = lessons[candidate.config.backbone]
        label = name if len(config.objective) == 1 else f"{name} #{trial.number}"
        listed.append(Finalist(label, candidate, trial, spaces.laid(candidate.config, trial.params, frame), frame.depth))
    return listed


def _repeat(
    config: CompareConfig,
    finalists: Sequence[Finalist],
    lessons: Lessons,
    plan: _Plan,
    source: _Source,
    out: Path,
    progress: Progress,
) -> dict[str, list[dict[str, Any]]]:
    """What each seed of each finalist found; kept in files, so that none is trained twice."""
    runs: dict[str, list[dict[str, Any]]] = {}
    shop, data = source.place
    with progress.bar("finalists, each seed in a process of its own", len(finalists) * config.seeds) as advance:
        for finalist in finalists:
            lesson, _ = lessons[finalist.candidate.config.backbone]
            lengths = np.quantile(lesson.tokens.lengths[lesson.valid_rows], np.linspace(0, 1, ANSWERED)).astype(int).tolist()
            split = "test" if len(lesson.prepared.at("test")) else "valid"
            for seed in range(config.seeds):
                fit = finalist.config.fit
                fit = fit.model_copy(update={"seed": fit.seed + seed, "precision": fit.precision or plan.precision})
                plain = finalist.config.model_copy(update={"fit": fit}).plain()
                plainly = not any(one.get("baselines") for several in runs.values() for one in several)
                job = Job(plain, shop, data, source.mapping, lesson.prepared.digest, split, lengths, baselines=plainly)
                one = _kept(out / "finalists", finalist.name, job, out / "work" / "repeat")
                runs.setdefault(finalist.name, []).append(one)
                if "failed" in one:
                    progress.say(f"{finalist.name}, seed {fit.seed}: failed: {one['failed']}")
                else:
                    value = one["judged"]["points"].get(lesson.task.judge_by, 0.0)
                    progress.say(
                        f"{finalist.name}, seed {fit.seed}: {lesson.task.judge_by} {value:.4f} on {split} rows in {one['seconds']:.1f} s"
                    )
                advance(1)
    return runs


def _kept(folder: Path, name: str, job: Job, scratch: Path) -> dict[str, Any]:
    """A repeat as it was found before, or found now and kept; one that failed is tried again the next time."""
    told = json.dumps([job.config, job.rows_digest, job.split], sort_keys=True)
    path = folder / f"{slug(name)}-{hashlib.sha256(told.encode()).hexdigest()[:12]}.json"
    if path.is_file():
        before: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return before
    one = repeat(job, scratch)
    if "failed" not in one:
        write_text(path, json.dumps(one))
    return one
