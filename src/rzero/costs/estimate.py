"""The whole estimate: one iteration of a run on a fleet of devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rzero.config import Config
from rzero.costs.advice import advice
from rzero.costs.efficiency import Efficiency, default_efficiency, with_changes
from rzero.costs.fleet import Fleet
from rzero.costs.memory import Memory, memory
from rzero.costs.phases import Machine, PhaseTime, decoder, phase_times
from rzero.costs.shape import Shape
from rzero.costs.workload import Lengths, sampled_tokens, trained_tokens, workload

DISK_RATE = 2e9
"""Bytes/s of the run directory's file system, assumed."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one iteration takes; ``rows`` are those that one sampler decodes side by side, ``problems`` what does not
    fit, and what to change.
    """

    memory: Memory
    phases: list[PhaseTime]
    efficiency: Efficiency
    sampled: int
    trained: int
    rows: int
    problems: list[str]

    @property
    def seconds(self) -> float:
        """Of all phases."""
        return sum(phase.total for phase in self.phases)


def estimate(
    config: Config,
    shape: Shape,
    fleet: Fleet,
    lengths: Lengths,
    *,
    changes: Mapping[str, float] | None = None,
    disk: float = DISK_RATE,
) -> Estimate:
    """One iteration of ``config`` for a model of ``shape`` on ``fleet``.

    ``changes`` replace figures of the default :class:`~rzero.costs.efficiency.Efficiency`.

    >>> from rzero.config import load
    >>> from rzero.costs.device import find_device
    >>> from rzero.costs.shapes import find_shape
    >>> from rzero.costs.workload import default_lengths
    >>> config = load("paper")
    >>> fleet = Fleet(device=find_device("h100"), learners=4, samplers=4, together=False)
    >>> found = estimate(config, find_shape("Qwen3-4B")[1], fleet, default_lengths(config))
    >>> found.memory.fits, len(found.phases)
    (True, 4)
    """
    efficiency = with_changes(default_efficiency(fleet.device, config.engine.sampler), changes or {})
    needs = memory(config, shape, lengths, fleet)
    machine = Machine(shape=shape, fleet=fleet, efficiency=efficiency, disk=disk, needs=needs)
    work = workload(config, lengths)
    longest = lengths.prompt + max(config.challenger.max_new_tokens, config.solver.max_new_tokens)
    return Estimate(
        memory=needs,
        phases=phase_times(work, config, machine),
        efficiency=efficiency,
        sampled=sampled_tokens(work),
        trained=trained_tokens(work),
        rows=decoder(config, machine).rows,
        problems=advice(config, fleet, needs, longest_rollout=longest),
    )
