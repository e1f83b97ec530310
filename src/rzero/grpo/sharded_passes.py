"""Passes of a model whose weights are sharded over several processes (see ``sharding.py``).

Only inside the module's own forward pass are its embeddings and its head there as a whole. So all that needs them, the
head's chunks included, runs as that forward pass; and the head's weight gets its gradient from autograd, so that it is
added up over the processes like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rzero.grpo.batch import MicroBatch
from rzero.grpo.logprobs import Head, backward_token_logprobs
from rzero.grpo.masters import MasterWeights
from rzero.grpo.memory import StepMemory
from rzero.grpo.passes import Passes, decoder_layers, predicting_states
from rzero.grpo.sharding import is_sharded
from rzero.models.language_model import LanguageModel

_T = TypeVar("_T")


class ShardedPasses(Passes):
    """Passes of ``model``, which must not be sharded yet: what it needs is found out on it as a whole.

    All processes must make the same passes together, each with a batch of its own.
    """

    def __init__(self, model: LanguageModel, *, temperature: float) -> None:
        super().__init__(model, temperature=temperature)
        _ = self._kept_per_token
        self._gathered = _gathered_bytes(model)

    def memory(self, masters: MasterWeights, *, moments: bool, checkpointing: bool) -> StepMemory:
        """What a step will allocate in each process: beside the state, the units that are gathered at a time."""
        need = super().memory(masters, moments=moments, checkpointing=checkpointing)
        return replace(need, fixed=need.fixed + self._gathered)

    def _run(self, model: LanguageModel, compute: Callable[[], _T]) -> _T:
        module: Any = model.module
        if not is_sharded(module):
            return compute()
        module.forward = compute
        try:
            result = module()
        finally:
            del module.forward
        if not torch.is_grad_enabled():
            module.reshard()  # or the next pass, after an update, would find the old weights
        return result

    def _backward(self, batch: MicroBatch, masters: MasterWeights, loss: Callable[[Tensor, slice], Tensor]) -> Tensor:
        model = self._model

        def compute() -> tuple[Tensor, Tensor]:
            hidden, head = predicting_states(model, batch), model.head
            return _HeadLoss.apply(hidden, head.weight, head.bias, head, batch.targets, self._temperature, loss)

        total, logprobs = self._run(model, compute)
        total.backward()
        return logprobs


class _HeadLoss(torch.autograd.Function):
    """The loss, a scalar, of the targets' log-probabilities [N] under ``hidden`` [N, d], and these themselves."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        head: Head,
        targets: Tensor,
        temperature: float,
        loss: Callable[[Tensor, slice], Tensor],
    ) -> tuple[Tensor, Tensor]:
        _, of_weight, of_bias, *_ = ctx.needs_input_grad
        wide = torch.promote_types(weight.dtype, torch.float32)
        weight_grad = torch.zeros_like(weight, dtype=wide) if of_weight else None
        bias_grad = torch.zeros_like(bias, dtype=wide) if bias is not None and of_bias else None
        logprobs, hidden_grad = backward_token_logprobs(
            hidden, head, targets, temperature=temperature, loss=loss, weight_grad=weight_grad, bias_grad=bias_grad
        )
        ctx.gradients = (
            hidden_grad,
            None if weight_grad is None else weight_grad.to(weight.dtype),
            None if bias_grad is None else bias_grad.to(weight.dtype),
        )
        ctx.mark_non_differentiable(logprobs)
        return loss(logprobs, slice(0, len(logprobs))), logprobs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        of_loss, _ = grad_outputs
        gradients = [gradient if gradient is None else gradient.mul_(of_loss) for gradient in ctx.gradients]
        del ctx.gradients
        return (*gradients, None, None, None, None)


def _gathered_bytes(model: LanguageModel) -> int:
    """Of the root and two layers: weights in the compute precision, twice, and gradients there and in fp32."""
    layers = [sum(parameter.numel() for parameter in layer.parameters()) for layer in decoder_layers(model)]
    root = sum(parameter.numel() for parameter in model.module.parameters()) - sum(layers)
    return (root + 2 * max(layers, default=0)) * (3 * model.dtype.itemsize + 4)
