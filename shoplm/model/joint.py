"""Several tasks' networks on one backbone that learn as one: a batch is answered by the network of the task it is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from shoplm.model import adapters
from shoplm.model.network import Network
from shoplm.tally import Tally
from shoplm.text.batch import Batch

SHARED = "shared"
"""The name of the adapter that all tasks have in common."""


class Joint(nn.Module):
    """What several tasks learn together. A batch's targets and its losses are named ``<task>/<head>``, all of one task.

    ``own`` says for each task the adapter that stands beside the shared one; empty = none has any.
    """

    def __init__(self, networks: Mapping[str, Network], own: Mapping[str, str]) -> None:
        super().__init__()
        self.backbone = next(iter(networks.values())).backbone  # first, so that its weights are named as in a network of one task
        self.networks = nn.ModuleDict(dict(networks))
        self.own = dict(own)
        self._activate = adapters.switch(self.backbone) if own else None
        self.weights: Mapping[str, float] = {
            f"{task}/{head}": weight for task, network in networks.items() for head, weight in network.weights.items()
        }
        """How much each head's mean loss counts."""

    @property
    def shared(self) -> list[nn.Parameter]:
        """The learning weights that every task moves: those of the backbone but for the tasks' own adapters."""
        apart = set(self.own.values())
        return [
            parameter
            for name, parameter in self.backbone.named_parameters()
            if parameter.requires_grad and not apart & set(name.split("."))
        ]

    def network(self, task: str) -> Network:
        """The network of one task."""
        found = self.networks[task]
        assert isinstance(found, Network)
        return found

    def choose(self, task: str) -> Network:
        """The network of one task, its adapters active from now on."""
        if self._activate is not None:
            self._activate((SHARED, self.own[task]))
        return self.network(task)

    def counts(self, batch: Batch) -> dict[str, float]:
        """For each head the weight that its loss will count."""
        task, own = _parted(batch)
        return {f"{task}/{head}": count for head, count in self.network(task).counts(own).items()}

    def losses(self, batch: Batch, trunk: Tensor | None = None) -> dict[str, Tally[Tensor]]:
        """The summed loss of every head over the targets that the batch has."""
        task, own = _parted(batch)
        return {f"{task}/{head}": tally for head, tally in self.choose(task).losses(own, trunk).items()}


def of_task(task: str, batch: Batch) -> Batch:
    """A batch of one task as ``Joint`` takes it."""
    return replace(batch, targets={f"{task}/{head}": column for head, column in batch.targets.items()})


def _parted(batch: Batch) -> tuple[str, Batch]:
    """The task of a batch, and the batch as that task's network takes it."""
    task = next(iter(batch.targets)).partition("/")[0]
    return task, replace(batch, targets={name.partition("/")[2]: column for name, column in batch.targets.items()})
