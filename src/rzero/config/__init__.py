"""The options of a run: what there is (``sections``, ``machine``), how they are given and listed."""

from rzero.config.listing import Option, differences, flat, options
from rzero.config.loading import change, load, presets, validate
from rzero.config.machine import CheckpointConfig, EngineConfig, GradingConfig, ModelConfig
from rzero.config.sections import (
    ChallengerConfig,
    Config,
    CurriculumConfig,
    EvaluateConfig,
    GenerateConfig,
    GrpoConfig,
    LoraConfig,
    RoleConfig,
    SamplingConfig,
    SolverConfig,
    VoteConfig,
)

__all__ = [
    "ChallengerConfig",
    "CheckpointConfig",
    "Config",
    "CurriculumConfig",
    "EngineConfig",
    "EvaluateConfig",
    "GenerateConfig",
    "GradingConfig",
    "GrpoConfig",
    "LoraConfig",
    "ModelConfig",
    "Option",
    "RoleConfig",
    "SamplingConfig",
    "SolverConfig",
    "VoteConfig",
    "change",
    "differences",
    "flat",
    "load",
    "options",
    "presets",
    "validate",
]
