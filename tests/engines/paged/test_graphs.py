from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import chain, pairwise

import pytest
import torch
from sampler_contract import tokens
from tiny_model import make_model, make_prompts
from torch import Tensor

from rzero.engines.base import SamplingParams
from rzero.engines.embedded import EmbeddedSampler
from rzero.engines.paged import graphs
from rzero.engines.paged.cache import PagedCache
from rzero.engines.paged.graphs import recorder_for
from rzero.types import Completion


class Again:
    """Records by keeping the work and doing it again on the same memory, into the same result."""

    def __init__(self, device: torch.device | None = None) -> None:
        self.sizes: list[int] = []
        self.closed = False

    def record(self, work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        result = work()
        self.sizes.append(len(result))
        return lambda: result.copy_(work())

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "_PATIENCE", 2)


def sampled(sampler: EmbeddedSampler, *, prompts: int = 12, n: int = 3) -> list[list[Completion]]:
    return sampler.generate(make_prompts(prompts, seed=6), SamplingParams(n=n, max_new_tokens=45))


def all_tokens(found: list[list[Completion]]) -> list[object]:
    return [tokens(completions) for completions in found]


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma3_text"])
@pytest.mark.parametrize("max_rows", [5, 30])
def test_replayed_steps_draw_what_launched_ones_do(architecture: str, max_rows: int) -> None:
    model = make_model(architecture)
    expected = sampled(EmbeddedSampler(model, max_rows=max_rows))
    made: list[Again] = []
    sampler = EmbeddedSampler(model, max_rows=max_rows, recorder=lambda device: made.append(Again()) or made[-1])
    found = sampled(sampler)
    assert sampler.replayed > 20
    assert all_tokens(found) == all_tokens(expected)
    for ours, theirs in zip(chain(*found), chain(*expected), strict=True):
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=2e-5)  # products of more rows round otherwise
    assert made[0].sizes == list(dict.fromkeys(made[0].sizes)) and max(made[0].sizes) == max_rows
    assert made[0].closed


def test_each_call_records_anew() -> None:
    made: list[Again] = []
    sampler = EmbeddedSampler(make_model(), recorder=lambda device: made.append(Again()) or made[-1])
    assert all_tokens(sampled(sampler)) == all_tokens(sampled(sampler))
    assert len(made) == 2 and made[0].sizes == made[1].sizes


def test_pools_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[int, set[int]] = {}
    layer = PagedCache.layer

    def noted(self: PagedCache, index: int, like: Tensor | None = None) -> tuple[Tensor, Tensor]:
        pools = layer(self, index, like)
        seen.setdefault(index, set()).update(pool.data_ptr() for pool in pools)
        return pools

    sampler = EmbeddedSampler(make_model(), recorder=Again)
    monkeypatch.setattr(PagedCache, "layer", noted)
    sampled(sampler)
    assert {len(places) for places in seen.values()} == {2}


def test_a_tight_cache_suspends_rows_all_the_same() -> None:
    model = make_model()
    expected = sampled(EmbeddedSampler(model))
    sampler = EmbeddedSampler(model, kv_bytes=14 * 512 * 16, recorder=Again)
    assert all_tokens(sampled(sampler)) == all_tokens(expected)
    assert sampler.replayed


def test_a_cache_without_room_for_a_scratch_page_does_without() -> None:
    sampler = EmbeddedSampler(make_model(), kv_bytes=5 * 512 * 16, recorder=Again)
    params = SamplingParams(n=2, max_new_tokens=55)
    assert sampler.generate([[5, 6, 7]], params)
    assert sampler.replayed == 0


class Fails(Again):
    def record(self, work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        raise RuntimeError("operation not permitted when stream is capturing")


class Forgets(Again):
    """Replays what was there when it was recorded, as numbers that the host put into a recording would be."""

    def record(self, work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        result = work().clone()
        return lambda: result


@pytest.mark.parametrize(("recorder", "reason"), [(Fails, "not permitted"), (Forgets, "something else")])
def test_a_recording_that_fails_or_differs_is_warned_of_once_and_sampling_goes_on(
    recorder: type[Again], reason: str
) -> None:
    model = make_model()
    expected = sampled(EmbeddedSampler(model))
    sampler = EmbeddedSampler(model, recorder=recorder)
    with pytest.warns(RuntimeWarning, match=f"without CUDA graphs, slower: .*{reason}") as warned:
        found = sampled(sampler)
    assert len(warned) == 1 and sampler.replayed == 0
    assert all_tokens(found) == all_tokens(expected)
    with warnings.catch_warnings(action="error"):
        assert all_tokens(sampled(sampler)) == all_tokens(expected)


def test_a_model_in_bf16_replays_too() -> None:
    sampler = EmbeddedSampler(make_model("llama", dtype=torch.bfloat16), recorder=Again)
    sampled(sampler)
    assert sampler.replayed


@pytest.mark.parametrize("slots", [1, 2, 5, 16, 24, 100, 256, 1000])
def test_sizes_end_with_the_slots_and_waste_little(slots: int) -> None:
    sizes = graphs._sizes(slots)
    assert sizes == sorted(set(sizes)) and sizes[-1] == slots
    assert all(after <= 2 * before for before, after in pairwise(sizes))


def test_a_cpu_has_none() -> None:
    assert recorder_for(torch.device("cpu")) is None
    sampler = EmbeddedSampler(make_model())
    sampled(sampler)
    assert sampler.replayed == 0
