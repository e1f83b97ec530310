"""The attention kernel in plain PyTorch: for every device and dtype, and the reference for the others.

It gathers each row's pages into one block at every step, which costs about as much as reading them.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
        lengths: Tensor,
        *,
        scaling: float,
        sliding_window: int | None,
        softcap: float | None,
    ) -> Tensor:
        """See :class:`~rzero.engines.paged.kernels.Kernel`; scores and weights are at least fp32."""
        rows, heads, size = query.shape
        keys, values = (pool[table.long()].flatten(1, 2) for pool in pools)  # [R, P * page_size, kv_heads, D]
        queries = query.view(rows, keys.shape[2], -1, size)
        wide = torch.promote_types(query.dtype, torch.float32)
        scores = torch.einsum("rhgd,rnhd->rhgn", queries.to(wide) * scaling, keys.to(wide))
        if softcap:
            scores = softcap * torch.tanh(scores / softcap)
        column = torch.arange(keys.shape[1], device=query.device)
        hidden = column >= lengths[:, None]
        if sliding_window:
            hidden |= column < lengths[:, None] - sliding_window
        weights = scores.masked_fill_(hidden[:, None, None], -torch.inf).softmax(-1)
        return torch.einsum("rhgn,rnhd->rhgd", weights.to(values.dtype), values).reshape(rows, heads, size)
