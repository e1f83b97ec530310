"""The attention kernel for CPUs: ``attention.c``, compiled once for the machine that runs it.

A step's new token attends without gathering pages, repeating heads or padding, and rows that share a prompt read the
same memory. Without a C compiler, :mod:`rzero.engines.paged.plain` does the same work slower.
"""

from __future__ import annotations

import ctypes
from ctypes import c_float, c_int, c_void_p
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from rzero.native.compiler import build

_SOURCE = Path(__file__).with_name("attention.c")


class NativeKernel:
    """A :class:`~rzero.engines.paged.kernels.Kernel`; pools are [pages, kv_heads, 16 * D], laid out as in the source.

    Raises OSError where the source cannot be compiled or loaded.
    """

    DTYPES = (torch.float32, torch.bfloat16)
    """What the source has code for."""

    page_size = 16
    wide_tables = True

    def __init__(self) -> None:
        self._library = _library()

    def pool(self, num_pages: int, like: Tensor) -> Tensor:
        """Zeros, so that what is masked is a number. Raises ValueError for heads whose size is no multiple of 16."""
        if like.shape[-1] % 16:
            raise ValueError(f"attention.c has no code for heads of size {like.shape[-1]}")
        return like.new_zeros(num_pages, like.shape[-2], self.page_size * like.shape[-1])

    def store(self, pools: tuple[Tensor, Tensor], key: Tensor, value: Tensor, pages: Tensor, offsets: Tensor) -> None:
        """See :class:`~rzero.engines.paged.kernels.Kernel`."""
        key, value = key.contiguous(), value.contiguous()
        self._library.store(
            key.data_ptr(),
            value.data_ptr(),
            pools[0].data_ptr(),
            pools[1].data_ptr(),
            _int32(pages),
            _int32(offsets),
            *key.shape,
            key.dtype is torch.bfloat16,
            torch.get_num_threads(),
        )

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
        """See :class:`~rzero.engines.paged.kernels.Kernel`; scores are fp32, weights rounded to the keys' dtype."""
        query = query.contiguous()
        out = torch.empty_like(query)
        rows, heads, size = query.shape
        failed = self._library.attend(
            query.data_ptr(),
            out.data_ptr(),
            pools[0].data_ptr(),
            pools[1].data_ptr(),
            _int32(table),
            table.shape[1],
            _int32(owners),
            _int32(lengths),
            rows,
            heads,
            pools[0].shape[1],
            size,
            scaling,
            sliding_window or 0,
            softcap or 0.0,
            query.dtype is torch.bfloat16,
            torch.get_num_threads(),
        )
        if failed:
            raise MemoryError("no memory for attention scores")
        return out


def _int32(tensor: Tensor) -> int:
    assert tensor.dtype is torch.int32 and tensor.is_contiguous()
    return tensor.data_ptr()


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(build(_SOURCE)))
    library.store.argtypes = [c_void_p] * 6 + [c_int] * 5
    library.store.restype = None
    library.attend.argtypes = [
        *[c_void_p] * 5,
        *(c_int, c_void_p, c_void_p),
        *[c_int] * 4,
        *(c_float, c_int, c_float),
        *[c_int] * 2,
    ]
    library.attend.restype = c_int
    return library
