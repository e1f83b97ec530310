from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from made_flash import varlen_attn
from sampler_contract import tokens
from tiny_model import make_model, make_prompts
from torch import Tensor

from rzero.engines.base import SamplingParams
from rzero.engines.embedded import EmbeddedSampler
from rzero.engines.paged import flash, select
from rzero.engines.paged.flash import FlashKernel
from rzero.engines.paged.plain import PlainKernel
from rzero.engines.paged.select import choose_kernel


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Tensor]], None]:
    """Offer the kernel first, around another operation than the one that needs a GPU."""

    def offer(operation: Callable[..., Tensor]) -> None:
        monkeypatch.setattr(flash, "varlen_attn", operation)
        monkeypatch.setattr(select, "_candidates", lambda model: iter((FlashKernel, PlainKernel)))

    return offer


@pytest.mark.parametrize(("heads", "kv_heads", "window"), [(4, 4, None), (6, 2, None), (6, 2, 40), (4, 1, 300)])
def test_layout_table_lengths_and_window_are_those_of_the_plain_kernel(
    heads: int, kv_heads: int, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flash, "varlen_attn", varlen_attn)
    torch.manual_seed(0)
    flashed, plain = FlashKernel(), PlainKernel()
    plain.page_size = flashed.page_size
    lengths = torch.tensor([1, 255, 256, 257, 600], dtype=torch.int32)
    table = torch.randperm(15).int().view(5, 3)
    like = torch.zeros(1, kv_heads, 16)
    pools = flashed.pool(15, like), flashed.pool(15, like)
    places = torch.arange(3 * 256)
    for row in table:
        flashed.store(pools, *torch.randn(2, 768, kv_heads, 16), row[places // 256].contiguous(), (places % 256).int())
    for counts in ([1, 1, 1, 1, 1], [1, 255, 3, 1, 300]):
        owners = torch.arange(5, dtype=torch.int32).repeat_interleave(torch.tensor(counts))
        each = [torch.arange(end - count, end) + 1 for count, end in zip(counts, lengths.tolist(), strict=True)]
        query = torch.randn(sum(counts), heads, 16)
        found, expected = (
            kernel.attend(
                query, pools, table, owners, torch.cat(each).int(), scaling=0.3, sliding_window=window, softcap=None
            )
            for kernel in (flashed, plain)
        )
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma3_text"])
def test_it_is_proven_on_the_model_and_samples_what_the_plain_kernel_does(
    architecture: str, first: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, prompts = make_model(architecture), make_prompts(6, seed=3)
    params = SamplingParams(n=3, max_new_tokens=40)
    expected = EmbeddedSampler(model).generate(prompts, params)
    first(varlen_attn)
    monkeypatch.setattr(model, "max_context", 96)
    sampler = EmbeddedSampler(model)
    assert sampler.kernel == "FlashKernel"
    found = sampler.generate(prompts, params)
    assert [tokens(completions) for completions in found] == [tokens(completions) for completions in expected]


def test_prompts_and_completions_cross_its_pages(first: Callable[..., None]) -> None:
    model = make_model("llama")
    model.max_context = 700
    prompts = [torch.randint(1, 280, (length,)).tolist() for length in (250, 256, 300)]
    params = SamplingParams(n=2, max_new_tokens=20)
    expected = EmbeddedSampler(model).generate(prompts, params)
    first(varlen_attn)
    choice = choose_kernel(model)
    assert choice is not None and isinstance(choice.kernel, FlashKernel)
    assert choice.bytes_per_token == 512
    found = EmbeddedSampler(model).generate(prompts, params)
    assert [tokens(completions) for completions in found] == [tokens(completions) for completions in expected]


def test_a_beginning_of_whole_pages_is_shared(first: Callable[..., None]) -> None:
    model = make_model("llama")
    model.max_context = 700
    beginning = torch.randint(1, 280, (270,)).tolist()
    prompts = [[*beginning, *rest] for rest in ([7] * 4, [8], [9] * 250)]
    params = SamplingParams(n=2, max_new_tokens=10)
    expected = EmbeddedSampler(model, plain=True).generate(prompts, params)
    first(varlen_attn)
    found = EmbeddedSampler(model).generate(prompts, params)
    assert [tokens(completions) for completions in found] == [tokens(completions) for completions in expected]


def test_a_soft_cap_is_refused_and_another_kernel_serves(first: Callable[..., None]) -> None:
    first(varlen_attn)
    assert EmbeddedSampler(make_model("gemma2")).kernel == "PlainKernel"


@pytest.mark.parametrize("kind", [RuntimeError, NotImplementedError])
def test_an_operation_that_fails_is_warned_of_once_and_another_kernel_serves(
    kind: type[Exception], first: Callable[..., None]
) -> None:
    def refuse(*operands: Any, **rules: Any) -> Tensor:
        raise kind("FlashAttention only supports Ampere GPUs or newer")

    first(refuse)
    with pytest.warns(RuntimeWarning, match="slower than it could be: FlashAttention only") as warned:
        choice = choose_kernel(make_model("llama"))
    assert choice is not None and isinstance(choice.kernel, PlainKernel) and len(warned) == 1


def test_an_operation_that_computes_something_else_is_not_taken(first: Callable[..., None]) -> None:
    first(lambda *operands, scale, **rules: varlen_attn(*operands, scale=2 * scale, **rules))
    assert EmbeddedSampler(make_model("llama")).kernel == "PlainKernel"


def test_without_a_gpu_it_has_no_operation() -> None:
    kernel = FlashKernel()
    pools = kernel.pool(1, torch.zeros(1, 2, 16)), kernel.pool(1, torch.zeros(1, 2, 16))
    with pytest.raises(RuntimeError):
        kernel.attend(
            torch.zeros(1, 4, 16),
            pools,
            torch.zeros(1, 1, dtype=torch.int32),
            torch.zeros(1, dtype=torch.int32),
            torch.ones(1, dtype=torch.int32),
            scaling=1.0,
            sliding_window=None,
            softcap=None,
        )


def test_this_pytorch_knows_pages() -> None:
    assert FlashKernel.available()
