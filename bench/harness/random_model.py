"""Models of published shapes with random weights: what they compute means nothing, what it costs is what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rzero.costs.memory import GRADIENT, MASTER, MOMENTS
from rzero.costs.shape import Shape
from rzero.costs.shapes import CONFIGS
from rzero.models.head import OutputHead, check_head
from rzero.models.language_model import LanguageModel
from rzero.models.open import open_tokenizer
from rzero.models.rendering import Renderer
from rzero.models.resolve import BUNDLED, resolve

TINY = CONFIGS["Qwen3-0.6B"] | {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
}
TRAINING_BYTES = 2 + MASTER + GRADIENT + MOMENTS
"""Bytes for each parameter in full fine-tuning, with a bf16 weight."""


def random_model(name: str, *, layers: int | None, device: str, dtype: torch.dtype) -> LanguageModel:
    """A model of the shape ``name`` (of :mod:`rzero.costs.shapes`, or ``tiny``), with ``layers`` layers if given.

    The tokenizer is the bundled micro model's; token ids beyond it decode to nothing. No token ends a completion.
    """
    values = dict(_values(name))
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
    values = _values(name)
    return Shape.of(values if layers is None else values | {"num_hidden_layers": layers})


def layers_that_fit(name: str, memory_bytes: float) -> int:
    """The most layers, halved from the shape's own, whose full fine-tuning takes at most 80 % of the memory.

    >>> layers_that_fit("Qwen3-4B", 141e9), layers_that_fit("Qwen3-4B", 80e9)
    (36, 18)
    """
    layers = shape(name).layers
    while layers > 1 and TRAINING_BYTES * shape(name, layers=layers).parameters > 0.8 * memory_bytes:
        layers //= 2
    return layers


def _values(name: str) -> dict[str, Any]:
    return TINY if name == "tiny" else CONFIGS[name]
