"""The numbers of one learner step, summed over its micro-batches and updates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rzero.grpo.loss import TokenLoss

_PER_TOKEN = ("kl", "ratio_mean", "clip_low_frac", "clip_high_frac", "sampler_logprob_gap")


class StepMetrics:
    """Collects sums while a step runs. Means are over the completion tokens of all updates."""

    def __init__(self) -> None:
        self.num_updates = 0
        self._num_tokens = 0.0
        self._per_token = [0.0] * len(_PER_TOKEN)
        self._per_update: Counter[str] = Counter()
        self._gap_max = 0.0

    def add_tokens(self, tokens: TokenLoss, *, old_logprobs: Tensor, sampler_logprobs: Tensor) -> None:
        """One micro-batch; all tensors [N]."""
        gap = (sampler_logprobs - old_logprobs).abs()
        values = (tokens.kl, tokens.ratio, tokens.clipped_low, tokens.clipped_high, gap)
        sums = torch.stack([value.sum(dtype=torch.float32) for value in values]).tolist()
        self._per_token = [total + more for total, more in zip(self._per_token, sums, strict=True)]
        self._num_tokens += len(gap)
        if len(gap):
            self._gap_max = max(self._gap_max, gap.max().item())

    def add_update(self, *, loss: float, grad_norm: float) -> None:
        """One optimiser step; ``grad_norm`` before clipping."""
        self.num_updates += 1
        self._per_update.update({"loss": loss, "grad_norm": grad_norm})

    def combine(
        self, total: Callable[[Sequence[float]], list[float]], largest: Callable[[Sequence[float]], list[float]]
    ) -> None:
        """Make what was told of tokens that of all processes; ``total`` and ``largest`` go over them, place by place.

        What was told of updates is that of all processes already.
        """
        self._num_tokens, *self._per_token = total([self._num_tokens, *self._per_token])
        (self._gap_max,) = largest([self._gap_max])

    def means(self) -> dict[str, float]:
        """The means by name; empty where there was no update. ``loss`` and ``grad_norm`` are means over updates."""
        if not self.num_updates:
            return {}
        per_token = {n: x / max(1, self._num_tokens) for n, x in zip(_PER_TOKEN, self._per_token, strict=True)}
        per_update = {name: x / self.num_updates for name, x in self._per_update.items()}
        return {**per_token, **per_update, "sampler_logprob_gap_max": self._gap_max}
