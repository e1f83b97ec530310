from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rzero.engines.paged.kernels import Kernel
from rzero.engines.paged.native import NativeKernel
from rzero.engines.paged.plain import PlainKernel

CASES = [  # query heads, key-value heads, head size, most tokens, window, softcap
    (4, 4, 32, 5, 0, 0.0),
    (9, 3, 64, 211, 0, 0.0),
    (16, 2, 80, 100, 33, 20.0),
    (10, 2, 48, 40, 16, 0.0),
    (6, 1, 128, 33, 0, 5.0),
]


def reference(query: Tensor, key: Tensor, value: Tensor, lengths: Tensor, *, scale: float, window: int, softcap: float):
    """Attention in fp64: ``query`` [R, H, D], ``key`` and ``value`` [R, n, kv_heads, D], of which ``lengths`` count."""
    share = query.shape[1] // key.shape[2]
    keys, values = (x.double().repeat_interleave(share, 2) for x in (key, value))
    scores = torch.einsum("rhd,rnhd->rhn", query.double(), keys) * scale
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    column = torch.arange(key.shape[1])
    hidden = (column >= lengths[:, None]) | ((window > 0) & (column < lengths[:, None] - window))
    return torch.einsum("rhn,rnhd->rhd", scores.masked_fill(hidden[:, None], -torch.inf).softmax(-1), values)


def paged(kernel: Kernel, key: Tensor, value: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Pools that hold ``key`` and ``value`` [R, n, kv_heads, D] in pages of no order, and the table."""
    rows, length = key.shape[:2]
    count = -(-length // kernel.page_size)
    table = torch.randperm(rows * count).int().view(rows, count)
    column = torch.arange(length)
    pools = kernel.pool(rows * count, key), kernel.pool(rows * count, value)
    kernel.store(
        pools,
        key.flatten(0, 1),
        value.flatten(0, 1),
        table[:, column // kernel.page_size].flatten().contiguous(),
        (column % kernel.page_size).int().repeat(rows),
    )
    return pools, table


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kernel", [NativeKernel, PlainKernel])
@pytest.mark.parametrize(("heads", "kv_heads", "size", "length", "window", "softcap"), CASES)
def test_a_kernel_is_attention(
    kernel: type[Kernel],
    dtype: torch.dtype,
    heads: int,
    kv_heads: int,
    size: int,
    length: int,
    window: int,
    softcap: float,
) -> None:
    torch.manual_seed(0)
    query = torch.randn(7, heads, size, dtype=dtype)
    key, value = torch.randn(2, 7, length, kv_heads, size, dtype=dtype)
    lengths = torch.tensor([1, *torch.randint(1, length + 1, (5,)).tolist(), length], dtype=torch.int32)
    pools, table = paged(kernel(), key, value)
    scale = size**-0.5
    owners = torch.arange(7, dtype=torch.int32)
    found = kernel().attend(
        query, pools, table, owners, lengths, scaling=scale, sliding_window=window or None, softcap=softcap or None
    )
    expected = reference(query, key, value, lengths, scale=scale, window=window, softcap=softcap)
    assert found.dtype is dtype
    tolerance = 2e-6 if dtype is torch.float32 else 0.03
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)


def test_the_native_kernel_survives_huge_scores_and_shows_damage() -> None:
    key = torch.randn(2, 20, 1, 16) * 1e4
    query, value = torch.randn(2, 1, 16) * 1e4, torch.randn(2, 20, 1, 16)
    query[1, 0, 3] = torch.nan
    kernel = NativeKernel()
    pools, table = paged(kernel, key, value)
    owners, lengths = torch.tensor([0, 1], dtype=torch.int32), torch.tensor([20, 20], dtype=torch.int32)
    found = kernel.attend(query, pools, table, owners, lengths, scaling=1.0, sliding_window=None, softcap=None)
    assert found[0].isfinite().all() and found[1].isnan().all()


def test_the_native_kernel_refuses_what_it_has_no_code_for() -> None:
    with pytest.raises(ValueError, match="heads of size 24"):
        NativeKernel().pool(1, torch.zeros(1, 1, 24))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kernel", [NativeKernel, PlainKernel])
@pytest.mark.parametrize(("heads", "kv_heads", "size", "length", "window", "softcap"), CASES)
def test_a_sequence_may_have_several_queries(
    kernel: type[Kernel],
    dtype: torch.dtype,
    heads: int,
    kv_heads: int,
    size: int,
    length: int,
    window: int,
    softcap: float,
) -> None:
    torch.manual_seed(1)
    counts = torch.tensor([3, 1, length, 2])
    owners = torch.arange(4, dtype=torch.int32).repeat_interleave(counts)
    lengths = torch.cat([torch.arange(length - count, length) for count in counts]).int() + 1
    query = torch.randn(len(owners), heads, size, dtype=dtype)
    key, value = torch.randn(2, 4, length, kv_heads, size, dtype=dtype)
    pools, table = paged(kernel(), key, value)
    scale = size**-0.5
    found = kernel().attend(
        query, pools, table, owners, lengths, scaling=scale, sliding_window=window or None, softcap=softcap or None
    )
    expected = reference(query, key[owners], value[owners], lengths, scale=scale, window=window, softcap=softcap)
    assert found.dtype is dtype
    tolerance = 2e-6 if dtype is torch.float32 else 0.03
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)
