"""The options of a run: what there is (``sections``), how they are given (``loading``) and listed (``listing``)."""

from rzero.config.listing import Option, differences, flat, options
from rzero.config.loading import change, load, presets, validate
from rzero.config.sections import (
    ChallengerConfig,
    CheckpointConfig,
    Config,
    CurriculumConfig,
    EngineConfig,
    EvaluateConfig,
    GenerateConfig,
    GradingConfig,
    GrpoConfig,
    LoraConfig,
    ModelConfig,
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
