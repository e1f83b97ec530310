"""Rollouts to micro-batches of at most a given number of tokens: packed without padding, or padded on the right.

Packed is one row: each prompt once, then its completions, then the next prompt. Padded is for models whose attention
cannot be told who sees whom: one row a rollout, each with its own copy of the prompt. Padding stands to the right of
every real token, so a causal model needs no attention mask: no real position sees it, and no padded position is read.

Which positions count is told by lengths alone, never by token values.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from rzero.errors import EngineError
from rzero.grpo.layout import Family, Layout
from rzero.grpo.loss import Normalization, token_weights
from rzero.types import Group


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One rollout with its ``advantage``, and the ``weight`` of each of its completion tokens in the update's loss.

    Rows of the same ``group`` share their prompt.
    """

    group: int
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    sampler_logprobs: tuple[float, ...]
    advantage: float
    weight: float

    @property
    def num_own(self) -> int:
        """Completion tokens that the model must read: all but the last, which predicts nothing that is asked for."""
        return len(self.completion_ids) - 1

    @property
    def num_inputs(self) -> int:
        """Tokens that the model must read where the prompt is not shared."""
        return len(self.prompt_ids) + self.num_own


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """What one forward pass reads, and the N completion tokens that it predicts.

    ``input_ids`` and ``position_ids`` are [B, L]; packed, B is 1 and ``layout`` says who sees whom, padded it is None.
    The others are [N], row after row: the hidden state at ``predictors``, an index into the B x L positions, predicts
    the completion token in ``targets``.
    """

    input_ids: Tensor
    position_ids: Tensor
    layout: Layout | None
    predictors: Tensor
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
        (number, group.prompt_ids, rollout.completion, advantage)
        for number, (group, advantages) in enumerate(groups)
        for rollout, advantage in zip(group.rollouts, advantages, strict=True)
    ]
    lengths = [len(completion.token_ids) for _, _, completion, _ in rollouts]
    weights = token_weights(lengths, normalization=normalization, max_new_tokens=max_new_tokens)
    return [
        Row(
            group=number,
            prompt_ids=prompt_ids,
            completion_ids=completion.token_ids,
            sampler_logprobs=completion.logprobs,
            advantage=advantage,
            weight=weight,
        )
        for (number, prompt_ids, completion, advantage), weight in zip(rollouts, weights, strict=True)
    ]


def packed_parts(rows: Sequence[Row], tokens_per_microbatch: int) -> list[list[Row]]:
    """All rows that have a completion token, group after group, for packed passes of at most so many tokens.

    A group's prompt counts once in each pass that has rows of it. A single row that is longer than the limit gets a
    pass of its own. Within a group the longest rows come first.
    """
    waiting = sorted((row for row in rows if row.completion_ids), key=lambda row: (row.group, -row.num_own))
    parts: list[list[Row]] = []
    num_tokens = 0
    for row in waiting:
        shared = bool(parts) and parts[-1][-1].group == row.group
        more = row.num_own if shared else row.num_inputs
        if not parts or num_tokens + more > tokens_per_microbatch:
            parts.append([])
            num_tokens, more = 0, row.num_inputs
        parts[-1].append(row)
        num_tokens += more
    return parts


def padded_parts(rows: Sequence[Row], tokens_per_microbatch: int) -> list[list[Row]]:
    """All rows that have a completion token, longest first, for passes with rows x width <= tokens_per_microbatch.

    A single row that is longer than the limit gets a pass of its own. Rows of equal length keep their order.
    """
    # Longest first, so that rows of a pass differ little in length.
    waiting = sorted((row for row in rows if row.completion_ids), key=lambda row: -row.num_inputs)
    parts = []
    while waiting:
        count = max(1, tokens_per_microbatch // waiting[0].num_inputs)
        parts.append(waiting[:count])
        waiting = waiting[count:]
    return parts


def even_parts(divide: Callable[[int], list[list[Row]]], *, tokens_per_microbatch: int, count: int) -> list[list[Row]]:
    """Parts of nearly equal size whose number is a multiple of ``count``, the least that the limit allows.

    ``divide(limit)`` are the rows in parts of at most ``limit`` tokens. Where they cannot be cut into so many, the last
    parts are empty.
    """
    num_parts = -(-len(divide(tokens_per_microbatch)) // count) * count
    # The lowest limit that needs no more parts: none is then much smaller than the others.
    limit = bisect_left(range(tokens_per_microbatch), True, lo=1, key=lambda limit: len(divide(limit)) <= num_parts)
    parts = divide(limit)
    return parts + [[] for _ in range(num_parts - len(parts))]


def packed_microbatch(rows: Sequence[Row], *, dtype: torch.dtype, device: torch.device) -> MicroBatch:
    """One pass over one row of tokens; ``dtype`` is that of the floating-point members.

    ``rows`` of a group must be neighbours.
    """
    tokens: list[int] = []
    positions: list[int] = []
    predictors: list[int] = []
    families: list[Family] = []
    for _, members in groupby(rows, key=lambda row: row.group):
        family = list(members)
        prompt = family[0].prompt_ids
        families.append(Family(start=len(tokens), prompt=len(prompt), own=tuple(row.num_own for row in family)))
        tokens += prompt
        positions += range(len(prompt))
        last = len(tokens) - 1
        for row in family:
            predictors += [last, *range(len(tokens), len(tokens) + row.num_own)]
            tokens += row.completion_ids[:-1]
            positions += range(len(prompt), row.num_inputs)
    return MicroBatch(
        input_ids=torch.tensor([tokens], device=device),
        position_ids=torch.tensor([positions], device=device),
        layout=Layout(families, num_tokens=len(tokens), device=device),
        predictors=torch.tensor(predictors, device=device),
        **_per_token(rows, dtype=dtype, device=device),
    )


def padded_microbatch(rows: Sequence[Row], *, dtype: torch.dtype, device: torch.device) -> MicroBatch:
    """One pass with a row of tokens for each of ``rows``; ``dtype`` is that of the floating-point members."""
    width = max(row.num_inputs for row in rows)
    input_ids = torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        input_ids[i, : row.num_inputs] = torch.tensor((row.prompt_ids + row.completion_ids)[:-1])
    predictors = [
        torch.arange(i * width + len(row.prompt_ids) - 1, i * width + row.num_inputs) for i, row in enumerate(rows)
    ]
    return MicroBatch(
        input_ids=input_ids.to(device),
        position_ids=torch.arange(width, device=device).expand(len(rows), -1),
        layout=None,
        predictors=torch.cat(predictors).to(device),
        **_per_token(rows, dtype=dtype, device=device),
    )


def empty_microbatch(*, packed: bool, dtype: torch.dtype, device: torch.device) -> MicroBatch:
    """A pass that reads one token and predicts none: its gradient is zero."""
    alone = Family(start=0, prompt=1, own=())
    return MicroBatch(
        input_ids=torch.zeros(1, 1, dtype=torch.long, device=device),
        position_ids=torch.zeros(1, 1, dtype=torch.long, device=device),
        layout=Layout([alone], num_tokens=1, device=device) if packed else None,
        predictors=torch.empty(0, dtype=torch.long, device=device),
        targets=torch.empty(0, dtype=torch.long, device=device),
        sampler_logprobs=torch.empty(0, dtype=dtype, device=device),
        advantages=torch.empty(0, dtype=dtype, device=device),
        weights=torch.empty(0, dtype=dtype, device=device),
    )


def _per_token(rows: Sequence[Row], *, dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    lengths = torch.tensor([len(row.completion_ids) for row in rows])

    def spread(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=dtype).repeat_interleave(lengths).to(device)

    return {
        "targets": torch.tensor([token for row in rows for token in row.completion_ids], device=device),
        "sampler_logprobs": torch.tensor([x for row in rows for x in row.sampler_logprobs], dtype=dtype, device=device),
        "advantages": spread([row.advantage for row in rows]),
        "weights": spread([row.weight for row in rows]),
    }
