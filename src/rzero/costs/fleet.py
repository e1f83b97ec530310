"""The devices of a run, and how learners and samplers are spread over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rzero.config import Config, flat
from rzero.costs.device import Device
from rzero.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """``learners`` devices over which a policy in training is sharded (FSDP2), and ``samplers`` of ``sampler_gpus``
    devices each, which hold whole weights; in nodes of ``per_node``.

    On a single device both take turns; on several each has devices of its own, and one waits for the other.
    """

    device: Device
    learners: int = 1
    samplers: int = 1
    sampler_gpus: int = 1
    per_node: int = 8
    together: bool = True

    @property
    def gpus(self) -> int:
        """Devices."""
        return 1 if self.together else self.learners + self.samplers * self.sampler_gpus

    @property
    def nodes(self) -> int:
        """Machines."""
        return -(-self.gpus // self.per_node)

    @property
    def link(self) -> float:
        """Bytes/s with which the learner's shards are exchanged: the slower of a node's own links and its network."""
        return self.device.link if self.learners <= self.per_node else min(self.device.link, self.device.network)


def fleets(config: Config, device: Device, *, gpus: int, per_node: int = 8, sampler_gpus: int = 1) -> Iterator[Fleet]:
    """The ways to divide ``gpus`` devices: the one that ``config`` says, or else those that there are.

    Raises ConfigError if there are too few.
    """
    for name, value in (("--gpus", gpus), ("--gpus-per-node", per_node), ("--sampler-gpus", sampler_gpus)):
        if value < 1:
            raise ConfigError(f"{name} {value} is below 1; give how many there are")
    if gpus == 1 and sampler_gpus == 1:
        yield Fleet(device=device, per_node=per_node)
        return
    learners, samplers = (flat(config).get(f"engine.num_{kind}", 1) for kind in ("learners", "samplers"))
    splits = [(learners, samplers)]
    if learners == samplers == 1:
        step = max(1, gpus // 64)
        splits = [(own, (gpus - own) // sampler_gpus) for own in range(step, gpus - sampler_gpus + 1, step)]
    if not splits or any(own + many * sampler_gpus > gpus for own, many in splits):
        raise ConfigError(
            f"--gpus {gpus} are too few for {learners} learners and {samplers} samplers of {sampler_gpus} GPUs each; "
            "raise --gpus, or lower engine.num_learners, engine.num_samplers or --sampler-gpus"
        )
    for own, many in splits:
        yield Fleet(
            device=device, learners=own, samplers=many, sampler_gpus=sampler_gpus, per_node=per_node, together=False
        )


def weight_bytes(config: Config) -> int:
    """Bytes of a weight in compute precision; ``auto`` is bf16 on every device of the table."""
    return 4 if config.model.dtype == "float32" else 2


def shares_weights(config: Config, fleet: Fleet) -> bool:
    """Whether learner and sampler are one module, as in the embedded engine on one device."""
    return fleet.together and config.engine.sampler == "embedded"
