"""Seconds of updating: passes against the FLOP/s, the exchange of shards, and the optimiser against the bandwidth."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rzero.costs.efficiency import Efficiency
from rzero.costs.fleet import Fleet
from rzero.costs.shape import Shape, causal
from rzero.costs.workload import Training

_OPTIMISER_BYTES = 30  # read and written for each trained parameter: master, two moments, gradient, bf16 weight


@dataclass(frozen=True, kw_only=True)
class UpdateTime:
    """Seconds of all steps of a phase. ``exchange`` is what of FSDP's traffic is not hidden behind the passes."""

    passes: float
    exchange: float
    optimiser: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.passes + self.exchange + self.optimiser


def update_time(
    work: Training,
    shape: Shape,
    fleet: Fleet,
    efficiency: Efficiency,
    *,
    bytes_per_weight: int,
    trained: int,
    reference: bool,
    checkpointing: bool,
    pass_tokens: int,
) -> UpdateTime:
    """``work`` on the learners of ``fleet``; ``trained`` parameters, in passes of at most ``pass_tokens`` tokens.

    A backward pass is two forward passes, less the weights' gradients where they are frozen; checkpointed layers are
    computed once more; the ``reference`` reads all tokens, and all updates of a step but the first need
    log-probabilities from before it.
    """
    forward = step_forward(work, shape)
    whole = trained >= shape.parameters
    passes = (3 if whole else 2) + checkpointing + reference + (1 - 1 / work.updates)
    rate = fleet.learners * fleet.device.rate(bytes_per_weight) * efficiency.update
    computing = work.steps * passes * forward / rate
    tokens = work.groups * (work.prompt + work.group_size * work.mean)
    in_turn = max(work.updates, math.ceil(tokens / fleet.learners / pass_tokens))
    return UpdateTime(
        passes=computing,
        exchange=max(0.0, work.steps * in_turn * _exchange_s(shape, fleet, bytes_per_weight) - computing),
        optimiser=work.steps * work.updates * _OPTIMISER_BYTES * trained / (fleet.learners * fleet.device.bandwidth),
    )


def step_forward(work: Training, shape: Shape) -> int:
    """Operations of one forward pass over a step's rollouts, each prompt once for its group."""
    own = causal(work.prompt + work.mean) - causal(work.prompt)
    return work.groups * shape.forward(
        tokens=work.prompt + work.group_size * work.mean,
        attended=causal(work.prompt) + work.group_size * own,
        predicted=work.group_size * work.mean,
    )


def _exchange_s(shape: Shape, fleet: Fleet, bytes_per_weight: int) -> float:
    """Of one forward and backward pass: weights are gathered twice, and fp32 gradients scattered once."""
    others = (fleet.learners - 1) / fleet.learners
    return others * shape.parameters * (2 * bytes_per_weight + 4) / fleet.link
