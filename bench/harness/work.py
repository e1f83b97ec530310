"""How many floating-point operations a decoder's work takes at the least: what a measured time is held against.

Only matrix products are counted, 2 operations a multiply-add; a backward pass is two forward passes. Nothing that an
implementation repeats, pads or throws away is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rzero.costs.shape import Shape, causal


def update_work(shape: Shape, groups: Iterable[Mapping[str, Any]], *, shared_prompts: bool) -> int:
    """Operations of one GRPO update on ``groups`` (``prompt_ids``, ``completions``): forward and backward.

    With ``shared_prompts`` each group's prompt goes through the layers once, which is the least that is needed;
    without, once for every rollout, as engines do that know no groups.
    """
    tokens = attended = predicted = 0
    for group in groups:
        prompt = len(group["prompt_ids"])
        lengths = [len(completion) for completion in group["completions"]]
        copies = 1 if shared_prompts else len(lengths)
        tokens += copies * prompt + sum(lengths)
        attended += copies * causal(prompt) + sum(causal(prompt + n) - causal(prompt) for n in lengths)
        predicted += sum(lengths)
    return 3 * shape.forward(tokens=tokens, attended=attended, predicted=predicted)


def sampling_work(shape: Shape, prompt_lengths: Sequence[int], lengths: Sequence[Sequence[int]]) -> int:
    """Operations of sampling completions of ``lengths`` [P][n] after prompts of ``prompt_lengths`` [P], each prompt
    read once.
    """
    tokens = attended = predicted = 0
    for prompt, row in zip(prompt_lengths, lengths, strict=True):
        tokens += prompt + sum(row)
        attended += causal(prompt) + sum(causal(prompt + n) - causal(prompt) for n in row)
        predicted += sum(row)
    return shape.forward(tokens=tokens, attended=attended, predicted=predicted)


def num_tokens(groups: Iterable[Mapping[str, Any]]) -> int:
    """Tokens of all rollouts with their prompts, each prompt as often as it has rollouts."""
    return sum(len(g["prompt_ids"]) * len(g["completions"]) + sum(map(len, g["completions"])) for g in groups)
