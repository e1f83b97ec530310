"""What ``varlen_attn`` documents for causal attention over pages, in plain PyTorch."""

from __future__ import annotations

from itertools import pairwise

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
    """``query`` [N, H, D] over pools [pages, page_size, kv_heads, D]; what FlashAttention 2 asks for is asked for.

    A sequence's last query stands at its last key.
    """
    count, page_size = len(block_table), key.shape[1]
    assert page_size % 256 == 0 and max_k == block_table.shape[1] * page_size
    assert {x.dtype for x in (cu_seq_q, cu_seq_k, seqused_k, block_table)} == {torch.int32}
    assert cu_seq_q[0] == 0 and cu_seq_q[-1] == len(query) and cu_seq_q.shape == cu_seq_k.shape == (count + 1,)
    assert cu_seq_q.diff().min() >= 1 and cu_seq_q.diff().max() <= max_q
    assert seqused_k.is_contiguous() and seqused_k.shape == (count,) and block_table.stride(-1) == 1
    assert enable_gqa == (query.shape[1] != key.shape[2])
    left, right = window_size
    assert right == 0 or (right == -1 and max_q == 1)
    share = query.shape[1] // key.shape[2]
    out = []
    for index, (start, stop) in enumerate(pairwise(cu_seq_q.tolist())):
        length = int(seqused_k[index])
        keys, values = (pool[block_table[index].long()].flatten(0, 1)[:length] for pool in (key, value))
        keys, values = (x.float().repeat_interleave(share, 1) for x in (keys, values))
        at = torch.arange(length - (stop - start), length)[:, None]
        column = torch.arange(length)
        seen = column <= at
        if left >= 0:
            seen &= column >= at - left
        scores = torch.einsum("qhd,nhd->hqn", query[start:stop].float(), keys) * scale
        out.append(torch.einsum("hqn,nhd->qhd", scores.masked_fill(~seen, -torch.inf).softmax(-1), values))
    return torch.cat(out).to(query.dtype)
