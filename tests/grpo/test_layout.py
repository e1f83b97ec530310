from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rzero.grpo.attention import PackedAttention
from rzero.grpo.layout import Family, Layout
from rzero.models.attention import reference_attention

CPU = torch.device("cpu")

shapes = st.lists(
    st.tuples(st.integers(1, 9), st.lists(st.integers(0, 7), min_size=1, max_size=5)), min_size=1, max_size=4
)


def _families(shapes: list[tuple[int, list[int]]]) -> tuple[list[Family], int]:
    families, start = [], 0
    for prompt, own in shapes:
        families.append(Family(start=start, prompt=prompt, own=tuple(sorted(own, reverse=True))))
        start += prompt + sum(own)
    return families, start


def _seen(families: list[Family], total: int, window: int | None) -> torch.Tensor:
    """[T, T] by the definition: token by token."""
    seen = torch.zeros(total, total, dtype=torch.bool)
    for family in families:
        prompt = list(range(family.start, family.start + family.prompt))
        behind = family.start + family.prompt
        for sequence in [
            prompt,
            *(
                [*prompt, *range(behind + sum(family.own[:i]), behind + sum(family.own[: i + 1]))]
                for i in range(len(family.own))
            ),
        ]:
            for place, token in enumerate(sequence):
                first = 0 if window is None else max(0, place - window + 1)
                seen[token, sequence[first : place + 1]] = True
    return seen


@given(shapes=shapes, most_scores=st.sampled_from([1, 10, 100, 10_000]), window=st.sampled_from([None, 1, 3, 100]))
def test_blocks_hold_every_query_once_with_all_of_its_keys(shapes, most_scores: int, window: int | None) -> None:
    families, total = _families(shapes)
    found = torch.zeros(total + 1, total + 1, dtype=torch.long)
    queries = []
    for block in Layout(families, num_tokens=total, device=CPU).blocks(most_scores):
        queries += block.queries.flatten().tolist()
        assert block.keys.shape[2] % 32 == 0
        bias = block.bias(window, torch.float32).expand(*block.queries.shape, block.keys.shape[2])
        for r, s, q, k in (bias == 0).nonzero().tolist():
            found[block.queries[r, s, q], block.keys[r, s, k]] += 1
    assert sorted(query for query in queries if query < total) == list(range(total))
    assert torch.equal(found[:total, :total], _seen(families, total, window).long())
    assert not found[:total, total].any()  # no token sees padding


def test_blocks_keep_to_their_size_and_do_not_grow_in_number_with_the_rows() -> None:
    families, total = _families([(64, [32] * 8)] * 64)
    layout = Layout(families, num_tokens=total, device=CPU)
    sizes = [b.queries.numel() * b.keys.shape[2] for b in layout.blocks(50_000)]
    assert max(sizes) <= 50_000
    assert len(sizes) < 2 * sum(sizes) / 50_000 + 2
    needed = 64 * (64 * 64 + 8 * 32 * 96)
    assert sum(sizes) == needed


@pytest.mark.parametrize("queries", [2, 512])
@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("softcap", [None, 0.7])
@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (3, 1)])
def test_value_and_gradient_of_packed_attention(
    queries, window, softcap, heads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rzero.grpo.layout._QUERIES", queries)
    monkeypatch.setattr("rzero.grpo.attention.scores_at_once", lambda device: 300)
    families, total = _families([(3, [4, 2, 2, 0]), (5, [1]), (1, [6, 6]), (4, [4, 2, 1])])
    torch.manual_seed(0)
    tensors = [
        torch.randn(1, h, total, 8, dtype=torch.float64, requires_grad=True) for h in (heads[0], heads[1], heads[1])
    ]
    options = {"scaling": 0.3, "sliding_window": window, "softcap": softcap}
    found = PackedAttention(Layout(families, num_tokens=total, device=CPU))(*tensors, **options)
    # The reference counts a window in columns, here it is in positions: so it is told of it in the mask.
    expected = reference_attention(*tensors, seen=_seen(families, total, window), **options | {"sliding_window": None})
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    grad = torch.randn_like(expected)
    for got, want in zip(
        torch.autograd.grad(found, tensors, grad), torch.autograd.grad(expected, tensors, grad), strict=True
    ):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
