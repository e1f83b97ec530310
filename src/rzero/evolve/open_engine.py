"""Which engine the options name."""

from __future__ import annotations

from pathlib import Path

from rzero.config import Config
from rzero.evolve.embedded_engine import EmbeddedEngine
from rzero.evolve.engine import Engine


def open_engine(config: Config, base: Path) -> Engine:
    """The engine that the options name; whoever opens it closes it."""
    if config.engine.cluster == "ray":
        from rzero.evolve.ray_engine import RayEngine

        return RayEngine(config, base)
    if config.engine.sampler == "vllm":
        from rzero.evolve.vllm_engine import VllmEngine

        return VllmEngine(config, base)
    return EmbeddedEngine(config, base)
