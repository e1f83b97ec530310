"""A Llama of a few thousand weights, and random groups of rollouts for it."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from exact_norms import norms_in_float64
from rzero.grpo.advantage import advantages
from rzero.models.head import OutputHead
from rzero.models.language_model import LanguageModel
from rzero.models.rendering import Renderer
from rzero.types import Completion, FinishReason, Group, Rollout

VOCAB = 64
END = 1


def tiny_policy(*, seed: int = 0, dtype: torch.dtype = torch.float32, tied: bool = True) -> LanguageModel:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        initializer_range=0.05,
        attention_dropout=0.5,  # must have no effect
        bos_token_id=2,
        eos_token_id=END,
        pad_token_id=0,
    )
    module = LlamaForCausalLM(config).to(dtype).eval()
    if dtype == torch.float64:
        norms_in_float64(module)
    words = {f"w{i}": i for i in range(3, VOCAB)} | {"<pad>": 0, "<end>": END, "<start>": 2}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="<pad>")), eos_token="<end>", pad_token="<pad>"
    )
    return LanguageModel(
        module=module,
        tokenizer=tokenizer,
        path=Path(),
        stop_ids=frozenset({END}),
        max_context=128,
        head=OutputHead.of(module),
        renderer=Renderer(tokenizer),
    )


def group(prompt_ids: tuple[int, ...], completions: list[tuple[int, ...]], rewards: list[float]) -> Group:
    rollouts = tuple(
        Rollout(
            completion=Completion(
                token_ids=ids, logprobs=(-1.0,) * len(ids), finish_reason=FinishReason.STOP, text="unused"
            ),
            reward=reward,
            policy_version=0,
        )
        for ids, reward in zip(completions, rewards, strict=True)
    )
    return Group(prompt_ids=prompt_ids, rollouts=rollouts)


def random_groups(count: int, *, size: int = 4, longest: int = 12, seed: int = 0) -> list[Group]:
    """Groups with variance, of completions of 1 to ``longest`` tokens; pad and end tokens appear anywhere."""
    draw = random.Random(seed)

    def ids(least: int, most: int) -> tuple[int, ...]:
        return tuple(
            draw.randrange(VOCAB) if draw.random() < 0.7 else draw.choice((0, END))
            for _ in range(draw.randint(least, most))
        )

    return [
        group(ids(1, 8), [ids(1, longest) for _ in range(size)], [0.0, 1.0] + [draw.random() for _ in range(size - 2)])
        for _ in range(count)
    ]


def plain_logprobs(module: torch.nn.Module, group: Group, *, temperature: float) -> list[torch.Tensor]:
    """The textbook way: one rollout at a time through the model's own forward, with all its logits."""
    found = []
    for rollout in group.rollouts:
        prompt, completion = list(group.prompt_ids), list(rollout.completion.token_ids)
        logits = module(input_ids=torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1] / temperature
        found.append(logits.log_softmax(-1)[torch.arange(len(completion)), torch.tensor(completion)])
    return found


def plain_loss(
    logprobs: list[list[torch.Tensor]],
    old: list[list[torch.Tensor]],
    ref: list[list[torch.Tensor]] | None,
    groups: list[Group],
    *,
    normalization: str = "token",
    max_new_tokens: int = 16,
    clip_low: float = 0.2,
    clip_high: float = 0.3,
    kl_weight: float = 0.01,
) -> torch.Tensor:
    """GRPO as the papers write it: nested sums over groups, rollouts and tokens; [group][rollout] -> [tokens]."""
    per_rollout = []
    for g, item in enumerate(groups):
        scaled = advantages([r.reward for r in item.rollouts], divide_by_std=normalization != "dr_grpo")
        assert scaled is not None
        for r, advantage in enumerate(scaled):
            ratio = (logprobs[g][r] - old[g][r]).exp()
            if advantage >= 0:
                surrogate = advantage * torch.where(ratio > 1 + clip_high, torch.full_like(ratio, 1 + clip_high), ratio)
            else:
                surrogate = advantage * torch.where(ratio < 1 - clip_low, torch.full_like(ratio, 1 - clip_low), ratio)
            kl = 0.0
            if ref is not None:
                difference = ref[g][r] - logprobs[g][r]
                kl = difference.exp() - difference - 1
            per_rollout.append(kl_weight * kl - surrogate)
    if normalization == "token":
        return torch.cat(per_rollout).mean()
    if normalization == "sequence":
        return torch.stack([tokens.mean() for tokens in per_rollout]).mean()
    return torch.stack([tokens.sum() for tokens in per_rollout]).sum() / (len(per_rollout) * max_new_tokens)
