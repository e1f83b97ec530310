"""How many floating-point operations a decoder's work takes at the least: what a measured time is held against.

Only matrix products are counted, 2 operations a multiply-add; a backward pass is two forward passes. Nothing that an
implementation repeats, pads or throws away is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of a Llama-like decoder: grouped heads, a gated feed-forward part."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape:
        """From the values of a checkpoint's config.json."""
        hidden, heads = config["hidden_size"], config["num_attention_heads"]
        return cls(
            layers=config["num_hidden_layers"],
            hidden=hidden,
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or hidden // heads,
            intermediate=config["intermediate_size"],
            vocab=config["vocab_size"],
        )

    @property
    def layer_weights(self) -> int:
        """Entries of all layers' matrices, without embedding and head."""
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    def forward(self, *, tokens: int, attended: int, predicted: int) -> int:
        """Operations of ``tokens`` through the layers, which look at ``attended`` positions in all, and of
        ``predicted`` positions through the head.
        """
        attention = 4 * self.layers * self.heads * self.head_dim * attended
        return 2 * self.layer_weights * tokens + attention + 2 * self.hidden * self.vocab * predicted


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
        attended += copies * _triangle(prompt) + sum(_triangle(prompt + n) - _triangle(prompt) for n in lengths)
        predicted += sum(lengths)
    return 3 * shape.forward(tokens=tokens, attended=attended, predicted=predicted)


def sampling_work(shape: Shape, prompt_lengths: Sequence[int], lengths: Sequence[Sequence[int]]) -> int:
    """Operations of sampling completions of ``lengths`` [P][n] after prompts of ``prompt_lengths`` [P], each prompt
    read once.
    """
    tokens = attended = predicted = 0
    for prompt, row in zip(prompt_lengths, lengths, strict=True):
        tokens += prompt + sum(row)
        attended += _triangle(prompt) + sum(_triangle(prompt + n) - _triangle(prompt) for n in row)
        predicted += sum(row)
    return shape.forward(tokens=tokens, attended=attended, predicted=predicted)


def num_tokens(groups: Iterable[Mapping[str, Any]]) -> int:
    """Tokens of all rollouts with their prompts, each prompt as often as it has rollouts."""
    return sum(len(g["prompt_ids"]) * len(g["completions"]) + sum(map(len, g["completions"])) for g in groups)


def _triangle(length: int) -> int:
    """Positions that a causal row of ``length`` tokens looks at, its own among them."""
    return length * (length + 1) // 2
