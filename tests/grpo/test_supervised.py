"""Supervised fine-tuning is the plain negative log-likelihood, by the learner's own machinery."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_policy import plain_logprobs, random_groups, tiny_policy

from rzero.config import GrpoConfig
from rzero.errors import DataError
from rzero.grpo.supervised import SupervisedLearner, as_group
from rzero.models.open import open_model
from rzero.types import Completion, FinishReason, Group, Message, Prompt, Rollout

OPTIONS = GrpoConfig(weight_decay=0.0, max_grad_norm=1e6, tokens_per_microbatch=24)


def texts(count: int) -> list[Group]:
    """Given completions: one a prompt, with the log-probability 0 of a text that no model sampled."""
    found = []
    for item in random_groups(count, size=2):
        ids = item.rollouts[0].completion.token_ids
        text = Completion(token_ids=ids, logprobs=(0.0,) * len(ids), finish_reason=FinishReason.STOP, text="")
        found.append(
            Group(prompt_ids=item.prompt_ids, rollouts=(Rollout(completion=text, reward=1.0, policy_version=0),))
        )
    return found


def test_an_update_is_that_of_the_mean_negative_log_likelihood() -> None:
    batch = texts(6)
    model, reference = tiny_policy().module, tiny_policy()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    loss = -torch.cat([plain_logprobs(model, group, temperature=1.0)[0] for group in batch]).mean()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1e6)
    optimizer.step()

    learner = SupervisedLearner(reference, options=OPTIONS, learning_rate=1e-3)
    metrics = learner.fit(batch)
    assert metrics["nll"] == pytest.approx(loss.item(), rel=1e-5)
    assert metrics["grad_norm"] == pytest.approx(norm.item(), rel=1e-4)
    assert metrics["num_tokens"] == sum(len(group.rollouts[0].completion.token_ids) for group in batch)
    before = dict(tiny_policy().module.named_parameters())
    ours, theirs = (
        torch.cat([(weight.detach() - before[name].detach()).flatten() for name, weight in weights])
        for weights in (learner.weights(), model.named_parameters())
    )
    # Adam's first step is the gradient's sign, which rounding may turn where the gradient is all but zero.
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.999
    assert ours.norm() == pytest.approx(theirs.norm().item(), rel=1e-2)


def test_repeated_updates_learn_the_text_by_heart() -> None:
    batch = texts(3)
    learner = SupervisedLearner(tiny_policy(), options=OPTIONS, learning_rate=1e-2)
    losses = [learner.fit(batch)["nll"] for _ in range(60)]
    assert losses[0] > 3.5  # log of 64 tokens is 4.2
    assert losses[-1] < 0.3


def test_a_text_ends_with_an_end_token_and_must_fit(micro: Path) -> None:
    model = open_model(micro)
    prompt = Prompt(messages=(Message("user", "2+3"),))
    group = as_group(model, prompt, "2+3=5;\\boxed{5}")
    (rollout,) = group.rollouts
    assert group.prompt_ids == tuple(model.render(prompt))
    assert model.decode(rollout.completion.token_ids) == "2+3=5;\\boxed{5}"
    assert rollout.completion.token_ids[-1] in model.stop_ids
    assert not model.stop_ids & set(rollout.completion.token_ids[:-1])
    with pytest.raises(DataError, match=f"the model's context has {model.max_context}"):
        as_group(model, prompt, "1" * model.max_context)
