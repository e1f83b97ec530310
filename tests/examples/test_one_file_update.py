"""The one-file example makes the library's update, and runs from end to end."""

from __future__ import annotations

import copy
import random
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
from one_file import one
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from exact_norms import norms_in_float64
from rzero.config import GrpoConfig
from rzero.domains import arithmetic as prompts_of_arithmetic
from rzero.grpo.learner import GrpoLearner
from rzero.models.language_model import LanguageModel
from rzero.models.open import open_model
from rzero.types import Completion, FinishReason, Group, Rollout

MICRO = Path(str(resources.files("rzero") / "models" / "micro"))
VOCABULARY, END = 48, 1
TEMPERATURE = 0.8


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of a few thousand random weights, whose tokens are words."""
    directory = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        initializer_range=0.1,
        tie_word_embeddings=True,
        bos_token_id=2,
        eos_token_id=END,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(directory)
    words = {"<pad>": 0, "<end>": END, "<start>": 2} | {f"w{number}": number for number in range(3, VOCABULARY)}
    core = Tokenizer(WordLevel(words, unk_token="<pad>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>", pad_token="<pad>")
    tokenizer.chat_template = "<start>{% for message in messages %}{{ message.content }}{% endfor %}"
    tokenizer.save_pretrained(directory)
    return directory


def policy_and_reference(checkpoint: Path) -> tuple[LanguageModel, LanguageModel]:
    """The checkpoint in fp64, and the same a little astray, so that their KL is not zero."""
    policy, reference = (open_model(checkpoint, dtype="float32", device="cpu") for _ in range(2))
    for model in (policy, reference):
        norms_in_float64(model.module.double())
    torch.manual_seed(1)
    for parameter in reference.module.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    return policy, reference


def random_groups(seed: int) -> list[Group]:
    """Eight groups of four rollouts; the third and the last have no variance."""
    draw = random.Random(seed)

    def ids(most: int) -> tuple[int, ...]:
        return tuple(draw.randrange(VOCABULARY) for _ in range(draw.randint(1, most)))

    def rollout(reward: float) -> Rollout:
        tokens = ids(12)
        completion = Completion(
            token_ids=tokens, logprobs=(-1.0,) * len(tokens), finish_reason=FinishReason.STOP, text=""
        )
        return Rollout(completion=completion, reward=reward, policy_version=0)

    rewards = [[0.0, 1.0, draw.random(), draw.choice((0.0, 1.0))] for _ in range(8)]
    rewards[2], rewards[7] = [0.5] * 4, [0.0] * 4
    return [Group(prompt_ids=ids(8), rollouts=tuple(map(rollout, values))) for values in rewards]


def own_groups(groups: list[Group]) -> list[Any]:
    return [
        one.Group(
            group.prompt_ids,
            [one.Completion(rollout.completion.token_ids, "", False) for rollout in group.rollouts],
            [rollout.reward for rollout in group.rollouts],
        )
        for group in groups
    ]


@pytest.mark.parametrize("max_grad_norm", [1e-3, 1e9])
@pytest.mark.parametrize("updates_per_step", [1, 3])
def test_a_step_makes_the_librarys_update(checkpoint: Path, updates_per_step: int, max_grad_norm: float) -> None:
    """At this learning rate the later updates of a step meet ratios that are clipped, on both sides."""
    learning_rate = 0.01
    policy, reference = policy_and_reference(checkpoint)
    before, own = (copy.deepcopy(policy.module) for _ in range(2))
    learner = GrpoLearner(
        policy,
        reference=reference,
        options=GrpoConfig(max_grad_norm=max_grad_norm, tokens_per_microbatch=64),
        learning_rate=learning_rate,
        updates_per_step=updates_per_step,
        temperature=TEMPERATURE,
        max_new_tokens=16,
    )
    s = one.Settings(updates_per_step=updates_per_step, max_grad_norm=max_grad_norm, temperature=TEMPERATURE)
    optimizer = torch.optim.AdamW(own.parameters(), lr=learning_rate, weight_decay=0.01)
    for seed in range(2):
        groups = random_groups(seed)
        metrics = learner.step(groups)
        numbers = one.grpo_step(own, reference.module, optimizer, own_groups(groups), s)
        assert numbers["loss"] == pytest.approx(metrics["loss"], rel=1e-9)
        assert numbers["reward"] == pytest.approx(metrics["mean_reward"], rel=1e-12)
        assert numbers["no_variance"] == metrics["num_zero_variance_groups"] == 2
        if updates_per_step > 1:
            assert min(metrics["clip_low_frac"], metrics["clip_high_frac"]) > 0
    moved = 0.0
    for (name, ours), theirs, start in zip(
        own.named_parameters(), policy.module.parameters(), before.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-9, msg=name)
        moved = max(moved, (ours - start).abs().max().item())
    assert moved > learning_rate


def test_without_variance_nothing_is_learnt(checkpoint: Path) -> None:
    policy, reference = policy_and_reference(checkpoint)
    own = copy.deepcopy(policy.module)
    optimizer = torch.optim.AdamW(own.parameters(), lr=0.1)
    groups = [random_groups(0)[number] for number in (2, 7)]
    assert one.grpo_step(own, reference.module, optimizer, own_groups(groups), one.Settings())["no_variance"] == 2
    for ours, start in zip(own.parameters(), policy.module.parameters(), strict=True):
        assert torch.equal(ours, start)


def test_a_model_that_cannot_write_questions_is_told_of(checkpoint: Path) -> None:
    sizes = "--challenger-steps 1 --prompts-per-step 1 --group-size 2 --num-questions 6 --max-new-tokens 5"
    with pytest.raises(SystemExit, match=r"nothing to learn from.*'malformed': 6"):
        one.main(["--model", str(checkpoint), *sizes.split()])


def test_an_iteration_of_the_micro_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold = tmp_path / "gold.jsonl"
    gold.write_text('{"question": "3+4", "answer": "7"}\n{"question": "12+7", "answer": "19"}\n', encoding="utf-8")
    prompts = one.Prompts(
        challenger_system=prompts_of_arithmetic.CHALLENGER_SYSTEM,
        challenger_user=prompts_of_arithmetic.CHALLENGER_USER,
        solver_system=prompts_of_arithmetic.SOLVER_SYSTEM,
    )
    sizes = "--challenger-steps 1 --solver-steps 1 --prompts-per-step 2 --num-questions 12 --num-votes 8"
    (row,) = one.main(["--model", str(MICRO), "--data", str(gold), *sizes.split()], prompts)
    reasons = ("malformed", "repeated", "invalid", "too_hard", "too_easy", "kept")
    assert sum(row[name] for name in reasons) == 12
    assert row["kept"] >= 1
    assert 0 < row["challenger_reward"] <= 1
    assert row["challenger_loss"] != 0
    assert row["accuracy"] in (0.0, 0.5, 1.0)
    assert "kept" in capsys.readouterr().out
