"""The numbers of one learner step, summed over its micro-batches and updates."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from rzero.grpo.loss import TokenLoss


class StepMetrics:
    """Collects sums while a step runs. Means are over the completion tokens of all updates."""

    def __init__(self) -> None:
        self.num_updates = 0
        self._num_tokens = 0
        self._sums: Counter[str] = Counter()
        self._gap_max = 0.0

    def add_tokens(self, tokens: TokenLoss, *, old_logprobs: Tensor, sampler_logprobs: Tensor) -> None:
        """One micro-batch; all tensors [N]."""
        gap = (sampler_logprobs - old_logprobs).abs()
        values = {
            "kl": tokens.kl,
            "ratio_mean": tokens.ratio,
            "clip_low_frac": tokens.clipped_low,
            "clip_high_frac": tokens.clipped_high,
            "sampler_logprob_gap": gap,
        }
        sums = torch.stack([value.sum(dtype=torch.float32) for value in values.values()]).tolist()
        self._sums.update(dict(zip(values, sums, strict=True)))
        self._num_tokens += len(gap)
        self._gap_max = max(self._gap_max, gap.max().item())

    def add_update(self, *, loss: float, grad_norm: float) -> None:
        """One optimiser step; ``grad_norm`` before clipping."""
        self.num_updates += 1
        self._sums.update({"loss": loss, "grad_norm": grad_norm})

    def means(self) -> dict[str, float]:
        """The means by name; empty where there was no update. ``loss`` and ``grad_norm`` are means over updates."""
        if not self.num_updates:
            return {}
        per_update = ("loss", "grad_norm")
        means = {n: x / (self.num_updates if n in per_update else self._num_tokens) for n, x in self._sums.items()}
        return {**means, "sampler_logprob_gap_max": self._gap_max}
