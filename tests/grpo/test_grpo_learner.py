from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_policy import END, group, plain_logprobs, plain_loss, random_groups, tiny_policy

from rzero.config import GrpoConfig
from rzero.errors import ConfigError, EngineError
from rzero.grpo.learner import GrpoLearner
from rzero.models.language_model import LanguageModel
from rzero.types import Group

TEMPERATURE = 0.8
NO_CLIPPING = 1e9


def make_learner(
    model: LanguageModel,
    reference: LanguageModel | None = None,
    *,
    learning_rate: float = 1e-3,
    updates_per_step: int = 1,
    **options: Any,
) -> GrpoLearner:
    return GrpoLearner(
        model,
        reference=reference,
        options=GrpoConfig.model_validate(
            {"kl_weight": 0.01 if reference else 0.0, "max_grad_norm": NO_CLIPPING} | options
        ),
        learning_rate=learning_rate,
        updates_per_step=updates_per_step,
        temperature=TEMPERATURE,
        max_new_tokens=16,
    )


def gradient(path: Path, model: LanguageModel, groups: list[Group], reference: LanguageModel | None, **options: Any):
    """The gradient of one update, by name: with beta1 = 0 it is AdamW's first moment."""
    learner = make_learner(model, reference, adam_beta1=0.0, **options)
    metrics = learner.step(groups)
    path.mkdir(exist_ok=True)
    learner.save(path)
    prefix = "exp_avg/"
    saved = load_file(path / "learner.safetensors")
    return metrics, {n.removeprefix(prefix): t.double() for n, t in saved.items() if n.startswith(prefix)}


def plain_gradient(model: LanguageModel, groups: list[Group], reference: LanguageModel | None, **options: Any):
    """Loss and gradient in float64, from all logits of one rollout at a time."""
    module = copy.deepcopy(model.module).double()
    logprobs = [plain_logprobs(module, g, temperature=TEMPERATURE) for g in groups]
    old = [[tokens.detach() for tokens in rollouts] for rollouts in logprobs]
    ref = None
    if reference is not None:
        frozen = copy.deepcopy(reference.module).double().requires_grad_(False)
        ref = [plain_logprobs(frozen, g, temperature=TEMPERATURE) for g in groups]
    loss = plain_loss(logprobs, old, ref, groups, **options)
    loss.backward()
    return loss.item(), {name: p.grad for name, p in module.named_parameters()}


def relative_error(found: dict[str, torch.Tensor], expected: dict[str, Any]) -> float:
    """Over all parameters together: |found - expected| / |expected|."""
    assert found.keys() == expected.keys()
    difference = sum((found[n] - expected[n]).square().sum() for n in found) ** 0.5
    return float(difference / sum(expected[n].square().sum() for n in expected) ** 0.5)


@pytest.mark.parametrize("normalization", ["token", "sequence", "dr_grpo"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_loss_and_gradient_are_those_of_the_textbook(
    tmp_path: Path, normalization: str, tied: bool, dtype: torch.dtype, tolerance: float
) -> None:
    model, reference = tiny_policy(dtype=dtype, tied=tied), tiny_policy(seed=1, dtype=dtype, tied=tied)
    groups = random_groups(5)
    loss, expected = plain_gradient(model, groups, reference, normalization=normalization)
    metrics, found = gradient(tmp_path, model, groups, reference, normalization=normalization, tokens_per_microbatch=40)
    # The loss is a small difference of terms near 1, so its error is measured against 1.
    assert metrics["loss"] == pytest.approx(loss, rel=0, abs=tolerance)
    assert relative_error(found, expected) < tolerance


def test_micro_batches_do_not_change_the_gradient(tmp_path: Path) -> None:
    groups = random_groups(6)
    found = {
        limit: gradient(tmp_path, tiny_policy(), groups, tiny_policy(seed=1), tokens_per_microbatch=limit)
        for limit in (1, 50, 10_000)
    }
    (whole_metrics, whole) = found[10_000]
    for metrics, part in found.values():
        assert relative_error(part, whole) < 1e-6
        assert metrics == pytest.approx(whole_metrics, rel=1e-4, abs=1e-6)


def test_bfloat16_gradients_are_summed_in_float32(tmp_path: Path) -> None:
    """A row of its own against all in one pass, in bf16, and both against float64 of the same weights."""
    groups = random_groups(8)
    model = tiny_policy(dtype=torch.bfloat16)
    _, expected = plain_gradient(model, groups, None)
    errors = [
        relative_error(gradient(tmp_path, copy.deepcopy(model), groups, None, tokens_per_microbatch=limit)[1], expected)
        for limit in (1, 10_000)
    ]
    assert max(errors) < 0.03
    assert errors[0] < 1.1 * errors[1]  # 32 summands, and no worse for it


def test_groups_without_variance_are_left_out_and_counted(tmp_path: Path) -> None:
    groups = random_groups(3)
    flat = [group((4, 5), [(6, 7), (8, 9, 10)], [0.5, 0.5]), group((4,), [(6,), (8,)], [1.0, 1.0])]
    reference = tiny_policy(seed=1)
    metrics, with_flat = gradient(tmp_path, tiny_policy(), [flat[0], *groups, flat[1]], reference)
    _, without = gradient(tmp_path, tiny_policy(), groups, reference)
    assert relative_error(with_flat, without) == 0.0
    assert (metrics["num_groups"], metrics["num_zero_variance_groups"], metrics["zero_variance_frac"]) == (5, 2, 0.4)
    assert metrics["num_tokens"] == sum(len(r.completion.token_ids) for g in groups for r in g.rollouts)
    rewards = [r.reward for g in [*flat, *groups] for r in g.rollouts]
    assert metrics["mean_reward"] == pytest.approx(sum(rewards) / len(rewards))


def test_no_variance_at_all_is_no_update() -> None:
    model = tiny_policy()
    before = copy.deepcopy(model.module.state_dict())
    learner = make_learner(model, updates_per_step=2)
    metrics = learner.step([group((4,), [(6,), (8,)], [1.0, 1.0])])
    assert (metrics["num_updates"], metrics["zero_variance_frac"], learner.policy_version) == (0, 1.0, 1)
    assert "loss" not in metrics
    for name, tensor in model.module.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("max_grad_norm", [NO_CLIPPING, 0.05])
def test_several_updates_are_ppo_against_the_policy_that_sampled(max_grad_norm: float) -> None:
    """Three updates with a learning rate that makes the ratio clip, against a plain loop in float64."""
    model, reference = tiny_policy(dtype=torch.float64), tiny_policy(seed=1, dtype=torch.float64)
    groups = random_groups(7)
    module, frozen = copy.deepcopy(model.module), copy.deepcopy(reference.module).requires_grad_(False)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.02, betas=(0.9, 0.999), weight_decay=0.01, foreach=False)
    with torch.no_grad():
        old = [plain_logprobs(module, g, temperature=TEMPERATURE) for g in groups]
        ref = [plain_logprobs(frozen, g, temperature=TEMPERATURE) for g in groups]
    for share in (slice(0, 2), slice(2, 4), slice(4, 7)):
        logprobs = [plain_logprobs(module, g, temperature=TEMPERATURE) for g in groups[share]]
        optimizer.zero_grad()
        plain_loss(logprobs, old[share], ref[share], groups[share]).backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), max_grad_norm)
        optimizer.step()

    learner = make_learner(model, reference, learning_rate=0.02, updates_per_step=3, max_grad_norm=max_grad_norm)
    metrics = learner.step(groups)
    assert metrics["num_updates"] == 3
    assert metrics["clip_low_frac"] > 0.02 and metrics["clip_high_frac"] > 0.02
    for (name, found), expected in zip(learner.weights(), module.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10, msg=name)


def test_more_updates_than_groups() -> None:
    assert make_learner(tiny_policy(), updates_per_step=8).step(random_groups(3))["num_updates"] == 3


def test_one_update_is_on_policy_and_the_gap_to_the_sampler_is_told() -> None:
    model = tiny_policy()
    groups = random_groups(4)
    with torch.no_grad():
        logprobs = torch.cat([t for g in groups for t in plain_logprobs(model.module, g, temperature=TEMPERATURE)])
    metrics = make_learner(model, tiny_policy()).step(groups)
    assert metrics["ratio_mean"] == 1.0
    assert metrics["clip_low_frac"] == metrics["clip_high_frac"] == 0.0
    assert metrics["kl"] == pytest.approx(0, abs=1e-9)  # the reference is the policy itself
    gap = (logprobs + 1).abs()  # the sampler is said to have returned -1 throughout
    assert metrics["sampler_logprob_gap"] == pytest.approx(gap.mean().item(), rel=1e-5)
    assert metrics["sampler_logprob_gap_max"] == pytest.approx(gap.max().item(), rel=1e-5)


def test_gradients_flow_whatever_the_caller_switched_off() -> None:
    model = tiny_policy()
    model.module.requires_grad_(False)
    with torch.no_grad():
        assert make_learner(model).step(random_groups(2))["grad_norm"] > 0


def test_nothing_is_kept_between_steps() -> None:
    model = tiny_policy(dtype=torch.bfloat16)
    make_learner(model).step(random_groups(2))
    assert all(p.grad is None and not p._post_accumulate_grad_hooks for p in model.module.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_numbers_that_are_not_finite_never_reach_the_weights(dtype: torch.dtype) -> None:
    model = tiny_policy(dtype=dtype)
    learner = make_learner(model)
    learner.step(random_groups(2))
    before = copy.deepcopy(model.module.state_dict())
    with pytest.raises(EngineError, match=r"^step 2, update 2: loss nan .* not finite"):
        learner.step([group((4,), [(6,), (8,)], [1.0, float("nan")])])
    for name, tensor in model.module.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_kl_term_needs_a_reference() -> None:
    with pytest.raises(ConfigError, match=r"kl_weight=0.01 needs a reference"):
        make_learner(tiny_policy(), kl_weight=0.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_rewarded_token_becomes_likely(dtype: torch.dtype) -> None:
    """Sampled from the policy itself, rewarded for one token: the policy learns to say it."""
    model = tiny_policy(dtype=dtype)
    learner = make_learner(model, learning_rate=3e-3, max_grad_norm=1.0)
    prompt, wanted = (7, 8, 9), 42
    generator = torch.Generator().manual_seed(0)

    def probabilities() -> torch.Tensor:
        with torch.no_grad():
            return (model.module(input_ids=torch.tensor([prompt])).logits[0, -1].float() / TEMPERATURE).softmax(-1)

    start = probabilities()[wanted].item()
    for _ in range(30):
        drawn = torch.multinomial(probabilities(), 64, replacement=True, generator=generator).tolist()
        learner.step([group(prompt, [(t, END) for t in drawn], [float(t == wanted) for t in drawn])])
    assert start < 0.1
    assert probabilities()[wanted].item() > 0.5


def test_small_updates_add_up_in_bfloat16() -> None:
    """Each is far below half a unit in the last place of most weights; without masters they would round away."""
    model = tiny_policy(dtype=torch.bfloat16)
    exact = tiny_policy()
    exact.module.load_state_dict({n: t.float() for n, t in model.module.state_dict().items()})
    start = {n: t.clone() for n, t in make_learner(exact).weights()}
    groups = random_groups(2)
    for policy in (model, exact):
        learner = make_learner(policy, learning_rate=3e-5, weight_decay=0.0)
        for _ in range(40):
            learner.step(groups)
    moved = {n: t.detach() - start[n] for n, t in exact.module.named_parameters()}
    found = {n: t.detach().float() - start[n] for n, t in model.module.named_parameters()}
    along = sum((moved[n] * found[n]).sum() for n in moved) / sum(moved[n].square().sum() for n in moved)
    assert along == pytest.approx(1.0, abs=0.15)
