"""One opened model: its module, tokenizer and head, and how prompts become tokens and tokens become text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from rzero.models.fingerprint import fingerprint
from rzero.models.head import OutputHead
from rzero.models.rendering import Renderer
from rzero.types import Prompt

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(kw_only=True)
class LanguageModel:
    """A causal language model, ready to sample from and to train. Made by :func:`rzero.models.open.open_model`.

    ``module`` is in eval mode, so it has no dropout. ``stop_ids`` end a completion: the end tokens of the tokenizer and
    of the generation config, and the one with which the chat template ends an assistant's turn. ``max_context`` counts
    the prompt and the completion together. ``base`` is the model whose weights an adapter's module shares
    (:mod:`rzero.models.lora`); a whole model has none.
    """

    module: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    path: Path
    stop_ids: frozenset[int]
    max_context: int
    head: OutputHead
    renderer: Renderer
    base: LanguageModel | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Compute precision: the dtype of the weights."""
        return self.head.weight.dtype

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that training changes, by name in the module; tied ones once. An adapter leaves its base."""
        shared = set() if self.base is None else {id(parameter) for parameter in self.base.module.parameters()}
        return {name: value for name, value in self.module.named_parameters() if id(value) not in shared}

    @cached_property
    def fingerprint(self) -> str:
        """Of the checkpoint that was opened; computed once, since it reads the whole of it."""
        return fingerprint(self.path)

    @cached_property
    def token_texts(self) -> tuple[str, ...]:
        """Each token of the vocabulary decoded by itself; computed once, since it takes a second for 50,000 tokens."""
        if self.base is not None:
            return self.base.token_texts
        return tuple(self.decode([token]) for token in range(self.head.weight.shape[0]))

    def render(self, prompt: Prompt) -> tuple[int, ...]:
        """The model's input for ``prompt``; see :class:`rzero.models.rendering.Renderer`."""
        return self.renderer.render(prompt)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of ``token_ids`` without special and stop tokens, its spaces as they were generated."""
        return self.renderer.decode([token for token in token_ids if token not in self.stop_ids])
