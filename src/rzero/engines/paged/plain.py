"""The attention kernel in plain PyTorch: for every device and dtype, and the reference for the others.

It gathers each row's pages into one block at every step, which costs about as much as reading them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


class PlainKernel:
    """A :class:`~rzero.engines.paged.kernels.Kernel`; pools are [pages, page_size, kv_heads, D]."""

    page_size = 16
    wide_tables = False

    def pool(self, num_pages: int, like: Tensor) -> Tensor:
        """Zeros, so that what is masked is a number."""
        return like.new_zeros(num_pages, self.page_size, *like.shape[-2:])

    def store(self, pools: tuple[Tensor, Tensor], key: Tensor, value: Tensor, pages: Tensor, offsets: Tensor) -> None:
        """See :class:`~rzero.engines.paged.kernels.Kernel`."""
        for pool, new in zip(pools, (key, value), strict=True):
            pool[pages.long(), offsets.long()] = new

    def attend(
        self,
        query: Tensor,
        pools: tuple[Tensor, Tensor],
        table: Tensor,
        owners: Tensor,
        lengths: Tensor,
        *,
        scaling: float,
        sliding_window: int | None,
        softcap: float | None,
    ) -> Tensor:
        """See :class:`~rzero.engines.paged.kernels.Kernel`; scores and weights are at least fp32."""
        keys, values = (pool[table.long()].flatten(1, 2) for pool in pools)  # [R, P * page_size, kv_heads, D]
        column = torch.arange(keys.shape[1], device=query.device)
        seen = column < lengths[:, None]
        if sliding_window:
            seen &= column >= lengths[:, None] - sliding_window
        if len(query) == len(table):
            return _one_each(query, keys, values, seen, scaling, softcap)
        counts = owners.bincount()
        real = torch.arange(int(counts.max()), device=query.device) < counts[:, None]
        return _several_each(_padded(query, real), keys, values, _padded(seen, real), scaling, softcap)[real]


def _one_each(
    query: Tensor, keys: Tensor, values: Tensor, seen: Tensor, scaling: float, softcap: float | None
) -> Tensor:
    """``query`` [R, H, D] over what it has ``seen`` [R, S] of ``keys`` and ``values`` [R, S, kv_heads, D]."""
    queries = query.unflatten(1, (keys.shape[2], -1))
    wide = torch.promote_types(query.dtype, torch.float32)
    scores = torch.einsum("rhgd,rnhd->rhgn", queries.to(wide) * scaling, keys.to(wide))
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    weights = scores.masked_fill_(~seen[:, None, None], -torch.inf).softmax(-1)
    return torch.einsum("rhgn,rnhd->rhgd", weights.to(values.dtype), values).flatten(1, 2)


def _several_each(
    query: Tensor, keys: Tensor, values: Tensor, seen: Tensor, scaling: float, softcap: float | None
) -> Tensor:
    """The same of T queries a row, as matrix products: ``query`` [R, T, H, D] and ``seen`` [R, T, S]."""
    share = query.shape[2] // keys.shape[2]
    key, value = (tensor.transpose(1, 2).repeat_interleave(share, 1) for tensor in (keys, values))
    query, seen = query.transpose(1, 2), seen[:, None]
    if softcap:
        scores = softcap * torch.tanh(query.float() @ key.float().transpose(-1, -2) * (scaling / softcap))
        out = scores.masked_fill_(~seen, -torch.inf).softmax(-1).to(value.dtype) @ value
    else:
        out = scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scaling)
    return out.transpose(1, 2)


def _padded(tensor: Tensor, real: Tensor) -> Tensor:
    """``tensor`` [N, ...] as [R, T, ...], its entries where ``real`` [R, T] has its N trues and ones elsewhere."""
    out = tensor.new_ones(*real.shape, *tensor.shape[1:])
    out[real] = tensor
    return out
