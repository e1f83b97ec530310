"""Prompts that begin alike: what they have in common is run once, kept once, and seen by all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sampler_contract import full_logprobs, tokens
from tiny_model import make_model
from torch import Tensor

from rzero.engines.base import SamplingParams
from rzero.engines.drafts import Row
from rzero.engines.embedded import EmbeddedSampler
from rzero.engines.paged import scheduler, select
from rzero.engines.paged.cache import PagedCache
from rzero.engines.paged.native import NativeKernel
from rzero.engines.paged.plain import PlainKernel
from rzero.errors import EngineError
from rzero.types import Completion, TokenIds

BYTES_PER_PAGE = 512 * 16
COMMON = 37  # two pages of 16, and some


def alike(*rests: int, common: int = COMMON) -> list[list[int]]:
    """Prompts of ``common`` tokens, and then so many of their own."""
    generator = torch.Generator().manual_seed(common)
    beginning = torch.randint(1, 280, (common,), generator=generator).tolist()
    return [[*beginning, *([first] * rest)] for first, rest in enumerate(rests, start=1)]


def apart(sampler: EmbeddedSampler, prompts: list[list[int]], params: SamplingParams) -> list[list[Completion]]:
    """What ``sampler`` draws where nothing is shared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scheduler, "_beginning", lambda rows, page_size: ())
        return sampler.generate(prompts, params)


@pytest.mark.parametrize("kernel", [NativeKernel, PlainKernel])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma2", "gemma3_text", "gpt2"])
def test_logprobs_are_those_of_a_full_forward_pass(
    architecture: str, kernel: type[NativeKernel | PlainKernel], monkeypatch: pytest.MonkeyPatch
) -> None:
    if architecture == "gpt2" and kernel is NativeKernel:
        pytest.skip("its heads have 8 entries")
    monkeypatch.setattr(select, "_candidates", lambda model: [kernel])
    model, prompts = make_model(architecture), alike(1, 20, 7, 0, 11, 12)
    sampler, params = EmbeddedSampler(model), SamplingParams(n=3, max_new_tokens=20)
    found = sampler.generate(prompts, params)
    for prompt, completions in zip(prompts, found, strict=True):
        for completion in completions:
            expected = full_logprobs(model, prompt, completion, 1.0)
            torch.testing.assert_close(torch.tensor(completion.logprobs), expected, atol=2e-5, rtol=1e-5)
    expected = apart(sampler, prompts, params)
    assert [tokens(completions) for completions in found] == [tokens(completions) for completions in expected]


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        (alike(4, 9, 6), 32 + 9 + 14 + 11),
        (alike(4, 9, 6) * 2, 32 + 9 + 14 + 11),
        (alike(5, 3, common=15), 20 + 18),  # less than a page
        (alike(0, 9, common=32), 16 + 16 + 25),  # one begins with the other, and has a token of its own
        (alike(5) * 3, 42),  # one prompt
        ([*alike(4, 9), [7]], 41 + 46 + 1),
    ],
)
def test_what_prompts_have_in_common_is_run_once(prompts: list[list[int]], expected: int) -> None:
    model = make_model()
    sampler = EmbeddedSampler(model)
    run: list[int] = []
    embedding: Any = model.module.get_input_embeddings()
    embedding.register_forward_hook(lambda module, inputs, output: run.append(inputs[0].numel()))
    found = sampler.generate(prompts, SamplingParams(n=2, max_new_tokens=8))
    drawn = [len(completion.token_ids) for completions in found for completion in completions]
    assert sum(run) == expected + sum(drawn) - len(drawn)  # a completion's last token is not run


def test_completions_that_lose_their_pages_keep_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompts = make_model(), alike(4, 9, 6, 20, 1)
    params = SamplingParams(n=4, max_new_tokens=35)
    expected = apart(EmbeddedSampler(model), prompts, params)
    prefill, starts, caches = PagedCache.prefill, [], []

    def noted(cache: PagedCache, prompts: Sequence[TokenIds], pages: Sequence[Sequence[int]], start: int = 0) -> Tensor:
        starts.extend([start] * len(prompts))
        caches.append(cache)
        return prefill(cache, prompts, pages, start)

    enough = 7  # 57 + 35 tokens, and a copy of the prompt's last page
    sampler = EmbeddedSampler(model, kv_bytes=enough * BYTES_PER_PAGE)
    monkeypatch.setattr(PagedCache, "prefill", noted)
    found = sampler.generate(prompts, params)
    assert [tokens(completions) for completions in found] == [tokens(completions) for completions in expected]
    assert starts[0] == 0 and set(starts[1:]) == {32}
    assert len(starts) > 1 + len(prompts)  # or nothing was suspended
    assert caches[-1].pages.available == enough - 2  # all but the beginning is given back
    with pytest.raises(EngineError, match=r"of up to 35 tokens needs 0\.000 GiB"):
        EmbeddedSampler(model, kv_bytes=(enough - 1) * BYTES_PER_PAGE).generate(prompts, params)


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=9).map(tuple), min_size=1, max_size=5))
def test_a_beginning_is_that_of_all_prompts_and_leaves_something_of_each(prompts: list[tuple[int, ...]]) -> None:
    rows = [Row(prompt=i, completion=0, prompt_ids=ids, limit=1) for i, ids in enumerate(prompts)]
    found = scheduler._beginning(rows, page_size=2)
    longer = prompts[0][: len(found) + 2]
    assert all(ids[: len(found)] == found and len(ids) > len(found) for ids in prompts)
    assert len(set(prompts)) == 1 or any(ids[: len(longer)] != longer or ids == longer for ids in prompts)
    assert len(found) % 2 == 0 and (len(set(prompts)) > 1 or not found)
