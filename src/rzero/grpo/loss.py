"""The GRPO loss, token by token: pure functions of tensors [N], one entry per completion token, none for padding.

The loss of an update is ``sum(weight * loss)`` over all of its tokens, with weights that are known before the first
forward pass, so how the tokens are split into micro-batches cannot change it.

Where this differs from the official code (EasyR1/verl):

- No dual clip. There a token with a negative advantage has its loss capped at 3 x |advantage|, and no gradient beyond;
  here the plain PPO minimum stands.
- The k3 KL estimate is not clamped (there: to [-10, 10]). A clamp has no gradient exactly where the policy has strayed
  farthest; an overflow is not hidden but ends the run (see ``learner.py``).
- The denominator is that of the whole update, not of a micro-batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Normalization = Literal["token", "sequence", "dr_grpo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLoss:
    """``loss`` [N] carries the gradient; the others [N] are detached, for the metrics.

    ``ratio`` is policy over old policy; ``kl`` the k3 estimate (zeros without a reference); ``clipped_low`` and
    ``clipped_high`` tell where the clip took the gradient away.
    """

    loss: Tensor
    ratio: Tensor
    kl: Tensor
    clipped_low: Tensor
    clipped_high: Tensor


def token_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    ref_logprobs: Tensor | None,
    advantages: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    kl_weight: float,
) -> TokenLoss:
    """-min(ratio A, clip(ratio, 1 - clip_low, 1 + clip_high) A) + kl_weight KL for each token.

    All tensors are [N]; only ``logprobs`` carries a gradient. ``ref_logprobs`` is None where there is no KL term.
    """
    ratio = torch.exp(logprobs - old_logprobs)
    loss = -torch.minimum(ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages)
    kl = torch.zeros_like(loss) if ref_logprobs is None else kl_estimate(logprobs, ref_logprobs)
    if ref_logprobs is not None:
        loss = loss + kl_weight * kl
    ratio = ratio.detach()
    return TokenLoss(
        loss=loss,
        ratio=ratio,
        kl=kl.detach(),
        clipped_low=(ratio < 1 - clip_low) & (advantages < 0),
        clipped_high=(ratio > 1 + clip_high) & (advantages > 0),
    )


def kl_estimate(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """The k3 estimate of KL(policy, reference) for each token [N]: exp(d) - d - 1 with d = ref_logprobs - logprobs.

    Never negative; zero where the two agree. ``expm1`` keeps it exact for small d, where exp(d) - 1 would cancel.
    """
    difference = ref_logprobs - logprobs
    return torch.expm1(difference) - difference


def token_weights(lengths: Sequence[int], *, normalization: Normalization, max_new_tokens: int) -> list[float]:
    """The weight of every token of each rollout, for the completion ``lengths`` of *all* rollouts of one update.

    token: 1 / all tokens. sequence: 1 / (rollouts x the rollout's tokens). dr_grpo: 1 / (rollouts x max_new_tokens).
    An empty completion gets weight 0; it has no token to carry it, but counts as a rollout.

    >>> token_weights([1, 3], normalization="token", max_new_tokens=8)
    [0.25, 0.25]
    >>> token_weights([1, 4], normalization="sequence", max_new_tokens=8)
    [0.5, 0.125]
    >>> token_weights([1, 4], normalization="dr_grpo", max_new_tokens=8)
    [0.0625, 0.0625]
    """
    denominators = {
        "token": [sum(lengths)] * len(lengths),
        "sequence": [len(lengths) * length for length in lengths],
        "dr_grpo": [len(lengths) * max_new_tokens] * len(lengths),
    }[normalization]
    return [1 / d if length else 0.0 for d, length in zip(denominators, lengths, strict=True)]
