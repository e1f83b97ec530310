"""Models of published shapes with random weights: what they compute means nothing, what it costs is what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from harness.work import Shape
from rzero.models.head import OutputHead, check_head
from rzero.models.language_model import LanguageModel
from rzero.models.open import open_tokenizer
from rzero.models.rendering import Renderer
from rzero.models.resolve import BUNDLED, resolve

_QWEN3 = {
    "model_type": "qwen3",
    "vocab_size": 151936,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "Qwen3-0.6B": _QWEN3
    | {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16},
    "Qwen3-4B": _QWEN3
    | {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32},
    "tiny": _QWEN3
    | {
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
    },
}
TRAINING_BYTES = 18
"""Bytes for each weight in full fine-tuning: bf16 weight, fp32 master, gradient and two moments."""


def random_model(name: str, *, layers: int | None, device: str, dtype: torch.dtype) -> LanguageModel:
    """A model of the shape ``name`` in :data:`CONFIGS`, with fewer ``layers`` if a number is given.

    The tokenizer is the bundled micro model's; token ids beyond it decode to nothing. No token ends a completion.
    """
    values = dict(CONFIGS[name])
    if layers is not None:
        values["num_hidden_layers"] = layers
    torch.manual_seed(0)
    with torch.device(device):
        module = AutoModelForCausalLM.from_config(AutoConfig.for_model(**values), dtype=dtype).eval()
    head = OutputHead.of(module)
    check_head(module, head)
    path = resolve(BUNDLED, store=Path())
    tokenizer = open_tokenizer(path)
    return LanguageModel(
        module=module,
        tokenizer=tokenizer,
        path=path,
        stop_ids=frozenset(),
        max_context=values["max_position_embeddings"],
        head=head,
        renderer=Renderer(tokenizer),
    )


def shape(name: str, *, layers: int | None = None) -> Shape:
    """The sizes of ``name``, with another number of layers if one is given."""
    values = CONFIGS[name]
    return Shape.of(values if layers is None else values | {"num_hidden_layers": layers})


def num_weights(sizes: Shape) -> int:
    """Entries of all matrices; embedding and head are one."""
    return sizes.layer_weights + sizes.vocab * sizes.hidden


def layers_that_fit(name: str, memory_bytes: float) -> int:
    """The most layers, halved from the shape's own, whose full fine-tuning takes at most 80 % of the memory.

    >>> layers_that_fit("Qwen3-4B", 141e9), layers_that_fit("Qwen3-4B", 80e9)
    (36, 18)
    """
    layers = CONFIGS[name]["num_hidden_layers"]
    while layers > 1 and TRAINING_BYTES * num_weights(shape(name, layers=layers)) > 0.8 * memory_bytes:
        layers //= 2
    return layers
