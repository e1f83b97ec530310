"""The devices of a run, and how learner and samplers are spread over them."""

from __future__ import annotations

from dataclasses import dataclass

from rzero.config import Config
from rzero.costs.device import Device
from rzero.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """``gpus`` devices in nodes of ``per_node``. The learner is sharded over all of them (FSDP2), and every
    ``sampler_gpus`` of them hold one sampler; learner and samplers take turns.
    """

    device: Device
    gpus: int = 1
    per_node: int = 8
    sampler_gpus: int = 1

    def __post_init__(self) -> None:
        for name, value in (
            ("--gpus", self.gpus),
            ("--gpus-per-node", self.per_node),
            ("--sampler-gpus", self.sampler_gpus),
        ):
            if value < 1:
                raise ConfigError(f"{name} {value} is below 1; give how many there are")
        if self.gpus % self.sampler_gpus:
            raise ConfigError(
                f"--sampler-gpus {self.sampler_gpus} does not divide --gpus {self.gpus}; "
                "each GPU belongs to one sampler"
            )

    @property
    def nodes(self) -> int:
        """Machines."""
        return -(-self.gpus // self.per_node)

    @property
    def samplers(self) -> int:
        """Samplers, each with one whole copy of the weights."""
        return self.gpus // self.sampler_gpus

    @property
    def link(self) -> float:
        """Bytes/s with which the learner's shards are exchanged: the slower of a node's own links and its network."""
        return self.device.link if self.nodes == 1 else min(self.device.link, self.device.network)


def weight_bytes(config: Config) -> int:
    """Bytes of a weight in compute precision; ``auto`` is bf16 on every device of the table."""
    return 4 if config.model.dtype == "float32" else 2


def shares_weights(config: Config, fleet: Fleet) -> bool:
    """Whether learner and sampler are one module, as in the embedded engine on one device."""
    return fleet.gpus == 1 and config.engine.sampler == "embedded"
