"""The protocol of the attention kernels, and attention among the tokens of a prompt."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


class Kernel(Protocol):
    """Keys and values in pages, and the attention of new tokens over them.

    The pools of a layer hold all pages; their layout is the kernel's own. Pages are numbered alike in all layers.
    """

    page_size: int
    """Tokens in a page."""

    wide_tables: bool
    """Whether columns of a table behind a row's length cost nothing."""

    def pool(self, num_pages: int, like: Tensor) -> Tensor:
        """An empty pool for keys or values like ``like`` [..., kv_heads, D]; its first dimension is the pages."""
        ...

    def store(self, pools: tuple[Tensor, Tensor], key: Tensor, value: Tensor, pages: Tensor, offsets: Tensor) -> None:
        """Write ``key`` and ``value`` [N, kv_heads, D]: token i to place ``offsets[i]`` of page ``pages[i]``, int32."""
        ...

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
        """[R, H, D]: ``query`` [R, H, D] over the first ``lengths`` [R] tokens in pages ``table`` [R, P] (int32)."""
        ...


def prompt_attention(
    query: Tensor, key: Tensor, value: Tensor, *, scaling: float, sliding_window: int | None, softcap: float | None
) -> Tensor:
    """Causal attention of whole prompts from the first column on, as a `rzero.models.attention.AttentionFunction`."""
    length, share = query.shape[2], query.shape[1] // key.shape[1]
    if share > 1:
        key, value = key.repeat_interleave(share, 1), value.repeat_interleave(share, 1)
    column = torch.arange(length, device=query.device)
    distance = column[:, None] - column
    seen = (distance >= 0) & (distance < (sliding_window or length))
    if softcap:
        scores = softcap * torch.tanh(query.float() @ key.float().transpose(-1, -2) * (scaling / softcap))
        out = scores.masked_fill_(~seen, -torch.inf).softmax(-1).to(value.dtype) @ value
    elif sliding_window and length > sliding_window:
        out = scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scaling)
    else:
        out = scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling)
    return out.transpose(1, 2)
