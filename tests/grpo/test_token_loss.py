from __future__ import annotations

import numpy as np
import pytest
import torch

from rzero.grpo.loss import Normalization, kl_estimate, token_loss, token_weights


def _loss(logprobs: torch.Tensor, old: torch.Tensor, advantages: torch.Tensor, ref: torch.Tensor | None = None):
    return token_loss(logprobs, old, ref, advantages, clip_low=0.2, clip_high=0.3, kl_weight=0.5)


def test_gradient_stops_only_where_the_clip_is_on_the_worse_side() -> None:
    # ratios below, inside and above the clip interval [0.8, 1.3], for both signs of the advantage
    logprobs = torch.tensor([0.5, 1.0, 2.0] * 2, dtype=torch.float64).log().requires_grad_()
    advantages = torch.tensor([1.0, 1, 1, -1, -1, -1], dtype=torch.float64)
    tokens = _loss(logprobs, torch.zeros(6, dtype=torch.float64), advantages)
    tokens.loss.sum().backward()
    assert tokens.loss.tolist() == pytest.approx([-0.5, -1.0, -1.3, 0.8, 1.0, 2.0])
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([-0.5, -1.0, 0.0, 0.0, 1.0, 2.0])  # no dual clip: the last one stays
    assert tokens.clipped_low.tolist() == [False, False, False, True, False, False]
    assert tokens.clipped_high.tolist() == [False, False, True, False, False, False]


def test_kl_is_added_with_its_weight_and_is_exact_for_small_differences() -> None:
    logprobs = torch.tensor([-1.0, -2.0, -3.0])
    ref = logprobs + torch.tensor([0.0, 1e-4, 12.0])
    tokens = _loss(logprobs, logprobs, torch.zeros(3), ref)
    expected = [0.0, 0.5e-8, np.expm1(12.0) - 12.0]  # the last one far beyond the official clamp of 10
    assert tokens.kl.tolist() == pytest.approx(expected, rel=2e-3)
    assert tokens.loss.tolist() == pytest.approx([0.5 * kl for kl in expected], rel=2e-3)
    assert (kl_estimate(torch.randn(1000), torch.randn(1000)) >= 0).all()


@pytest.mark.parametrize("normalization", ["token", "sequence", "dr_grpo"])
def test_normalisations_against_numpy(normalization: Normalization) -> None:
    lengths, losses = [3, 1, 5], [np.arange(n) + 1.5 for n in (3, 1, 5)]
    expected = {
        "token": np.concatenate(losses).mean(),
        "sequence": np.mean([tokens.mean() for tokens in losses]),
        "dr_grpo": np.concatenate(losses).sum() / (3 * 7),
    }[normalization]
    weights = token_weights(lengths, normalization=normalization, max_new_tokens=7)
    assert sum(w * tokens.sum() for w, tokens in zip(weights, losses, strict=True)) == pytest.approx(expected)


def test_an_empty_completion_counts_as_a_rollout_without_tokens() -> None:
    assert token_weights([0, 2], normalization="sequence", max_new_tokens=4) == [0.0, 0.25]
    assert token_weights([0, 0], normalization="token", max_new_tokens=4) == [0.0, 0.0]
