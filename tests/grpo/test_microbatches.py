from __future__ import annotations

import pytest
import torch
from forms import PACKED, PADDED, Form, microbatches
from hypothesis import given
from hypothesis import strategies as st
from tiny_policy import END, group, random_groups

from rzero.errors import EngineError
from rzero.grpo.batch import MicroBatch, even_parts, packed_parts, padded_parts, weighted_rows

FORMS = pytest.mark.parametrize("form", [PACKED, PADDED])


def _batches(form: Form, groups, limit: int) -> list[MicroBatch]:
    rows = weighted_rows([(g, [1.0] * len(g.rollouts)) for g in groups], normalization="sequence", max_new_tokens=9)
    return microbatches(form, rows, limit, torch.float32)


@FORMS
@given(seed=st.integers(0, 1000), limit=st.integers(1, 200))
def test_every_completion_token_once_with_its_weight(form: Form, seed: int, limit: int) -> None:
    groups = random_groups(3, seed=seed)
    expected = sorted(
        (token, 1 / (12 * len(r.completion.token_ids)))
        for g in groups
        for r in g.rollouts
        for token in r.completion.token_ids
    )
    batches = _batches(form, groups, limit)
    found = sorted((t.item(), w.item()) for b in batches for t, w in zip(b.targets, b.weights, strict=True))
    assert [f[0] for f in found] == [e[0] for e in expected]
    assert [f[1] for f in found] == pytest.approx([e[1] for e in expected])
    for batch in batches:
        assert len(batch.predictors) == len(batch.targets) == len(batch.advantages) == len(batch.sampler_logprobs)
        longest = max(len(g.prompt_ids) + len(r.completion.token_ids) - 1 for g in groups for r in g.rollouts)
        assert batch.input_ids.numel() <= max(limit, longest)


@given(seed=st.integers(0, 1000), limit=st.integers(1, 200))
def test_padded_rows_hold_each_tokens_context(seed: int, limit: int) -> None:
    groups = random_groups(3, seed=seed)
    expected = sorted(
        (g.prompt_ids + r.completion.token_ids[:t], token)
        for g in groups
        for r in g.rollouts
        for t, token in enumerate(r.completion.token_ids)
    )
    found = []
    for batch in _batches(PADDED, groups, limit):
        width = batch.input_ids.shape[1]
        for predictor, target in zip(batch.predictors.tolist(), batch.targets.tolist(), strict=True):
            row, place = divmod(predictor, width)
            found.append((tuple(batch.input_ids[row, : place + 1].tolist()), target))
    assert sorted(found) == expected


def test_packed_is_each_prompt_once_then_its_completions_longest_first() -> None:
    groups = [
        group((5, 6), [(7,), (8, 9, 10), (11, 12)], [0.0, 1.0, 0.0]),
        group((3,), [(4, 13, 14, END), ()], [0.0, 1.0]),
    ]
    (batch,) = _batches(PACKED, groups, 100)
    assert batch.input_ids.tolist() == [[5, 6, 8, 9, 11, 3, 4, 13, 14]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 2, 0, 1, 2, 3]]
    assert batch.targets.tolist() == [8, 9, 10, 11, 12, 7, 4, 13, 14, END]
    assert batch.predictors.tolist() == [1, 2, 3, 1, 4, 1, 5, 6, 7, 8]


def test_a_shared_prompt_counts_once_in_the_limit() -> None:
    groups = [group((5, 6, 7), [(8, 9), (10, 11), (12, 13)], [0.0, 1.0, 1.0])]
    assert [b.input_ids.tolist() for b in _batches(PACKED, groups, 6)] == [[[5, 6, 7, 8, 10, 12]]]
    assert [b.input_ids.tolist() for b in _batches(PACKED, groups, 5)] == [
        [[5, 6, 7, 8, 10]],
        [[5, 6, 7, 12]],
    ]


def test_padded_is_longest_first_and_otherwise_in_order() -> None:
    groups = [group((5, 6), [(7,), (8, 9, 10)], [0.0, 1.0]), group((3,), [(4, 11, 12, END), (13,)], [0.0, 1.0])]
    first, second = _batches(PADDED, groups, 9)
    assert first.input_ids.tolist() == [[5, 6, 8, 9], [3, 4, 11, 12]]
    assert second.input_ids.tolist() == [[5, 6], [3, 0]]
    assert (second.targets.tolist(), second.predictors.tolist()) == ([7, 13], [1, 2])


@FORMS
def test_a_row_beyond_the_limit_gets_a_pass_of_its_own(form: Form) -> None:
    groups = [group((5,), [(7,) * 9, (7,) * 2], [0.0, 1.0])]
    assert [batch.input_ids.shape for batch in _batches(form, groups, 4)] == [(1, 9), (1, 2)]


@FORMS
def test_empty_completions_are_not_read(form: Form) -> None:
    (batch,) = _batches(form, [group((5,), [(), (7,)], [0.0, 1.0])], 4)
    assert batch.input_ids.tolist() == [[5]]


@FORMS
def test_an_empty_prompt_is_refused(form: Form) -> None:
    with pytest.raises(EngineError, match="prompt has 0 tokens"):
        _batches(form, [group((), [(7,), (8,)], [0.0, 1.0])], 4)


@pytest.mark.parametrize("parts_of", [packed_parts, padded_parts])
@given(seed=st.integers(0, 1000), limit=st.integers(1, 200), count=st.integers(1, 5))
def test_even_parts_are_as_few_as_possible_and_nearly_equal(parts_of, seed: int, limit: int, count: int) -> None:
    groups = [(g, [1.0] * 4) for g in random_groups(6, seed=seed)]
    rows = weighted_rows(groups, normalization="token", max_new_tokens=9)
    fewest = parts_of(rows, limit)
    parts = even_parts(lambda limit: parts_of(rows, limit), tokens_per_microbatch=limit, count=count)
    assert len(parts) % count == 0 and 0 <= len(parts) - len(fewest) < count
    assert sorted(row.completion_ids for part in parts for row in part) == sorted(row.completion_ids for row in rows)
    # No lower limit would do, of all that there are.
    lowest = next(divided for size in range(1, limit + 1) if len(divided := parts_of(rows, size)) <= len(parts))
    assert [part for part in parts if part] == lowest


def test_even_parts_of_equal_rows_are_equal() -> None:
    groups = [(group((5, 6), [(7, 8)] * 8, [0.0, 1.0] * 4), [1.0] * 8)]
    rows = weighted_rows(groups, normalization="token", max_new_tokens=9)
    found = even_parts(lambda limit: packed_parts(rows, limit), tokens_per_microbatch=9, count=2)
    assert [len(part) for part in found] == [4, 4]  # 2 + 7 and 2 + 1 tokens where passes are filled one by one
    (alone,) = weighted_rows([(group((5,), [(7,)], [0.0]), [1.0])], normalization="token", max_new_tokens=9)
    assert even_parts(lambda limit: packed_parts([alone], limit), tokens_per_microbatch=9, count=3) == [[alone], [], []]
