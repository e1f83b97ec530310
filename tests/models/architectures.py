"""Small random models of the architectures that people use, and of some that cannot take an attention of ours."""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

_SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "initializer_range": 0.1,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
_SLIDING = {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]}

TAKING = {
    "llama": {},
    "qwen2": {},
    "qwen2-sliding": _SLIDING | {"use_sliding_window": True},
    "qwen3": {},
    "mistral": {"sliding_window": 6},
    # Older transformers leave the soft cap out of their default attention.
    "gemma2": _SLIDING | {"query_pre_attn_scalar": 8, "attn_logit_softcapping": 0.5, "attn_implementation": "eager"},
    "gemma3_text": _SLIDING | {"query_pre_attn_scalar": 8},
    "phi3": {"sliding_window": 6},
}
"""By name, whatever differs from the common sizes; what stands behind a hyphen is no part of the architecture."""

NOT_TAKING = {
    "bloom": {"n_layer": 2, "n_head": 4},
    "gpt_oss": _SLIDING | {"num_local_experts": 2, "num_experts_per_tok": 1},
    "mamba": {"state_size": 4},
}
"""Positions by bias, attention sinks, no attention at all."""


def random_model(name: str, *, dtype: torch.dtype = torch.float32, seed: int = 0) -> PreTrainedModel:
    torch.manual_seed(seed)
    options = _SIZES | (TAKING | NOT_TAKING)[name]
    module = AutoModelForCausalLM.from_config(AutoConfig.for_model(name.partition("-")[0], **options)).to(dtype).eval()
    for parameter in module.parameters():  # norms' weights too, or a norm that is left out would not show
        parameter.data += 0.02 * torch.randn_like(parameter)
    return module
