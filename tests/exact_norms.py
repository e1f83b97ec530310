"""Norms that keep a double-precision model's precision."""

from __future__ import annotations

import torch
from torch import nn
from transformers.models.llama.modeling_llama import LlamaRMSNorm


def norms_in_float64(module: nn.Module) -> None:
    """transformers' own round to fp32, and their gradients then differ between a shared prompt and copies of it."""
    for name, norm in list(module.named_modules()):
        if isinstance(norm, LlamaRMSNorm):
            exact = nn.RMSNorm(norm.weight.shape, eps=norm.variance_epsilon, dtype=torch.float64)
            exact.weight = norm.weight
            module.set_submodule(name, exact)
