"""Attention over a packed batch, block by block (see ``layout.py``), for any device and precision.

Queries and keys of a block are gathered, multiplied, and scattered back. The backward pass computes a block's scores
once more instead of keeping them, so memory does not grow with the square of the length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rzero.grpo.layout import Block, Layout


def scores_at_once(device: torch.device) -> int:
    """Scores in one block, all heads together: on a CPU a few megabytes, which its cache holds."""
    return 1 << 21 if device.type == "cpu" else 1 << 26


class PackedAttention:
    """The :class:`rzero.models.attention.AttentionFunction` of packed batches with ``layout``.

    Made anew for each pass, it holds the indices of the pass for all layers, and no longer.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._blocks: dict[int, list[Block]] = {}

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scaling: float,
        sliding_window: int | None,
        softcap: float | None,
    ) -> Tensor:
        """``query`` [1, H, T, D], ``key`` and ``value`` [1, K, T, D]; returns [1, T, H, D]."""
        num_heads = query.shape[1]
        if num_heads not in self._blocks:
            self._blocks[num_heads] = self._layout.blocks(max(1, scores_at_once(query.device) // num_heads))
        rules = _Rules(scaling=scaling, sliding_window=sliding_window, softcap=softcap)
        # Token by token, as the projections made them: these are views.
        tokens = [tensor[0].transpose(0, 1) for tensor in (query, key, value)]
        return _BlockAttention.apply(*tokens, self._blocks[num_heads], rules)[None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rules:
    scaling: float
    sliding_window: int | None
    softcap: float | None


class _BlockAttention(torch.autograd.Function):
    """``query`` [T, H, D], ``key`` [T, K, D] and ``value`` [T, K, E] to [T, H, E]."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, blocks: list[Block], rules: _Rules) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.blocks, ctx.rules = blocks, rules
        out = query.new_empty(query.shape[0] + 1, query.shape[1], value.shape[2])  # the last row takes the padding
        for block in blocks:
            queries, keys, values = _gather(block, query, key, value)
            chances, _ = _chances(queries, keys, block, rules)
            part = (chances @ values).unflatten(3, queries.shape[3:5])
            out.index_copy_(0, block.queries.flatten(), _rows(part))
        return out[:-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        query, key, value = ctx.saved_tensors
        rules: _Rules = ctx.rules
        (grad,) = grad_outputs
        grad = torch.cat([grad, grad.new_zeros(1, *grad.shape[1:])])  # padding has no gradient
        grad_query = query.new_empty(query.shape[0] + 1, *query.shape[1:])
        wide = torch.promote_types(query.dtype, torch.float32)
        grad_key, grad_value = (
            torch.zeros(len(t) + 1, *t.shape[1:], dtype=wide, device=t.device) for t in (key, value)
        )
        for block in ctx.blocks:
            queries, keys, values = _gather(block, query, key, value)
            chances, slope = _chances(queries, keys, block, rules)
            of_out = _heads(grad, block.queries, key.shape[1]).flatten(3, 4)
            of_value = chances.transpose(3, 4) @ of_out
            of_scores = torch.ops.aten._softmax_backward_data(
                of_out @ values.transpose(3, 4), chances, -1, chances.dtype
            )
            if slope is not None:
                of_scores *= slope
            of_query = (of_scores @ keys).mul_(rules.scaling).unflatten(3, queries.shape[3:5])
            of_key = (of_scores.transpose(3, 4) @ queries.flatten(3, 4)).mul_(rules.scaling)
            grad_query.index_copy_(0, block.queries.flatten(), _rows(of_query))
            for total, part in ((grad_key, of_key), (grad_value, of_value)):
                _add_keys(total, part, block)
        return grad_query[:-1], grad_key[:-1].to(key.dtype), grad_value[:-1].to(value.dtype), None, None


def _gather(block: Block, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries [R, S, K, Q, G, D], keys [R, S, K, C, D] and values [R, S, K, C, E] of ``block``; G = H / K."""
    last = len(query) - 1  # stands in for padding, whose values are of no consequence as long as they are finite
    keys = block.keys.clamp(max=last)
    return (
        _heads(query, block.queries.clamp(max=last), key.shape[1]),
        _heads(key, keys, key.shape[1])[..., 0, :],
        _heads(value, keys, key.shape[1])[..., 0, :],
    )


def _heads(tensor: Tensor, index: Tensor, num_kv_heads: int) -> Tensor:
    """[T, H, D] at ``index`` [R, S, Q] -> [R, S, K, Q, G, D]."""
    rows = tensor.index_select(0, index.flatten())
    rows = rows.view(*index.shape, num_kv_heads, -1, tensor.shape[2])
    return rows.transpose(2, 3).contiguous()


def _rows(tensor: Tensor) -> Tensor:
    """The inverse of :func:`_heads`: [R, S, K, Q, G, D] -> [R S Q, H, D]."""
    return tensor.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def _chances(queries: Tensor, keys: Tensor, block: Block, rules: _Rules) -> tuple[Tensor, Tensor | None]:
    """Attention [R, S, K, Q G, C], and the soft cap's derivative at each score, None where there is no cap."""
    scores, slope = (queries * rules.scaling).flatten(3, 4) @ keys.transpose(3, 4), None
    if rules.softcap is not None:
        scores = (scores / rules.softcap).tanh_()
        slope = 1 - scores * scores
        scores *= rules.softcap
    bias = block.bias(rules.sliding_window, scores.dtype)
    scores.unflatten(3, queries.shape[3:5]).add_(bias[:, :, None, :, None])
    return scores.softmax(-1), slope


def _add_keys(total: Tensor, part: Tensor, block: Block) -> None:
    """Add ``part`` [R, S, K, C, D] to the tokens of ``total``; a prompt's are summed over the members first."""
    part = part.transpose(2, 3)
    shared, own = part[:, :, : block.num_shared], part[:, :, block.num_shared :]
    if block.num_shared:
        index = block.keys[:, 0, : block.num_shared].flatten()
        total.index_add_(0, index, shared.sum(1, dtype=total.dtype).flatten(0, 1))
    index = block.keys[:, :, block.num_shared :].flatten()
    total.index_add_(0, index, own.flatten(0, 2).to(total.dtype))
