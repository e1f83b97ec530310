"""One model's forward and backward passes over micro-batches."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from rzero.grpo.attention import PackedAttention, scores_at_once
from rzero.grpo.batch import (
    MicroBatch,
    Row,
    empty_microbatch,
    packed_microbatch,
    packed_parts,
    padded_microbatch,
    padded_parts,
)
from rzero.grpo.logprobs import CHUNK, backward_token_logprobs, logits_at_once, token_logprobs
from rzero.grpo.masters import MasterWeights
from rzero.grpo.memory import StepMemory, kept_bytes
from rzero.models.attention import own_attention, takes_own_attention
from rzero.models.head import hidden_states
from rzero.models.language_model import LanguageModel
from rzero.models.operations import own_operations

_PROBES = (16, 32)  # tokens
_T = TypeVar("_T")


class Passes:
    """Passes of ``model`` at a sampling ``temperature``.

    An architecture that is not known to take our attention reads padded batches, of which one warning tells.
    ``checkpointing`` keeps only each layer's input for the backward pass, which computes the rest once more; it may be
    changed between passes.
    """

    def __init__(self, model: LanguageModel, *, temperature: float, checkpointing: bool = False) -> None:
        self._model = model
        self._temperature = temperature
        self.checkpointing = checkpointing
        self._dtype = model.dtype
        self._packed = takes_own_attention(model.module)
        if not self._packed:
            warnings.warn(
                f"{type(model.module).__name__} does not let rzero do its attention, so its batches are padded and "
                f"repeat the prompt for each rollout: the gradient is the same, but slower",
                stacklevel=2,
            )

    def parts(self, rows: Sequence[Row], tokens_per_microbatch: int) -> list[list[Row]]:
        """``rows`` in the order and the portions in which the model reads them fastest; see ``batch.py``."""
        return (packed_parts if self._packed else padded_parts)(rows, tokens_per_microbatch)

    def microbatch(self, part: Sequence[Row]) -> MicroBatch:
        """One of the :meth:`parts` as a pass reads it; an empty one is a pass that predicts nothing."""
        dtype = torch.promote_types(self._dtype, torch.float32)
        if not part:
            return empty_microbatch(packed=self._packed, dtype=dtype, device=self._model.device)
        form = packed_microbatch if self._packed else padded_microbatch
        return form(part, dtype=dtype, device=self._model.device)

    def memory(self, masters: MasterWeights, *, moments: bool, checkpointing: bool) -> StepMemory:
        """What a step will allocate, with or without AdamW's two ``moments`` of each parameter; see ``memory.py``."""
        weight = self._model.head.weight
        state = masters.num_bytes * (3 if moments else 1)
        head = (CHUNK + 2 * weight.shape[1]) * weight.shape[0] * self._dtype.itemsize
        # Of scores and logits there are several copies while they are worked on.
        work = 8 * scores_at_once(weight.device) * self._dtype.itemsize + 16 * logits_at_once(weight.device)
        layers, kept = max(1, len(decoder_layers(self._model))), self._kept_per_token
        inputs = layers * weight.shape[1] * self._dtype.itemsize
        per_token = (inputs if checkpointing else kept - kept // layers) + 2 * kept // layers
        return StepMemory(fixed=state + head + work, per_token=per_token)

    @cached_property
    def _kept_per_token(self) -> int:
        """Bytes that a forward pass keeps for each token, counted in two small ones."""
        besides = {parameter.untyped_storage().data_ptr() for parameter in self._model.module.parameters()}
        sizes: list[int] = []
        for length in _PROBES:
            half = tuple(range(length // 2))
            row = Row(
                group=0,
                prompt_ids=half,
                completion_ids=(*half, 0),
                sampler_logprobs=(0.0,) * (len(half) + 1),
                advantage=0.0,
                weight=0.0,
            )
            batch = self.microbatch([row])
            with _lent(self._model, batch):
                sizes.append(kept_bytes(lambda batch=batch: predicting_states(self._model, batch), besides=besides))
        return max(1, (sizes[1] - sizes[0]) // (_PROBES[1] - _PROBES[0]))

    @torch.no_grad()
    def logprobs(self, batch: MicroBatch, *, model: LanguageModel | None = None) -> Tensor:
        """Log-probabilities [N] of the batch's targets; under another ``model`` of the same architecture if given."""
        model = model or self._model

        def compute() -> Tensor:
            hidden = predicting_states(model, batch)
            return token_logprobs(hidden, model.head, batch.targets, temperature=self._temperature)

        with _lent(model, batch):
            return self._run(model, compute)

    @torch.enable_grad()
    def backward(self, batch: MicroBatch, masters: MasterWeights, loss: Callable[[Tensor, slice], Tensor]) -> Tensor:
        """Add the gradient of a loss to the ``masters``; returns the log-probabilities [N] of the batch's targets.

        ``loss(logprobs[rows], rows)`` is the loss of a slice of the targets, a scalar; those of all slices add up.
        """
        with ExitStack() as stack:
            stack.enter_context(_lent(self._model, batch))
            if self.checkpointing:
                stack.enter_context(_checkpointed(self._model))
            return self._backward(batch, masters, loss)

    def _run(self, model: LanguageModel, compute: Callable[[], _T]) -> _T:
        """``compute()``, which needs the weights of ``model``."""
        return compute()

    def _backward(self, batch: MicroBatch, masters: MasterWeights, loss: Callable[[Tensor, slice], Tensor]) -> Tensor:
        head = self._model.head
        hidden = predicting_states(self._model, batch)
        logprobs, grad_hidden = backward_token_logprobs(
            hidden.detach(),
            head,
            batch.targets,
            temperature=self._temperature,
            loss=loss,
            weight_grad=masters.gradient_of(head.weight),
            bias_grad=None if head.bias is None else masters.gradient_of(head.bias),
        )
        hidden.backward(grad_hidden)
        return logprobs


def predicting_states(model: LanguageModel, batch: MicroBatch) -> Tensor:
    """The hidden states [N, d] that predict the batch's targets."""
    hidden = hidden_states(model.module, input_ids=batch.input_ids, position_ids=batch.position_ids, use_cache=False)
    return hidden.flatten(0, 1).index_select(0, batch.predictors)


@contextmanager
def _lent(model: LanguageModel, batch: MicroBatch) -> Iterator[None]:
    """Inside, the model computes with our functions; the backward pass belongs inside too."""
    with ExitStack() as stack:
        stack.enter_context(own_operations(model.module))
        if batch.layout is not None:
            stack.enter_context(own_attention(model.module, PackedAttention(batch.layout)))
        yield


@contextmanager
def _checkpointed(model: LanguageModel) -> Iterator[None]:
    """Inside, each decoder layer is computed once more in the backward pass, which belongs inside too.

    transformers' own switch needs a model in training mode, with its dropout.
    """
    from torch.utils.checkpoint import checkpoint

    layers = decoder_layers(model)
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def decoder_layers(model: LanguageModel) -> list[nn.Module]:
    """The layers of ``model``, from the first to the last; none where transformers does not mark them."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    return [layer for layer in model.module.modules() if isinstance(layer, GradientCheckpointingLayer)]
