"""The search of one candidate: trials asked of an Optuna study, halved on validation, ended by their number or by seconds.

What always holds: the first trial is the recipe as it is; a study is a file that outlives a kill, and a search that was
killed goes on with the same draws, since the sampler of a trial depends on the seed, the candidate and how many trials are
over, and on nothing that was in memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from shoplm.errors import ConfigError
from shoplm.pipeline.compare.attempt import RUNGS, Attempt, State
from shoplm.pipeline.compare.spaces import Params, Space, drawn
from shoplm.pipeline.progress import Progress

if TYPE_CHECKING:
    import optuna

Objective = Literal["quality", "latency", "size"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
Trying = Callable[[Params, float, Callable[[int, float], bool]], Attempt]
"""Values, seconds allowed and the rung's answer -> what came of it."""
DRAWN = 5
"""Trials that are drawn evenly before the sampler (TPE) believes that it has learnt something."""


@dataclass(frozen=True)
class Limits:
    """When a search ends: whichever comes first."""

    trials: int
    """At most, those stopped by halving included."""
    seconds: float
    """Of training, over all trials; the first trial is always brought to its end."""


@dataclass(frozen=True)
class Trial:
    """One trial of a study, as it ended."""

    number: int
    state: State | Literal["killed"]
    params: Params
    value: float | None
    """What validation said last, higher is better; None where it never came to that."""
    seconds: float
    latency_ms: float | None = None
    kept_bytes: int | None = None

    @property
    def counts(self) -> bool:
        """Whether it is one of the trials that were asked for; one that was killed or ran out of time is not."""
        return self.state not in ("killed", "out of time")

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        found = {
            "number": self.number,
            "state": self.state,
            "params": dict(self.params),
            "value": self.value,
            "seconds": round(self.seconds, 3),
        }
        if self.latency_ms is not None:
            found |= {"latency_ms": round(self.latency_ms, 3), "kept_bytes": self.kept_bytes}
        return found


@dataclass(frozen=True)
class Quest:
    """What is searched for one candidate."""

    name: str
    searched: Mapping[str, Space]
    default: Params
    """The recipe's own values of what is searched: the first trial's."""
    trying: Trying


def search(studies: Studies, quest: Quest, limits: Limits, seed: int, progress: Progress) -> list[Trial]:
    """Bring the study of a candidate to its limits; nothing is done for one that is there already.

    Args:
        studies: where it is kept.
        quest: the candidate.
        limits: when to end.
        seed: of the draws.
        progress: who waits.

    Returns:
        All trials of the study, in order.
    """
    study = studies.open(quest.name)
    found = trials(study)
    with progress.bar(f"{quest.name}: trials", limits.trials) as advance:
        advance(min(limits.trials, sum(trial.counts for trial in found)))
        while sum(trial.counts for trial in found) < limits.trials and _left(found, limits) > 0:
            over = sum(trial.counts for trial in found)
            study.sampler = _sampler(seed, quest.name, over)
            if not over and not any(trial.state.name == "WAITING" for trial in study.get_trials(deepcopy=False)):
                study.enqueue_trial(dict(quest.default))
            asked = study.ask()
            params = drawn(asked, quest.searched)
            _run(studies.objective, study, asked, params, quest.trying, _left(found, limits) if over else float("inf"))
            found = trials(study)
            if found[-1].counts:
                advance(1)
            progress.say(_line(quest.name, found, limits))
    return found


def _run(objective: Sequence[Objective], study: optuna.Study, asked: optuna.Trial, params: Params, trying: Trying, allowed: float) -> None:
    """One trial, and its end told to the study."""
    one = len(objective) == 1

    def rung(part: int, value: float) -> bool:
        asked.set_user_attr("value", value)
        if not one:  # Optuna halves by one objective only, and a trial that is worse may still be the smallest
            return True
        asked.report(value, part)
        return not asked.should_prune()

    found = trying(params, allowed, rung)
    said = {"seconds": found.seconds, "value": found.value, "latency_ms": found.latency_ms, "kept_bytes": found.kept_bytes}
    for name, value in said.items():
        if value is not None:
            asked.set_user_attr(name, value)
    asked.set_user_attr("state", found.state)
    _tell(objective, study, trials(study)[-1])


def _tell(objective: Sequence[Objective], study: optuna.Study, ended: Trial) -> None:
    """The study how a trial ended."""
    from optuna.trial import TrialState

    if ended.state == "done":
        study.tell(ended.number, [_cost(ended, name) * (-1 if name == "quality" else 1) for name in objective])
    else:  # a trial that learnt nothing tells the sampler where not to look; one that had no time left tells nothing
        study.tell(ended.number, state=TrialState.PRUNED if len(objective) == 1 and ended.counts else TrialState.FAIL)


def _left(found: Sequence[Trial], limits: Limits) -> float:
    """Seconds that the search still has."""
    return limits.seconds - sum(trial.seconds for trial in found)


def _sampler(seed: int, name: str, over: int) -> Any:
    import optuna

    mixed = np.random.SeedSequence([seed, zlib.crc32(name.encode()), over]).generate_state(1)[0]
    return optuna.samplers.TPESampler(seed=int(mixed), n_startup_trials=DRAWN)


def trials(study: optuna.Study, *, waiting: bool = False) -> list[Trial]:
    """What a study holds, with those that nobody has begun yet if asked; a trial without an end was killed."""
    return [
        Trial(
            trial.number, trial.user_attrs.get("state", "killed"), trial.params, trial.user_attrs.get("value"),
            float(trial.user_attrs.get("seconds", 0.0)), trial.user_attrs.get("latency_ms"), trial.user_attrs.get("kept_bytes"),
        )
        for trial in study.get_trials(deepcopy=False)
        if waiting or trial.state.name != "WAITING"
    ]  # fmt: skip


def best(found: Sequence[Trial]) -> Trial | None:
    """The trial with the best validation, the earliest of equals; None when none came to its end."""
    done = [trial for trial in found if trial.state == "done"]
    return max(done, key=lambda trial: (trial.value, -trial.number), default=None)


def front(found: Sequence[tuple[str, Trial]], objective: Sequence[Objective]) -> list[tuple[str, Trial]]:
    """Those (candidate, trial) pairs that no other beats in one objective without losing in another, the best quality first."""
    done = [pair for pair in found if pair[1].state == "done"]
    costs = np.array([[_cost(trial, name) for name in objective] for _, trial in done]).reshape(len(done), len(objective))
    kept = [
        at for at in range(len(done))
        if not any((costs[other] <= costs[at]).all() and ((costs[other] < costs[at]).any() or other < at) for other in range(len(done)) if other != at)
    ]  # fmt: skip
    return sorted((done[at] for at in kept), key=lambda pair: -(pair[1].value or 0.0))


def _cost(trial: Trial, objective: Objective) -> float:
    assert trial.value is not None
    if objective == "quality":
        return -trial.value
    return float((trial.latency_ms if objective == "latency" else trial.kept_bytes) or 0.0)


class Studies:
    """The studies of one comparison, all in one SQLite file: its journal makes every write whole or undone, whatever is killed."""

    def __init__(self, path: Path, objective: Sequence[Objective]) -> None:
        """Open or make the file.

        Raises:
            ConfigError: Optuna is not installed.
        """
        require()
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.objective = tuple(objective)
        place = str(path.absolute()).replace("{", "{{").replace("}", "}}")  # Optuna fills braces in
        self._storage = optuna.storages.RDBStorage(f"sqlite:///{place}", engine_kwargs={"connect_args": {"timeout": 60}})

    def open(self, name: str) -> optuna.Study:
        """A candidate's study, made when it is not there; trials that a kill cut off are closed."""
        import optuna

        directions: list[Literal["maximize", "minimize"]] = ["maximize" if one == "quality" else "minimize" for one in self.objective]
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=RUNGS[0], reduction_factor=2)
        study = optuna.create_study(storage=self._storage, study_name=name, directions=directions, pruner=pruner, load_if_exists=True)
        for trial, ended in zip(study.get_trials(deepcopy=False), trials(study, waiting=True), strict=True):
            if trial.state == optuna.trial.TrialState.RUNNING:  # cut off, or just before it could be told
                _tell(self.objective, study, ended)
        return study

    def close(self) -> None:
        """Let go of the file."""
        self._storage.remove_session()
        self._storage.engine.dispose()


def require() -> None:
    """Look for Optuna before any work.

    Raises:
        ConfigError: it is not installed.
    """
    from importlib.util import find_spec

    if find_spec("optuna") is None:
        raise ConfigError("compare searches with Optuna, which is not installed; run: pip install optuna")


def _line(name: str, found: Sequence[Trial], limits: Limits) -> str:
    """``lora, trial 3 of 16: 0.712 (best 0.731) after 12 s: learning_rate=0.0013 r=8``."""
    last, leading = found[-1], best(found)
    said = f"{abs(last.value):.4f}" if last.value is not None else "-"
    top = f" (best {abs(leading.value or 0):.4f})" if leading is not None else ""
    state = "" if last.state == "done" else f" {last.state}"
    values = " ".join(f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}" for key, value in last.params.items())
    return f"{name}, trial {sum(trial.counts for trial in found)} of {limits.trials}{state}: {said}{top} in {last.seconds:.1f} s: {values}"
