"""Numbers over all processes of a sharded learner. Every method must be called by all of them together."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import torch
import torch.distributed as dist

from rzero.errors import EngineError


class Ranks:
    """The processes of the default group; ``device`` is what this one computes on."""

    def __init__(self, device: torch.device) -> None:
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        self._device = device

    def total(self, values: Sequence[float]) -> list[float]:
        """Place by place the sum of all processes' ``values``."""
        return self._reduce(values, dist.ReduceOp.SUM)

    def largest(self, values: Sequence[float]) -> list[float]:
        """Place by place the largest of all processes' ``values``."""
        return self._reduce(values, dist.ReduceOp.MAX)

    def smallest(self, values: Sequence[float]) -> list[float]:
        """Place by place the smallest of all processes' ``values``."""
        return self._reduce(values, dist.ReduceOp.MIN)

    def same(self, value: int) -> bool:
        """Whether all processes have the same ``value``, of less than 53 bits."""
        return self.largest([value]) == self.smallest([value])

    def num_sharing(self) -> int:
        """How many processes take their memory from where this one does: its host; a CUDA device has one process."""
        everyone: list[str | None] = [None] * self.size
        dist.all_gather_object(everyone, socket.gethostname())
        return everyone.count(socket.gethostname()) if self._device.type == "cpu" else 1

    def agree(self, failure: Exception | None) -> None:
        """Raise in every process if there was a ``failure`` in one: there itself, elsewhere an EngineError."""
        (failed,) = self.largest([failure is not None])
        if failure is not None:
            raise failure
        if failed:
            raise EngineError("another process of the sharded learner failed; see its own error")

    def _reduce(self, values: Sequence[float], op: dist.ReduceOp.RedOpType) -> list[float]:
        tensor = torch.tensor([float(value) for value in values], dtype=torch.float64, device=self._device)
        dist.all_reduce(tensor, op)
        return tensor.tolist()
