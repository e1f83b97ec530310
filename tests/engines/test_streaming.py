"""Completions that are taken out of a sampler while it works."""

from __future__ import annotations

import threading

import pytest
from tiny_model import make_model, make_prompts

from rzero.engines.base import SamplingParams
from rzero.engines.embedded import EmbeddedSampler
from rzero.engines.shards import Event
from rzero.engines.streaming import Generation
from rzero.errors import EngineError
from rzero.types import FinishReason

PARAMS = SamplingParams(n=6, max_new_tokens=24, seed=3)


def drain(generation: Generation, *, stop_after: int | None = None) -> list[Event]:
    """All events; with ``stop_after``, each prompt is told to end after so many of its completions."""
    events: list[Event] = []
    batch = generation.next()
    while not batch.last:
        events += batch.events
        if stop_after is None:
            batch = generation.next()
            continue
        (event,) = batch.events
        batch = generation.next(sum(other[0] == event[0] for other in events) >= stop_after)
    return events + list(batch.events)


@pytest.mark.parametrize("ask", [False, True])
def test_what_is_taken_out_is_what_generate_returns(ask: bool) -> None:
    sampler, prompts = EmbeddedSampler(make_model("llama")), make_prompts(6, seed=1)
    events = drain(Generation(sampler, prompts, PARAMS, ask=ask), stop_after=99 if ask else None)
    assert len(events) == 36
    found = sampler.generate(prompts, PARAMS)
    assert all(made == found[i][j] for i, j, made in events)


def test_cancelling_is_the_same_however_late_the_verdicts_come() -> None:
    sampler, prompts = EmbeddedSampler(make_model("llama")), make_prompts(6, seed=1)
    seen: dict[int, int] = {}

    def stop(prompt: int, *_: object) -> bool:
        seen[prompt] = seen.get(prompt, 0) + 1
        return seen[prompt] >= 2

    expected = sampler.generate(prompts, PARAMS, on_finish=stop)
    events = drain(Generation(sampler, prompts, PARAMS, ask=True), stop_after=2)
    assert {(i, j): made for i, j, made in events} == {
        (i, j): made for i, group in enumerate(expected) for j, made in enumerate(group)
    }
    assert any(made.finish_reason is FinishReason.CANCELLED for *_, made in events)


def test_an_error_comes_out_where_batches_are_taken() -> None:
    generation = Generation(EmbeddedSampler(make_model("llama")), [[1], []], PARAMS, ask=False)
    with pytest.raises(EngineError, match="prompt 1 is empty"):
        drain(generation)


def test_an_abandoned_generation_ends_and_its_thread_with_it() -> None:
    before = threading.active_count()
    generation = Generation(EmbeddedSampler(make_model("llama")), make_prompts(30), PARAMS, ask=True)
    assert generation.next().events
    assert threading.active_count() == before + 1
    generation.abandon()
    assert threading.active_count() == before
