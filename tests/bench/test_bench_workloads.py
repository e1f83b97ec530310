"""What the benchmarks work on, and how much work that is."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

from harness.problems import conversations, questions, synthetic_groups, word_problems
from harness.random_model import layers_that_fit
from harness.work import num_tokens, sampling_work, update_work
from rzero.costs.shape import Shape
from rzero.rewards.repetition import bleu_distances, cluster

TINY: dict[str, Any] = {
    "model_type": "qwen3",
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "tie_word_embeddings": True,
}


def test_problems_are_distinct_and_the_same_for_the_same_seed() -> None:
    problems = word_problems(300, seed=1)
    assert len(set(problems)) == 300
    assert problems == word_problems(300, seed=1) != word_problems(300, seed=2)
    assert all(any(char.isdigit() for char in problem) and "{" not in problem for problem in problems)
    chat = conversations(1, seed=1)[0]
    assert [turn["role"] for turn in chat] == ["system", "user"] and chat[1]["content"] == problems[0]


def test_questions_hold_repeats_and_near_copies() -> None:
    found = questions(120, seed=3)
    assert len(found) == 120 and len(set(found)) == 90
    clusters = cluster(bleu_distances(found), threshold=0.5)
    assert 10 < len(set(clusters)) < 90, "clusters of more than the exact repeats, and more than one"


def test_synthetic_groups_have_the_sizes_and_the_variance() -> None:
    groups = synthetic_groups(3, group_size=4, prompt_tokens=5, completion_tokens=7, vocab_size=50)
    assert [len(group["completions"]) for group in groups] == [4, 4, 4]
    assert all(0 <= token < 50 for group in groups for ids in group["completions"] for token in ids)
    assert all(set(group["rewards"]) == {0.0, 1.0} for group in groups)
    assert num_tokens(groups) == 3 * 4 * (5 + 7)


def test_work_is_what_torch_counts() -> None:
    """One row, one pass; eager attention looks at the whole square, of which a causal row needs little over half."""
    module = AutoModelForCausalLM.from_config(AutoConfig.for_model(**TINY), attn_implementation="eager")
    sizes = Shape.of(TINY)
    matrices = [p for n, p in module.named_parameters() if p.dim() == 2 and "embed" not in n]
    assert sizes.layer_weights == sum(p.numel() for p in matrices)
    length = 24
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(input_ids=torch.arange(length)[None], use_cache=False)
    assert sizes.forward(tokens=length, attended=length**2, predicted=length) == counter.get_total_flops()


def test_shared_prompts_are_read_once() -> None:
    sizes = Shape.of(TINY)
    groups = synthetic_groups(2, group_size=4, prompt_tokens=9, completion_tokens=6, vocab_size=96)
    shared, repeated = (update_work(sizes, groups, shared_prompts=flag) for flag in (True, False))
    assert repeated - shared == 3 * sizes.forward(tokens=2 * 3 * 9, attended=2 * 3 * 45, predicted=0)
    assert shared == 3 * sampling_work(sizes, [9, 9], [[6] * 4] * 2), "backward is two forward passes"


def test_work_doubles_with_the_prompts_and_more_than_doubles_with_the_length() -> None:
    sizes = Shape.of(TINY)
    once = sampling_work(sizes, [8], [[16, 16]])
    assert sampling_work(sizes, [8, 8], [[16, 16]] * 2) == 2 * once
    assert sampling_work(sizes, [0], [[32]]) > 2 * sampling_work(sizes, [0], [[16]])


def test_layers_are_halved_until_training_fits() -> None:
    assert [layers_that_fit("Qwen3-4B", gigabytes * 1e9) for gigabytes in (141, 80, 24)] == [36, 18, 4]
