"""Where learning starts: heads that already know what the pre-trained backbone knows about the labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from shoplm.model.heads import Head, SpansHead
from shoplm.model.network import Network
from shoplm.model.precision import autocast
from shoplm.model.specs import MISSING
from shoplm.text.tokenize import Tokens
from shoplm.train.loop import FitConfig
from shoplm.train.plan import cut as cut_batches
from shoplm.train.trunk import FILL_TOKENS, Trunk

ROWS_A_LABEL = 64
"""Rows that are enough for a label's mean direction."""
ROWS_BESIDE = 20_000
"""Rows that are enough for a linear model of the numbers beside the text."""
ROWS_COUNTED = 1024
"""Rows whose tags are counted at once."""


@torch.no_grad()
def heads_from_features(
    network: Network, tokens: Tokens, targets: Mapping[str, npt.NDArray[Any]], train_rows: int, trunk: Trunk | None, config: FitConfig
) -> None:
    """Let every head begin from the pooled vectors of some labelled train rows (the first ``train_rows`` of ``tokens``)."""
    network.eval()
    for name, head in network.heads.items():
        if isinstance(head, SpansHead) and name in targets:
            head.begin_from_counts(_tags(tokens, targets[name], train_rows, head.out.out_features))
        if not isinstance(head, Head) or name not in targets or not head.pools:
            continue
        target = torch.from_numpy(np.ascontiguousarray(targets[name][:train_rows]))
        if head.begins_from_rows:
            rows = _sample(targets[name][:train_rows])
            head.begin(_pooled(network, tokens, rows, trunk, config), target[torch.from_numpy(rows)])
        else:
            head.begin(torch.empty(0, network.backbone.width), target)
        if tokens.features is not None:
            count = min(len(target), ROWS_BESIDE)
            head.begin_beside(torch.from_numpy(tokens.features[:count]), target[:count])


def _pooled(network: Network, tokens: Tokens, rows: npt.NDArray[np.int64], trunk: Trunk | None, config: FitConfig) -> torch.Tensor:
    """(N, D) pooled vectors of N rows, in their order."""
    pooled = torch.empty(len(rows), network.backbone.width)
    order = np.argsort(tokens.lengths[rows], kind="stable").astype(np.int64)
    for places in cut_batches(order, tokens.lengths[rows], 1024, FILL_TOKENS):
        batch = tokens.batch(rows[places], network.backbone.tokenizer.pad)
        with autocast(config.precision or "fp32"):
            states = network.states(batch, None if trunk is None else trunk.hidden(batch))
        pooled[torch.from_numpy(places)] = states.pooled.float()
    return pooled


def _tags(tokens: Tokens, spans: npt.NDArray[Any], train_rows: int, classes: int) -> torch.Tensor:
    """(classes) how often the train rows have each tag of a Spans head."""
    found = np.zeros(classes, np.int64)
    for begin in range(0, train_rows, ROWS_COUNTED):
        rows = np.arange(begin, min(begin + ROWS_COUNTED, train_rows), dtype=np.int64)
        tags = tokens.batch(rows, 0, {"spans": spans}).targets["spans"]
        found += np.bincount(tags[tags != MISSING], minlength=classes)
    return torch.from_numpy(found)


def _sample(target: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The first rows of every label."""
    chosen = [np.flatnonzero(target == label)[:ROWS_A_LABEL] for label in np.unique(target) if label != MISSING]
    return np.sort(np.concatenate(chosen)).astype(np.int64) if chosen else np.zeros(0, np.int64)
