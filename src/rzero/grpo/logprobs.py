"""Log-probabilities of given tokens through a large output head, without a [tokens, vocabulary] array.

The head is applied to ``chunk`` positions at a time. The backward pass computes each chunk's logits once more instead
of keeping them: one extra matrix product buys memory that does not grow with the number of tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear


class Head(Protocol):
    """What is needed of :class:`rzero.models.head.OutputHead`."""

    @property
    def weight(self) -> Tensor:
        """[V, d]."""
        ...

    @property
    def bias(self) -> Tensor | None:
        """[V], or None."""
        ...

    def finish(self, logits: Tensor) -> Tensor:
        """What the model does to hidden @ weight.T + bias: scaling, soft cap, or nothing. Entry by entry."""
        ...


def token_logprobs(hidden: Tensor, head: Head, targets: Tensor, *, temperature: float, chunk: int = 1024) -> Tensor:
    """Log softmax(logits / temperature)[targets], differentiable in ``hidden`` and in the head's weight and bias.

    ``hidden`` [T, d] in compute precision, ``targets`` [T] token ids; returns [T] in fp32 (fp64 for fp64 ``hidden``).
    The matrix product is done in compute precision, everything after it in the precision of the result. Extra memory:
    about 10 bytes for each of chunk x V entries in bf16 (12 in fp32), and one array [V, d] in the backward pass.
    """
    return _TokenLogprobs.apply(hidden, head.weight, head.bias, targets, head.finish, temperature, chunk)


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        finish: Callable[[Tensor], Tensor],
        temperature: float,
        chunk: int,
    ) -> Tensor:
        wide = torch.promote_types(hidden.dtype, torch.float32)
        log_total = torch.empty(hidden.shape[0], dtype=wide, device=hidden.device)
        chosen = torch.empty_like(log_total)
        for rows in _slices(hidden.shape[0], chunk):
            logits = _divided(finish(linear(hidden[rows], weight, bias).to(wide)), temperature)
            log_total[rows] = logits.logsumexp(-1)
            chosen[rows] = logits.gather(-1, targets[rows, None])[:, 0]
        ctx.save_for_backward(hidden, weight, bias, targets, log_total)
        ctx.finish, ctx.temperature, ctx.chunk = finish, temperature, chunk
        return chosen - log_total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        hidden, weight, bias, targets, log_total = ctx.saved_tensors
        (grad,) = grad_outputs
        wide = grad.dtype
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight, dtype=wide) if ctx.needs_input_grad[1] else None
        grad_bias = torch.zeros_like(bias, dtype=wide) if ctx.needs_input_grad[2] else None
        for rows in _slices(hidden.shape[0], ctx.chunk):
            raw = linear(hidden[rows], weight, bias).to(wide)
            with torch.enable_grad():
                logits = _divided(ctx.finish(raw.requires_grad_()), ctx.temperature)
            # d logprob / d logits = onehot(target) - softmax(logits)
            grad_logits = (logits.detach() - log_total[rows, None]).exp_().mul_(-grad[rows, None])
            grad_logits.scatter_add_(-1, targets[rows, None], grad[rows, None])
            (grad_raw,) = torch.autograd.grad(logits, raw, grad_logits)
            narrow = grad_raw.to(hidden.dtype)
            grad_hidden[rows] = narrow @ weight
            if grad_weight is not None:
                grad_weight += narrow.T @ hidden[rows]
            if grad_bias is not None:
                grad_bias += grad_raw.sum(0)
        return grad_hidden, grad_weight, grad_bias, None, None, None, None


def _slices(length: int, chunk: int) -> list[slice]:
    return [slice(start, start + chunk) for start in range(0, length, chunk)]


def _divided(logits: Tensor, temperature: float) -> Tensor:
    return logits if temperature == 1 else logits / temperature
