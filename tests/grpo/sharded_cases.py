"""What the sharded learner is tried on: the same models, options and batches for it and for GrpoLearner."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from tiny_adapter import tiny_base, trained
from tiny_policy import group, random_groups, tiny_policy

from models.architectures import random_model
from rzero.config import GrpoConfig
from rzero.grpo.learner import GrpoLearner
from rzero.models.head import OutputHead
from rzero.models.language_model import LanguageModel
from rzero.types import Group

_L = TypeVar("_L", bound=GrpoLearner)
FLAT = group((4, 5), [(6, 7), (8, 9, 10)], [0.5, 0.5])


@dataclass(frozen=True, kw_only=True)
class Case:
    """With beta1 = 0, one update and no clipping, the first moment that is saved is the gradient."""

    architecture: str = "tiny"
    dtype: torch.dtype = torch.float32
    tied: bool = True
    kl: bool = True
    updates: int = 1
    batches: tuple[tuple[Group, ...], ...] = (tuple(random_groups(5)),)
    options: dict[str, Any] = field(default_factory=lambda: {"adam_beta1": 0.0, "max_grad_norm": 1e9})


_SEVERAL = tuple(tuple(random_groups(5, seed=seed)) for seed in range(3))
CASES = {
    "tied": Case(),
    "untied": Case(tied=False),
    "float64": Case(dtype=torch.float64),
    "checkpointed": Case(options={"adam_beta1": 0.0, "max_grad_norm": 1e9, "checkpointing": "on"}),
    "qwen2": Case(architecture="qwen2"),
    "qwen3": Case(architecture="qwen3"),
    "gemma3_text": Case(architecture="gemma3_text"),
    "padded": Case(architecture="bloom"),
    "adapter": Case(architecture="lora"),
    "clipped": Case(updates=3, batches=_SEVERAL, options={"max_grad_norm": 0.05}),
    "one row for each": Case(batches=((FLAT, group((4,), [(6, 9), (8,)], [0.0, 1.0]), FLAT),)),
    "no variance": Case(batches=((FLAT, FLAT),)),
    "no completions": Case(kl=False, batches=((group((4,), [(), ()], [0.0, 1.0]),),)),
    "bfloat16": Case(dtype=torch.bfloat16, updates=2, batches=_SEVERAL, options={}),
    "bfloat16 adapter": Case(architecture="lora", dtype=torch.bfloat16, options={}),
}


def make(kind: type[_L], case: Case, directory: Path, *, seed: int = 0) -> _L:
    """A learner of ``kind`` with new models; an adapter's base model is in ``directory``."""
    if case.architecture == "lora":
        reference = tiny_base(directory, dtype=case.dtype)
        model = trained(reference, seed=seed)
    else:
        model, reference = _model(case, seed), _model(case, 1)
    return kind(
        model,
        reference=reference if case.kl else None,
        options=GrpoConfig.model_validate(
            {"kl_weight": 0.01 if case.kl else 0.0, "tokens_per_microbatch": 40} | case.options
        ),
        learning_rate=1e-3,
        updates_per_step=case.updates,
        temperature=0.8,
        max_new_tokens=16,
    )


def _model(case: Case, seed: int) -> LanguageModel:
    model = tiny_policy(seed=seed, dtype=case.dtype, tied=case.tied)
    if case.architecture == "tiny":
        return model
    module = random_model(case.architecture, dtype=case.dtype, seed=seed)
    return dataclasses.replace(model, module=module, head=OutputHead.of(module))
