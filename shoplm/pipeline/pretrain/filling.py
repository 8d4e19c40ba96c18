"""One pre-training's run: a masked head alone, then the backbone step by step, judged on held-out texts after every epoch.

Words are hidden and must be filled in. A fresh masked head learns alone first, while the backbone stands still: what it
then says of held-out texts is what the backbone knew before. ``anchor`` holds a text's pooled vector to where it was,
since filling in words alone spoils the space that sentence encoders were trained for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shoplm.errors import ConfigError, DivergedError
from shoplm.model import adapters
from shoplm.model.adapters import AdapterConfig
from shoplm.model.backbone import Backbone
from shoplm.model.heads import Head, TextHead, asked
from shoplm.model.masked import Filling
from shoplm.model.network import Network
from shoplm.model.precision import autocast
from shoplm.model.specs import HeadSpec, Vector
from shoplm.pipeline import resuming
from shoplm.pipeline.driving import Way, drive, estimated
from shoplm.pipeline.pretrain.config import PretrainConfig, resolve
from shoplm.pipeline.pretrain.corpus import Corpus
from shoplm.pipeline.progress import Progress
from shoplm.pipeline.resuming import Course, Unfinished
from shoplm.tally import Tally
from shoplm.text.batch import Batch
from shoplm.text.mask import Vocabulary, masked
from shoplm.text.tokenize import Tokens
from shoplm.train import checkpoint, loop
from shoplm.train.journal import Journal
from shoplm.train.plan import Plan
from shoplm.train.plan import cut as cut_batches
from shoplm.train.trunk import FILL_TOKENS, Trunk


@dataclass(frozen=True)
class Run:
    """All that a run works with and none of what it has reached."""

    config: PretrainConfig
    """As resolved."""
    network: Network
    vocabulary: Vocabulary
    texts: Corpus
    fills: Filling
    anchors: Trunk | None
    source: Mapping[str, Any]
    journal: Journal
    progress: Progress
    resumed: bool

    @property
    def plan(self) -> Plan:
        """Which rows at which step."""
        fit = self.config.fit
        assert fit.epochs is not None
        assert fit.batch_size is not None
        return Plan(self.texts.train.lengths, fit.epochs, fit.batch_size, fit.token_budget, fit.seed)

    @property
    def facts(self) -> dict[str, Any]:
        """What the run depends on."""
        tallied, backbone = self.texts.tallied, self.network.backbone
        return {
            **self.source, "read": dict(tallied.read), "train_texts": tallied.train, "valid_texts": tallied.valid, "test_texts_unread": tallied.tested,
            "copies": tallied.copies + tallied.near_copies, "train_tokens": int(self.texts.train.lengths.sum()), "rows_digest": self.texts.digest,
            "redacted": self.config.redact, "backbone": {"name": backbone.name, "digest": backbone.digest},
            "masked_head": "the checkpoint's own" if self.fills.weights else f"a fresh one, alone for {self.config.head_steps} steps",
            "seed": self.config.fit.seed, "precision": self.config.fit.precision, "config": self.config.plain(),
        }  # fmt: skip

    def batch(self, rows: npt.NDArray[np.int64], step: int) -> Batch:
        """Some train rows with words hidden, and where their pooled vectors belong."""
        plain = self.texts.train.batch(rows, self.network.backbone.tokenizer.pad)
        found = masked(plain, self.vocabulary, self.config.mask, self.config.fit.seed, step)
        if self.anchors is None:
            return found
        return replace(found, targets={**found.targets, "anchor": self.anchors.hidden(plain)[:, 0].float().numpy()})


def set_up(
    config: PretrainConfig, backbone: Backbone, fills: Filling, texts: Corpus, source: Mapping[str, Any], place: Path, unfinished: Unfinished,
    progress: Progress,
) -> Run:  # fmt: skip
    """A run over ``texts``.

    Args:
        config: its settings; what they leave open is chosen here.
        backbone: learns.
        fills: its kind's masked head.
        texts: what is read.
        source: where they came from, for the manifest.
        place: the run's folder.
        unfinished: whether to go on with the run that stands there.
        progress: who waits.

    Raises:
        ConfigError: a setting does not fit the backbone, or is not that of the run to go on with.
    """
    resolved = resolve(config, texts.train.lengths, fresh=not fills.weights)
    resolved, resumed = resuming.entered(place, texts.digest, resolved, unfinished, progress)
    precision = resolved.fit.precision or "fp32"
    torch.manual_seed(resolved.fit.seed)
    cut = adapters.attach(
        backbone, AdapterConfig(method="full", layers=resolved.layers or backbone.depth, dropout=resolved.dropout), "pretrain"
    )
    specs: dict[str, HeadSpec] = {"text": fills.spec}
    anchors = None
    if resolved.anchor:
        specs["anchor"] = Vector(resolved.anchor)
        anchors = Trunk(Network(backbone, {"anchor": Vector()}, backbone.depth), texts.train, precision, place / "cache")
        if anchors.bytes > resolved.cache_mb << 20:
            raise ConfigError(
                f"anchor={resolved.anchor:g} keeps {anchors.bytes >> 20:,} MiB of pooled vectors on the disk, more than cache_mb={resolved.cache_mb}; "
                f"raise cache_mb or set anchor=0"
            )
    network = Network(backbone, specs, cut)
    _start_head(network, fills, texts.train)
    assert backbone.mask is not None
    vocabulary = Vocabulary.of(backbone.tokenizer, backbone.mask)
    return Run(resolved, network, vocabulary, texts, fills, anchors, source, Journal(place), progress, resumed)


@torch.no_grad()
def _start_head(network: Network, fills: Filling, tokens: Tokens) -> None:
    """The checkpoint's own masked head; or a fresh one, which hands the backbone's state on and guesses words by how common they are."""
    head = network.heads["text"]
    assert isinstance(head, TextHead)
    for name, parameter in head.named_parameters():
        if name in fills.weights:
            parameter.copy_(fills.weights[name])
        elif name not in fills.names:  # a bias that this kind has not
            parameter.requires_grad_(False)
    if not fills.weights and head.bias.requires_grad:
        counts = torch.zeros(len(head.bias))
        for begin in range(0, len(tokens.ids), 1 << 22):
            counts += torch.bincount(torch.from_numpy(tokens.ids[begin : begin + (1 << 22)].astype(np.int64)), minlength=len(counts))
        head.begin_from_counts(counts)


def learn(run: Run) -> tuple[dict[str, float], dict[str, float], Course]:
    """The run itself; a resumed one ends with the very weights of one never stopped.

    Returns:
        What held-out texts say before and after, and the run's course; the network holds the weights that answer.

    Raises:
        DivergedError: the loss exploded; the last good checkpoint stays.
        ResourceError: memory or disk ran out.
    """
    network, fit, plan, progress = run.network, run.config.fit, run.plan, run.progress
    learning = list(adapters.trainable(network).values())
    everything = sum(parameter.numel() for parameter in network.parameters())
    progress.say(f"mlm: {sum(p.numel() for p in learning):,} of {everything:,} parameters learn; masked head: {run.facts['masked_head']}")
    state = loop.start(network, fit)

    def source(rows: npt.NDArray[np.int64]) -> tuple[Batch, Tensor | None]:
        return run.batch(rows, state.step), None

    original = _pooled(run)
    if run.anchors is not None and not run.anchors.ready:
        with progress.bar("pooled vectors as they are", len(run.texts.train)) as advance:
            done = 0
            for now in run.anchors.fill():
                advance(now - done)
                done = now
    said = estimated(network, source, plan, fit)
    alone = 0 if run.resumed else run.config.head_steps or 0
    progress.say(said + (f"; before that {alone} steps of the masked head alone" if alone else ""))
    if run.resumed:
        course = resuming.restored(run.journal.folder, network, state, plan.steps, progress)
    else:
        course = Course()
        _head_alone(run, plan)
        course.history.append({"epoch": 0, "step": 0, **_judged(run, original)})
        progress.say(f"before: {_said(course.history[0])}")
    resuming.opened(run.journal, run.config, run.facts, state.step)
    if not run.resumed:
        run.journal.add(**course.history[0])
    network.eval()  # so that the loop puts every part of it into training mode
    with resuming.left_behind(run.journal):
        drive(_way(run, state, original), network, source, plan, state, course)
    if course.best.weights:
        checkpoint.restore(network, course.best.weights)
    network.eval()
    kept = next((line for line in course.history if line["epoch"] == course.best.epoch), course.history[-1])
    return _figures(course.history[0]), _figures(kept), course


def _head_alone(run: Run, plan: Plan) -> None:
    """The masked head learns while the backbone stands still, so that its first wild gradients do no harm below."""
    steps, network, fit = run.config.head_steps or 0, run.network, run.config.fit
    if not steps:
        return
    moving = [parameter for parameter in network.backbone.parameters() if parameter.requires_grad]
    for parameter in moving:
        parameter.requires_grad_(False)
    an_epoch = len(plan.epoch(0))
    rows = np.random.default_rng([fit.seed, 1]).permutation(len(plan.lengths))[
        : max(1, len(plan.lengths) * min(steps, an_epoch) // an_epoch)
    ]
    alone = Plan(plan.lengths[rows], max(1, round(steps / an_epoch)), plan.batch_size, plan.token_budget, plan.seed)
    own = fit.model_copy(update={"learning_rate": fit.head_rate, "average": 0.0})
    state = loop.start(network, own)

    def source(some: npt.NDArray[np.int64]) -> tuple[Batch, Tensor | None]:
        plain = run.texts.train.batch(rows[some], network.backbone.tokenizer.pad)
        return masked(plain, run.vocabulary, run.config.mask, fit.seed, -2 - state.step), None

    with run.progress.bar("the masked head alone", alone.steps) as advance:
        for _ in loop.fit(network, source, alone, own, state):
            advance(1)
    for parameter in moving:
        parameter.requires_grad_(True)


def _way(run: Run, state: loop.State, original: Tensor) -> Way:
    """How the steps are said, judged and saved."""
    network, config = run.network, run.config

    def line(step: loop.Step) -> dict[str, float]:
        means = {"loss": step.losses["text"], "anchor": step.losses.get("anchor", Tally(0.0, 0.0))}
        return {name: tally.mean for name, tally in means.items() if tally.count}  # a batch of unknown signs alone asks nothing

    def judge(step: loop.Step, course: Course) -> dict[str, float]:
        with checkpoint.answering(network, state) as weights:
            found = {"train_loss": course.losses["text"].mean, **_judged(run, original)}
        worth = -found.get("valid_loss", -float(step.epoch))  # without held-out texts the last epoch answers
        course.best.consider(worth, step.epoch, weights, config.fit.keep)
        return found

    def words(found: Mapping[str, Any]) -> str:
        return f"Epoch {found['epoch']}, train loss: {found['train_loss']:.3f}, {_said(found)}"

    return Way(
        "filling in words", run.journal, run.progress, config.fit, config.track, config.checkpoint_seconds, line, judge, words,
        worse="on held-out texts",
    )  # fmt: skip


def _said(line: Mapping[str, Any]) -> str:
    figures = _figures(line)
    return ", ".join(f"held-out {name}: {value:.3f}" for name, value in figures.items()) or "no held-out texts"


def _figures(line: Mapping[str, Any]) -> dict[str, float]:
    return {name[6:]: value for name, value in line.items() if name.startswith("valid_")}


@torch.no_grad()
def _judged(run: Run, original: Tensor) -> dict[str, float]:
    """Of the held-out texts: the masked words' loss (nats), perplexity and accuracy, always the same words; and how far vectors have moved."""
    network, tokens = run.network, run.texts.valid
    if not len(tokens):
        return {}
    network.eval()
    spec, head = network.specs["text"], network.heads["text"]
    assert isinstance(head, Head)
    loss, right = Tally(0.0, 0.0), 0
    for rows in _batches(tokens):
        batch = masked(tokens.batch(rows, network.backbone.tokenizer.pad), run.vocabulary, run.config.mask, run.config.fit.seed, -1)
        target = torch.from_numpy(batch.targets["text"])
        with autocast(run.config.fit.precision or "fp32"):
            seen, wanted, weight = asked(spec, network.states(batch), target, torch.ones(len(batch)))
            logits = head(seen)
        found = head.loss(logits, wanted, weight)
        loss += Tally(float(found.total), found.count)
        right += int((logits.argmax(-1) == wanted).sum())
    if not loss.count:
        return {}
    cosine = float(torch.nn.functional.cosine_similarity(_pooled(run), original, dim=-1).mean())
    mean = loss.mean
    if not np.isfinite(mean):
        rate = run.config.fit.learning_rate or 0.0
        raise DivergedError(
            f"training: the answers on held-out texts are no numbers any more; try learning_rate={rate / 5:.2g}, now {rate:g}"
        )
    return {
        "valid_loss": mean,
        "valid_perplexity": float(np.exp(min(mean, 700.0))),
        "valid_accuracy": right / max(1.0, loss.count),
        "valid_cosine": cosine,
    }


@torch.no_grad()
def _pooled(run: Run) -> Tensor:
    """(N, D) pooled vectors of the held-out texts, nothing hidden."""
    network, tokens = run.network, run.texts.valid
    network.eval()
    found = torch.zeros(len(tokens), network.backbone.width)
    for rows in _batches(tokens):
        with autocast(run.config.fit.precision or "fp32"):
            states = network.states(tokens.batch(rows, network.backbone.tokenizer.pad))
        found[torch.from_numpy(rows)] = states.pooled.float()
    return found


def _batches(tokens: Tokens) -> list[npt.NDArray[np.int64]]:
    if not len(tokens):
        return []
    order = np.argsort(tokens.lengths, kind="stable").astype(np.int64)
    return cut_batches(order, tokens.lengths, 1024, FILL_TOKENS)
