"""The attention kernel for CUDA: PyTorch's own FlashAttention, which reads pages where they lie.

FlashAttention 2, which PyTorch brings with it, takes pages of a multiple of 256 tokens. A completion therefore holds
at least that many tokens' memory, and its copy of a prompt's last page costs as much.
"""

from __future__ import annotations

import inspect

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

from rzero.engines.paged.plain import PlainKernel


class FlashKernel(PlainKernel):
    """A :class:`~rzero.engines.paged.kernels.Kernel` with the pools of the plain one.

    Raises RuntimeError where the device or this build of PyTorch has no such attention.
    """

    DTYPES = (torch.float16, torch.bfloat16)
    """What FlashAttention computes in."""

    page_size = 256
    wide_tables = True

    @staticmethod
    def available() -> bool:
        """Whether this PyTorch's ``varlen_attn`` knows pages: older ones do not."""
        return "block_table" in inspect.signature(varlen_attn).parameters

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
        """See :class:`~rzero.engines.paged.kernels.Kernel`. Raises ValueError for a soft cap: it takes none."""
        if softcap:
            raise ValueError("varlen_attn has no soft cap")
        rows = len(table)
        one_each = len(query) == rows
        bounds = torch.arange(rows + 1, dtype=torch.int32, device=query.device)
        starts = bounds if one_each else torch.searchsorted(owners, bounds, out_int32=True)
        # Without a right bound, a single query's heads that share keys are taken together, which is faster.
        right = -1 if one_each and not sliding_window else 0
        return varlen_attn(
            query,
            *pools,
            starts,
            starts,  # it must be given, but lengths and table say where a row's keys are
            # The most that these can be: what they are, the device alone knows.
            len(query) - rows + 1,
            table.shape[1] * self.page_size,
            scale=scaling,
            window_size=(sliding_window - 1 if sliding_window else -1, right),
            enable_gqa=query.shape[1] != pools[0].shape[2],
            seqused_k=lengths if one_each else lengths[starts[1:] - 1],
            block_table=table,
        )  # pyright: ignore[reportReturnType]
