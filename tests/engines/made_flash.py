"""What ``varlen_attn`` documents for one query a sequence, pages and lengths, in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor


def varlen_attn(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float,
    window_size: tuple[int, int],
    enable_gqa: bool,
    seqused_k: Tensor,
    block_table: Tensor,
) -> Tensor:
    """``query`` [N, H, D] over pools [pages, page_size, kv_heads, D]; what FlashAttention 2 asks for is asked for."""
    count, page_size = len(block_table), key.shape[1]
    assert page_size % 256 == 0 and max_q == 1 and max_k == block_table.shape[1] * page_size
    assert {x.dtype for x in (cu_seq_q, cu_seq_k, seqused_k, block_table)} == {torch.int32}
    assert cu_seq_q.tolist() == list(range(count + 1)) and cu_seq_k.shape == (count + 1,)
    assert seqused_k.is_contiguous() and block_table.stride(-1) == 1
    assert enable_gqa == (query.shape[1] != key.shape[2])
    rows = []
    for index in range(count):
        length = int(seqused_k[index])
        keys, values = (pool[block_table[index].long()].flatten(0, 1)[:length] for pool in (key, value))
        left, right = window_size
        assert right in (-1, 0)
        seen = torch.arange(length) >= (length - 1 - left if left >= 0 else 0)
        share = query.shape[1] // key.shape[2]
        keys, values = (x.float().repeat_interleave(share, 1) for x in (keys, values))
        scores = torch.einsum("hd,nhd->hn", query[index].float(), keys) * scale
        rows.append(torch.einsum("hn,nhd->hd", scores.masked_fill(~seen, -torch.inf).softmax(-1), values))
    return torch.stack(rows).to(query.dtype)
