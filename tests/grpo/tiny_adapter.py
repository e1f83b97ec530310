"""An adapter over the tiny policy, which lies in a directory of its own."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny_policy import tiny_policy

from rzero.config import LoraConfig
from rzero.models.language_model import LanguageModel
from rzero.models.lora import new_adapter
from rzero.models.save import save_model

LORA = LoraConfig(rank=3, alpha=6)


def tiny_base(directory: Path, *, dtype: torch.dtype = torch.float32, tied: bool = True) -> LanguageModel:
    directory.mkdir(parents=True)
    base = tiny_policy(dtype=dtype, tied=tied)
    base.path = directory
    save_model(base, directory)
    return base


def trained(base: LanguageModel, *, seed: int = 0) -> LanguageModel:
    """An adapter as training might leave it: B is no longer zero."""
    model = new_adapter(base, LORA, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.trained.values():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float32))
    return model
