"""Whether the embedded engine computes on this device what a plain implementation does."""

from __future__ import annotations

import copy
from typing import Any

import torch

from harness.problems import synthetic_groups
from harness.rollouts import groups_from
from rzero import config
from rzero.engines.base import SamplingParams
from rzero.engines.embedded import EmbeddedSampler
from rzero.grpo.advantage import advantages
from rzero.grpo.learner import GrpoLearner
from rzero.models.language_model import LanguageModel

LOGPROB_TOLERANCE = 0.1
NORM_TOLERANCE = 0.03
SIGNS = 0.98
LEARNING_RATE = 1e-2  # so large that the first step shows in bf16 weights


def check_logprobs(model: LanguageModel) -> float:
    """Sample, then compare the sampler's log-probabilities with transformers' forward pass in fp32 softmax.

    Returns the largest gap in nats; raises AssertionError if it is above the tolerance for bf16.
    """
    vocab = model.head.weight.shape[0]
    prompts = [
        g["prompt_ids"]
        for g in synthetic_groups(3, group_size=1, prompt_tokens=9, completion_tokens=1, vocab_size=vocab)
    ]
    sampled = EmbeddedSampler(model, max_rows=8).generate(prompts, SamplingParams(n=4, max_new_tokens=24, seed=1))
    gap = 0.0
    for prompt, group in zip(prompts, sampled, strict=True):
        for completion in group:
            expected = plain_logprobs(model.module, prompt, completion.token_ids)
            found = torch.tensor(completion.logprobs, device=expected.device)
            gap = max(gap, (found - expected).abs().max().item())
    if not gap <= LOGPROB_TOLERANCE:
        raise AssertionError(f"the sampler's log-probabilities are {gap:.3f} from a plain forward pass")
    return gap


def check_gradient(model: LanguageModel) -> dict[str, float]:
    """One learner step against autograd through an fp32 copy: the norm, and the direction of the largest entries.

    AdamW's first step moves each weight by the learning rate against its gradient's sign, so the step shows the signs.
    Changes ``model``. Raises AssertionError if norm or signs differ by more than bf16 explains.
    """
    raw = synthetic_groups(
        2, group_size=4, prompt_tokens=8, completion_tokens=24, vocab_size=model.head.weight.shape[0], seed=7
    )
    expected = reference_gradient(model, raw)
    norm = torch.stack([gradient.norm() for gradient in expected.values()]).norm().item()
    before = {name: parameter.detach().float().clone() for name, parameter in model.module.named_parameters()}
    learner = GrpoLearner(
        model,
        reference=None,
        options=config.GrpoConfig(kl_weight=0.0, weight_decay=0.0),
        learning_rate=LEARNING_RATE,
        updates_per_step=1,
        temperature=1.0,
        max_new_tokens=24,
    )
    found = learner.step(groups_from(raw))["grad_norm"]
    agreed = [_agreement(before[name] - weight.float(), expected[name]) for name, weight in learner.weights()]
    signs = sum(agreed) / len(agreed)
    ratio = found / norm
    if abs(ratio - 1) > NORM_TOLERANCE or signs < SIGNS:
        raise AssertionError(f"the gradient's norm is {ratio:.4f} of fp32's, {signs:.2%} of the signs agree")
    return {"norm_ratio": ratio, "signs": signs}


def reference_gradient(model: LanguageModel, raw: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """The gradient of the GRPO loss at ratio 1, token mean, without KL: by autograd on an fp32 copy, row by row."""
    module = copy.deepcopy(model.module).float()
    total = sum(len(ids) for group in raw for ids in group["completions"])
    for group in raw:
        scaled = advantages(group["rewards"])
        assert scaled is not None
        for ids, advantage in zip(group["completions"], scaled, strict=True):
            logprobs = plain_logprobs(module, group["prompt_ids"], ids)
            (-advantage * logprobs.sum() / total).backward()
    return {name: parameter.grad for name, parameter in module.named_parameters() if parameter.grad is not None}


def plain_logprobs(module: Any, prompt: Any, completion: Any) -> torch.Tensor:
    """[T] Log-probabilities of a completion by transformers' own forward pass."""
    ids = torch.tensor([[*prompt, *completion]], device=next(module.parameters()).device)
    logits = module(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].float()
    return logits.log_softmax(-1).gather(-1, ids[0, len(prompt) :, None])[:, 0]


def _agreement(step: torch.Tensor, gradient: torch.Tensor) -> float:
    """Share of equal signs among the hundredth of the entries with the largest gradients."""
    chosen = gradient.abs().flatten().topk(max(1, gradient.numel() // 100)).indices
    return (step.flatten()[chosen].sign() == gradient.flatten()[chosen].sign()).float().mean().item()
