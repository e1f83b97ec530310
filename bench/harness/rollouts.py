"""Plain rollouts, as they cross between processes, as the library's own groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rzero.types import Completion, FinishReason, Group, Rollout


def groups_from(entries: Sequence[Mapping[str, Any]]) -> list[Group]:
    """Groups of entries with ``prompt_ids``, and ``completions`` with their ``rewards``.

    The sampler's log-probabilities are only reported on, so zeros stand in for them.
    """
    return [
        Group(
            prompt_ids=tuple(entry["prompt_ids"]),
            rollouts=tuple(
                Rollout(completion=_completion(ids), reward=reward, policy_version=0)
                for ids, reward in zip(entry["completions"], entry["rewards"], strict=True)
            ),
        )
        for entry in entries
    ]


def _completion(ids: Sequence[int]) -> Completion:
    return Completion(token_ids=tuple(ids), logprobs=(0.0,) * len(ids), finish_reason=FinishReason.STOP, text="")
