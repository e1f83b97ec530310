"""Log-probabilities of given tokens through a large output head, and the gradient of a loss of them, chunk by chunk.

There is never a [tokens, vocabulary] array. The loss of a token depends on no other token's log-probability, so a
chunk's gradient is known as soon as its logits are: they are overwritten by it, and computed only once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

CHUNK = 1024
"""Tokens in one matrix product with the head."""


def logits_at_once(device: torch.device) -> int:
    """Logits in full precision at a time: on a CPU two megabytes, which a core's cache holds."""
    return 1 << 19 if device.type == "cpu" else 1 << 27


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


@torch.no_grad()
def token_logprobs(hidden: Tensor, head: Head, targets: Tensor, *, temperature: float, chunk: int = CHUNK) -> Tensor:
    """Log softmax(logits / temperature)[targets].

    ``hidden`` [N, d] in compute precision, ``targets`` [N] token ids; returns [N] in fp32 (fp64 for fp64 ``hidden``).
    The matrix product is done in compute precision, everything after it in the precision of the result.
    """
    found = hidden.new_empty(len(hidden), dtype=_wide(hidden))
    for rows, logits in _raw_logits(hidden, head, chunk):
        for part in _parts(logits):
            wide = head.finish(logits[part].to(found.dtype)) / temperature
            here = slice(rows.start + part.start, rows.start + part.stop)
            found[here] = wide.gather(-1, targets[here, None])[:, 0] - wide.logsumexp(-1)
    return found


@torch.no_grad()
def backward_token_logprobs(
    hidden: Tensor,
    head: Head,
    targets: Tensor,
    *,
    temperature: float,
    loss: Callable[[Tensor, slice], Tensor],
    weight_grad: Tensor | None,
    bias_grad: Tensor | None,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """:func:`token_logprobs`, and the gradient of the sum of ``loss(logprobs[rows], rows)`` over all rows.

    ``loss`` is given a slice of the log-probabilities and the slice itself, and returns a scalar; it may be called with
    any partition of the N rows. Returns the log-probabilities [N] and the gradient of ``hidden`` [N, d]; adds those of
    the head's weight and bias to ``weight_grad`` [V, d] and ``bias_grad`` [V], which may be wider than the weights
    themselves; None for one that is not trained.
    """
    found = hidden.new_empty(len(hidden), dtype=_wide(hidden))
    grad_hidden = torch.empty_like(hidden)
    product = None if weight_grad is None else torch.empty_like(head.weight)
    for rows, logits in _raw_logits(hidden, head, chunk):
        for part in _parts(logits):
            here = slice(rows.start + part.start, rows.start + part.stop)
            wide = logits[part].to(found.dtype)
            found[here], grad = _logits_gradient(
                wide, head, targets[here], temperature, lambda x, here=here: loss(x, here)
            )
            if bias_grad is not None:
                bias_grad += grad.sum(0)
            logits[part] = grad
        torch.mm(logits, head.weight, out=grad_hidden[rows])
        if weight_grad is not None:
            weight_grad += torch.mm(logits.T, hidden[rows], out=product)
    return found, grad_hidden


def _logits_gradient(
    raw: Tensor, head: Head, targets: Tensor, temperature: float, loss: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """The targets' log-probabilities [n], and the gradient of their loss in ``raw`` [n, V]."""
    with torch.enable_grad():
        finished = head.finish(raw.requires_grad_()) / temperature
    logits = finished.detach()
    top = logits.amax(-1, keepdim=True)
    chances = (logits - top).exp_()
    total = chances.sum(-1, keepdim=True)
    logprobs = (logits.gather(-1, targets[:, None]) - top - total.log())[:, 0]
    with torch.enable_grad():
        leaf = logprobs.detach().requires_grad_()
        (grad,) = torch.autograd.grad(loss(leaf), leaf)
    # d logprob / d logits = onehot(target) - softmax(logits)
    grad_logits = chances.mul_(-grad[:, None] / total).scatter_add_(-1, targets[:, None], grad[:, None])
    return logprobs, torch.autograd.grad(finished, raw, grad_logits)[0]


def _raw_logits(hidden: Tensor, head: Head, chunk: int) -> Iterator[tuple[slice, Tensor]]:
    """Slices of the rows with their hidden @ weight.T + bias, in a buffer that is used again for the next slice."""
    buffer = hidden.new_empty(min(chunk, len(hidden)), len(head.weight))
    for start in range(0, len(hidden), chunk):
        rows = slice(start, min(start + chunk, len(hidden)))
        logits = torch.mm(hidden[rows], head.weight.T, out=buffer[: rows.stop - rows.start])
        yield rows, logits if head.bias is None else logits.add_(head.bias)


def _parts(logits: Tensor) -> Iterator[slice]:
    step = max(1, logits_at_once(logits.device) // logits.shape[1])
    return (slice(start, min(start + step, len(logits))) for start in range(0, len(logits), step))


def _wide(hidden: Tensor) -> torch.dtype:
    return torch.promote_types(hidden.dtype, torch.float32)
