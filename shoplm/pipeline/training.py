"""train: rows in, a fine-tuned, judged, saved bundle out. A run that was killed goes on where it was saved."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shoplm import task as tasks
from shoplm.data.shop import Shop
from shoplm.errors import ConfigError, ResourceError
from shoplm.model import bundle as files
from shoplm.model import folder
from shoplm.model.backbone import Backbone, load_backbone
from shoplm.model.bundle import Contents
from shoplm.pipeline import describe, transfer
from shoplm.pipeline.bundle import Bundle, load, source_of
from shoplm.pipeline.config import RunConfig
from shoplm.pipeline.learning import Learnt, learn
from shoplm.pipeline.lesson import Lesson, lesson_of
from shoplm.pipeline.prepare import origin
from shoplm.pipeline.progress import Progress, Silent
from shoplm.pipeline.resuming import Unfinished, refuse_to_lose
from shoplm.pipeline.together import Together, learn_together, ways_of
from shoplm.train import checkpoint


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
    config = RunConfig.read([task], **settings)
    with tempfile.TemporaryDirectory(prefix="shoplm-") as scratch:
        place = Path(out) if out is not None else Path(scratch) / "bundle"
        shop, file = source_of(data, Path(scratch))
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
    unfinished: Unfinished = "refuse",
    progress: Progress | None = None,
) -> Bundle:
    """Fine-tune the backbone for every task of ``config`` and write the bundle to ``out``.

    Args:
        config: the run's settings.
        shop: a shop, or
        data: a plain file whose columns carry the task's field names, or are named by
        mapping: ours -> theirs.
        out: the bundle's folder; ``<out>/run`` is its journal.
        unfinished: what to do about a run that stands in ``<out>/run`` and has not ended.
        progress: who waits.

    Raises:
        InputError: the data or a setting is wrong, or a run that has not ended would be lost; nothing was written.
        DivergedError: the loss exploded; the last good checkpoint stays.
        ResourceError: memory or disk ran out.
    """
    waiting = progress or Silent()
    begin = time.perf_counter()
    folder.recover(out)
    if out.exists() and (out.is_file() or not folder.is_ours(out)):
        raise ConfigError(f"--out {out}: is not empty and no bundle; choose another place")
    if out.exists() and Path(config.backbone).expanduser().resolve() == out.resolve():
        raise ConfigError(f"--out {out}: is the backbone itself, which the bundle would replace; choose another place")
    if unfinished == "refuse":
        refuse_to_lose(out)
    if unfinished == "resume" and (out / "checksums.json").is_file() and not any((out / "run").rglob("unfinished")):
        waiting.say(f"{out}: this run has ended already, nothing to resume")
        return load(out)
    host, ancestor, config = _taken_over(config)
    backbone = host.backbone if host else ancestor.backbone(config) if ancestor else None
    lessons: list[Lesson] = []
    with nothing_half_written(out):
        for name in config.tasks:
            with origin(tasks.get(name), shop, data, mapping, waiting) as source:
                backbone = backbone or load_backbone(config.backbone, config.text)
                lessons.append(lesson_of(name, tasks.get(name), source.view, config, backbone.tokenizer, waiting))
        assert backbone is not None
        run_folder, found = out / "run", []
        for way in (ways := ways_of(config)):
            folder_of_way = run_folder / way if len(ways) > 1 else run_folder
            if way == "own":
                learnt = _one_by_one(lessons, config, backbone, folder_of_way, unfinished, waiting, host, ancestor)
                found.append(Together(way, backbone, learnt, folder_of_way))
            else:
                found.append(learn_together(lessons, config, backbone, folder_of_way, unfinished, waiting, way))
            if way != ways[-1]:
                backbone = load_backbone(config.backbone, config.text)
        best = max(found, key=lambda ended: ended.value)
        if len(found) > 1:
            scores = ", ".join(f"{ended.sharing} {ended.value:.4f}" for ended in found)
            waiting.say(f"sharing: {scores} (validation, mean over the tasks); `{best.sharing}` answers")
        metrics = {**(host.metrics if host else {}), **{name: ended.metrics for name, ended in best.learnt.items()}}
        facts = {**(host.facts if host else {}), **{name: ended.facts for name, ended in best.learnt.items()}}
        contents = Contents(
            backbone=best.backbone,
            changed=config.adapter.method == "full" or (ancestor is not None and ancestor.contents.changed),
            tasks={**(host.tasks if host else {}), **{name: ended.part for name, ended in best.learnt.items()}},
            facts=facts,
            metrics=metrics,
            card=describe.card(backbone.name, backbone.pooling, config, metrics, facts),
        )
        files.write(contents, out)
        best.end(found)
    waiting.say(f"trained in {time.perf_counter() - begin:.1f} s")
    return Bundle(contents, out)


def _one_by_one(
    lessons: Sequence[Lesson],
    config: RunConfig,
    backbone: Backbone,
    folder: Path,
    unfinished: Unfinished,
    progress: Progress,
    host: Contents | None,
    ancestor: transfer.Ancestor | None,
) -> dict[str, Learnt]:
    """Each lesson with an adapter of its own; what a host's tasks answer is compared before and after."""
    learnt = {}
    for lesson in lessons:
        before = transfer.answers(host, lesson.tokens) if host else {}
        place = folder if len(lessons) == 1 and not host else folder / lesson.name
        learnt[lesson.name] = learn(lesson, config, backbone, place, unfinished, progress, ancestor)
        for line in transfer.forgotten(before, transfer.answers(host, lesson.tokens)) if host else ():
            progress.say(line)
    return learnt


def _taken_over(config: RunConfig) -> tuple[Contents | None, transfer.Ancestor | None, RunConfig]:
    """The bundle that the tasks go into, the task that they start from, and the settings that follow from them.

    Raises:
        InputError: a bundle is not to be used, or does not fit the settings.
    """
    if config.into is not None and config.start is not None:
        raise ConfigError("--into and --from: a task beside others keeps their backbone as it is; give one of the two")
    if config.into is not None and config.mixture.sharing != "own":
        raise ConfigError(
            f"`sharing`={config.mixture.sharing}: what --into {config.into} holds stays as it is; leave sharing out, or train all of them together"
        )
    if config.into is not None:
        return (found := transfer.host(Path(config.into), config))[0], None, found[1]
    if config.start is None:
        return None, None, config
    if len(config.tasks) > 1:
        raise ConfigError(f"--from {config.start}: one task starts from another; train {', '.join(config.tasks)} one by one")
    ancestor = transfer.ancestor(config.start, config.tasks[0])
    return None, ancestor, transfer.started(config, ancestor)


@contextlib.contextmanager
def nothing_half_written(out: Path) -> Iterator[None]:
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
