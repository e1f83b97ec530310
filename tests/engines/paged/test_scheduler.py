from __future__ import annotations

from collections.abc import Callable

import pytest
from sampler_contract import tokens
from tiny_model import make_model, make_prompts

from rzero.engines.base import SamplingParams
from rzero.engines.embedded import EmbeddedSampler
from rzero.engines.paged.cache import PagedCache
from rzero.errors import EngineError
from rzero.types import Completion, FinishReason

BYTES_PER_PAGE = 512 * 16


def watch(monkeypatch: pytest.MonkeyPatch, name: str, note: Callable[..., None]) -> None:
    """Have ``note`` called with the arguments of every call of a method of the cache."""
    method = getattr(PagedCache, name)

    def noted(self: PagedCache, *arguments: object) -> object:
        note(*arguments)
        return method(self, *arguments)

    monkeypatch.setattr(PagedCache, name, noted)


def test_finished_rows_are_replaced_by_waiting_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompts = make_model("llama"), make_prompts(40, seed=1)
    sampler = EmbeddedSampler(model, max_rows=16)
    steps: list[int] = []
    watch(monkeypatch, "decode", lambda fed, *rest: steps.append(len(fed)))
    found = sampler.generate(prompts, SamplingParams(n=3, max_new_tokens=50))
    lengths = [len(completion.token_ids) for completions in found for completion in completions]
    assert sum(steps) == sum(lengths) - len(lengths)  # each step feeds a token that is not a completion's last
    assert max(steps) <= 16
    busy = steps[: 3 * len(steps) // 4]
    assert sum(busy) / len(busy) > 12  # 16 slots, of which two may be empty before they are filled again


@pytest.mark.parametrize("architecture", ["llama", "gemma3_text", "gpt2"])
def test_completions_that_lose_their_pages_go_on_as_if_they_had_not(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, prompts = make_model(architecture), make_prompts(10, seed=2)
    params = SamplingParams(n=4, max_new_tokens=55)
    expected = EmbeddedSampler(model, max_rows=20).generate(prompts, params)
    fed: list[int] = []
    watch(monkeypatch, "prefill", lambda batch, *rest: fed.extend(len(prompt) for prompt in batch))
    found = EmbeddedSampler(model, max_rows=20, kv_bytes=14 * BYTES_PER_PAGE).generate(prompts, params)
    assert len(fed) > len(prompts)  # or nothing was suspended, and this test shows nothing
    assert [tokens(completions) for completions in found] == [tokens(completions) for completions in expected]


def test_prompts_are_prefilled_once_however_many_rows_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompts = make_model("llama"), make_prompts(12, seed=3)
    sampler = EmbeddedSampler(model, max_rows=5)
    fed: list[int] = []
    watch(monkeypatch, "prefill", lambda batch, *rest: fed.extend(len(prompt) for prompt in batch))
    sampler.generate([*prompts, *prompts], SamplingParams(n=4, max_new_tokens=20))
    assert sorted(fed) == sorted(len(prompt) for prompt in prompts)


def test_a_cache_too_small_for_one_completion_is_an_error_that_says_what_would_do() -> None:
    sampler = EmbeddedSampler(make_model("llama"), kv_bytes=2 * BYTES_PER_PAGE)
    prompt = make_prompts(1, seed=4)[0][:5]
    with pytest.raises(EngineError, match=r"of up to 60 tokens needs 0\.000 GiB .* raise engine\.kv_gib"):
        sampler.generate([prompt], SamplingParams(max_new_tokens=60))
    assert sampler.generate([prompt], SamplingParams(max_new_tokens=10))


@pytest.mark.parametrize("pages", [7, 8, 9])
def test_prompts_that_wait_leave_their_pages_to_one_that_could_not_start_otherwise(pages: int) -> None:
    model, prompts = make_model(), [[5] * length for length in (57, 46, 43, 41, 38)]
    params = SamplingParams(n=4, max_new_tokens=35)
    expected = EmbeddedSampler(model).generate(prompts, params)
    found = EmbeddedSampler(model, kv_bytes=pages * BYTES_PER_PAGE).generate(prompts, params)
    assert [tokens(completions) for completions in found] == [tokens(completions) for completions in expected]


def test_cancelling_frees_slots_and_spares_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompts = make_model("llama"), make_prompts(6, seed=5)
    params = SamplingParams(n=8, max_new_tokens=30)
    sampler = EmbeddedSampler(model, max_rows=6)
    full = sampler.generate(prompts, params)
    steps: list[int] = []
    watch(monkeypatch, "decode", lambda fed, *rest: steps.append(len(fed)))
    told: list[tuple[int, int]] = []

    def enough(prompt: int, completion: int, done: Completion) -> bool:
        told.append((prompt, completion))
        return prompt % 2 == 0

    found = sampler.generate(prompts, params, on_finish=enough)
    for index, (completions, whole) in enumerate(zip(found, full, strict=True)):
        cancelled = [c for c in completions if c.finish_reason is FinishReason.CANCELLED]
        assert bool(cancelled) == (index % 2 == 0)
        for mine, all_of_it in zip(completions, whole, strict=True):
            assert mine.token_ids == all_of_it.token_ids[: len(mine.token_ids)]
            assert mine.finish_reason in (FinishReason.CANCELLED, all_of_it.finish_reason)
    assert sum(not c.token_ids for c in found[0] + found[2] + found[4]) > 3  # some never started
    assert len(told) == sum(c.finish_reason is not FinishReason.CANCELLED for row in found for c in row)
    assert sum(steps) < sum(len(c.token_ids) for row in full for c in row) - 3
