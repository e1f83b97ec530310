"""Shards without any cluster: their borders, and the book that is kept of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero.engines.shards import MOST_LOSSES, Event, Ledger, Shard, cut
from rzero.errors import EngineError, WorkerLostError
from rzero.types import Completion, FinishReason

LOST = WorkerLostError("gone")


def made(reason: FinishReason = FinishReason.STOP, text: str = "") -> Completion:
    return Completion(token_ids=(1,), logprobs=(-0.5,), finish_reason=reason, text=text)


def cells(shard: Shard) -> list[tuple[int, int]]:
    return [
        (shard.first_prompt + i, shard.first_completion + j) for i in range(shard.num_prompts) for j in range(shard.n)
    ]


def everything(shard: Shard) -> list[Event]:
    return [(i, j, made()) for i in range(shard.num_prompts) for j in range(shard.n)]


@given(
    num_prompts=st.integers(0, 40),
    n=st.integers(1, 40),
    samplers=st.integers(1, 9),
    max_rows=st.integers(1, 300),
    whole_prompts=st.booleans(),
)
def test_shards_hold_each_completion_once(
    num_prompts: int, n: int, samplers: int, max_rows: int, whole_prompts: bool
) -> None:
    shards = cut(num_prompts, n, samplers=samplers, max_rows=max_rows, whole_prompts=whole_prompts)
    found = [cell for shard in shards for cell in cells(shard)]
    assert sorted(found) == [(i, j) for i in range(num_prompts) for j in range(n)]
    assert [shard.number for shard in shards] == list(range(len(shards)))
    if whole_prompts:
        assert all(shard.n == n for shard in shards)
    else:
        assert len(shards) >= min(samplers, num_prompts * n)


def test_a_large_call_has_the_same_number_of_shards_for_each_sampler() -> None:
    shards = cut(1000, 10, samplers=3, max_rows=256, whole_prompts=False)
    assert len(shards) == 12  # 4 times 3, the least with no more than 1024 rows
    assert {shard.num_prompts * shard.n for shard in shards} == {830, 840}


def test_a_lost_shard_is_next_and_what_had_come_of_it_counts_once() -> None:
    ledger = Ledger(cut(4, 2, samplers=2, max_rows=8, whole_prompts=True))
    told: list[tuple[int, int]] = []

    def tell(i: int, j: int, completion: Completion) -> bool:
        told.append((i, j))
        return i == 2

    first, second = ledger.take(), ledger.take()
    assert first is not None and second is not None and ledger.take() is None
    assert ledger.receive(second, [(0, 1, made(text="early"))], tell) == 1
    assert told == [(2, 1)] and ledger.verdict(second, (0, 1, made()))
    ledger.lost(second, LOST)
    again = ledger.take()
    assert again == second
    assert ledger.receive(second, [(0, 1, made(text="late")), (1, 0, made())], tell) == 1
    assert ledger.verdict(second, (0, 1, made())) and not ledger.verdict(second, (1, 0, made()))
    assert ledger.completions[2, 1].text == "early"
    rest = [(0, 0, made(FinishReason.CANCELLED)), (1, 1, made())]
    assert ledger.receive(second, rest, tell) == 2
    ledger.complete(second)
    assert told == [(2, 1), (3, 0), (3, 1)] and not ledger.done
    ledger.receive(first, everything(first), None)
    ledger.complete(first)
    assert ledger.done and len(ledger.completions) == 8


def test_a_shard_that_is_not_whole_is_not_complete() -> None:
    ledger = Ledger(cut(2, 3, samplers=1, max_rows=8, whole_prompts=False))
    shard = ledger.take()
    assert shard is not None
    ledger.receive(shard, everything(shard)[:-1], None)
    with pytest.raises(EngineError, match=r"left out 1 of 6 .*\(1, 2\)"):
        ledger.complete(shard)


def test_a_shard_that_kills_every_sampler_ends_the_run() -> None:
    ledger = Ledger(cut(1, 1, samplers=1, max_rows=8, whole_prompts=False))
    for _ in range(MOST_LOSSES - 1):
        shard = ledger.take()
        assert shard is not None
        ledger.lost(shard, LOST)
    shard = ledger.take()
    assert shard is not None
    with pytest.raises(EngineError, match=rf"{MOST_LOSSES} times.*gone") as caught:
        ledger.lost(shard, LOST)
    assert not isinstance(caught.value, WorkerLostError)
