from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_policy import END, group, random_groups

from rzero.errors import EngineError
from rzero.grpo.batch import MicroBatch, microbatches, weighted_rows

CPU = torch.device("cpu")


def _batches(groups, limit: int) -> list[MicroBatch]:
    rows = weighted_rows([(g, [1.0] * len(g.rollouts)) for g in groups], normalization="sequence", max_new_tokens=9)
    return microbatches(rows, tokens_per_microbatch=limit, dtype=torch.float32, device=CPU)


@given(seed=st.integers(0, 1000), limit=st.integers(1, 200))
def test_every_completion_token_once_with_its_own_context(seed: int, limit: int) -> None:
    groups = random_groups(3, seed=seed)
    expected = sorted(
        (g.prompt_ids + r.completion.token_ids[:t], token, 1 / (12 * len(r.completion.token_ids)))
        for g in groups
        for r in g.rollouts
        for t, token in enumerate(r.completion.token_ids)
    )
    found = []
    for batch in _batches(groups, limit):
        height, width = batch.input_ids.shape
        assert height * width <= limit or height == 1
        for row, position, target, weight in zip(
            batch.rows, batch.positions, batch.targets, batch.weights, strict=True
        ):
            context = tuple(batch.input_ids[row, : position + 1].tolist())
            found.append((context, target.item(), weight.item()))
    assert [f[:2] for f in sorted(found)] == [e[:2] for e in expected]
    assert [f[2] for f in sorted(found)] == pytest.approx([e[2] for e in expected])


def test_longest_first_and_otherwise_in_order() -> None:
    groups = [group((5, 6), [(7,), (8, 9, 10)], [0.0, 1.0]), group((3,), [(4, 11, 12, END), (13,)], [0.0, 1.0])]
    first, second = _batches(groups, 9)
    assert first.input_ids.tolist() == [[5, 6, 8, 9], [3, 4, 11, 12]]
    assert second.input_ids.tolist() == [[5, 6], [3, 0]]
    assert (second.targets.tolist(), second.positions.tolist()) == ([7, 13], [1, 0])


def test_a_row_beyond_the_limit_gets_a_pass_of_its_own() -> None:
    assert [batch.input_ids.shape for batch in _batches([group((5,), [(7,) * 9, (7,) * 2], [0.0, 1.0])], 4)] == [
        (1, 9),
        (1, 2),
    ]


def test_empty_completions_are_not_read() -> None:
    (batch,) = _batches([group((5,), [(), (7,)], [0.0, 1.0])], 4)
    assert batch.input_ids.tolist() == [[5]]


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(EngineError, match="prompt has 0 tokens"):
        _batches([group((), [(7,), (8,)], [0.0, 1.0])], 4)
