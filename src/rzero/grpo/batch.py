"""Rollouts to micro-batches: right-padded rows, longest first, never more than a given number of tokens in one pass.

Which positions count is told by lengths alone, never by token values. Padding stands to the right of every real token,
so a causal model needs no attention mask: no real position can see it, and no padded position is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rzero.errors import EngineError
from rzero.grpo.loss import Normalization, token_weights
from rzero.types import Group


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One rollout with its ``advantage``, and the ``weight`` of each of its completion tokens in the update's loss."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    sampler_logprobs: tuple[float, ...]
    advantage: float
    weight: float

    @property
    def num_inputs(self) -> int:
        """Tokens that the model must read: all but the last, which predicts nothing that is asked for."""
        return len(self.prompt_ids) + len(self.completion_ids) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """The rows of one forward pass, B rows of width L with N completion tokens in all.

    ``input_ids`` [B, L]. The others are [N], row after row: the hidden state at (``rows``, ``positions``) predicts the
    completion token in ``targets``.
    """

    input_ids: Tensor
    rows: Tensor
    positions: Tensor
    targets: Tensor
    sampler_logprobs: Tensor
    advantages: Tensor
    weights: Tensor


def weighted_rows(
    groups: Sequence[tuple[Group, Sequence[float]]], *, normalization: Normalization, max_new_tokens: int
) -> list[Row]:
    """The rows of one update, from its groups with their advantages; the weights are those of the whole update.

    Raises EngineError for a prompt without tokens: nothing could predict its completion's first token.
    """
    if not all(group.prompt_ids for group, _ in groups):
        raise EngineError("a group's prompt has 0 tokens, so nothing predicts its first completion token; give it one")
    rollouts = [
        (group.prompt_ids, rollout.completion, advantage)
        for group, advantages in groups
        for rollout, advantage in zip(group.rollouts, advantages, strict=True)
    ]
    lengths = [len(completion.token_ids) for _, completion, _ in rollouts]
    weights = token_weights(lengths, normalization=normalization, max_new_tokens=max_new_tokens)
    return [
        Row(
            prompt_ids=prompt_ids,
            completion_ids=completion.token_ids,
            sampler_logprobs=completion.logprobs,
            advantage=advantage,
            weight=weight,
        )
        for (prompt_ids, completion, advantage), weight in zip(rollouts, weights, strict=True)
    ]


def microbatches(
    rows: Sequence[Row], *, tokens_per_microbatch: int, dtype: torch.dtype, device: torch.device
) -> list[MicroBatch]:
    """All rows that have a completion token, longest first, each pass with rows x width <= tokens_per_microbatch.

    A single row that is longer than the limit gets a pass of its own. Rows of equal length keep their order. ``dtype``
    is that of the floating-point members.
    """
    # Longest first: if the memory does not suffice, the first pass fails and not the last.
    waiting = sorted((row for row in rows if row.completion_ids), key=lambda row: -row.num_inputs)
    batches = []
    while waiting:
        count = max(1, tokens_per_microbatch // waiting[0].num_inputs)
        batches.append(_pad(waiting[:count], dtype=dtype, device=device))
        waiting = waiting[count:]
    return batches


def _pad(rows: Sequence[Row], *, dtype: torch.dtype, device: torch.device) -> MicroBatch:
    width = max(row.num_inputs for row in rows)
    input_ids = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        input_ids[i, : row.num_inputs] = torch.tensor((row.prompt_ids + row.completion_ids)[:-1])
    lengths = torch.tensor([len(row.completion_ids) for row in rows])

    def per_token(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=dtype).repeat_interleave(lengths).to(device)

    return MicroBatch(
        input_ids=input_ids.to(device),
        rows=torch.arange(len(rows)).repeat_interleave(lengths).to(device),
        positions=torch.cat([torch.arange(len(row.prompt_ids) - 1, row.num_inputs) for row in rows]).to(device),
        targets=torch.tensor([token for row in rows for token in row.completion_ids], device=device),
        sampler_logprobs=torch.tensor([x for row in rows for x in row.sampler_logprobs], dtype=dtype, device=device),
        advantages=per_token([row.advantage for row in rows]),
        weights=per_token([row.weight for row in rows]),
    )
