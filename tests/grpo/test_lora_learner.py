from __future__ import annotations

import copy
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file
from test_grpo_learner import TEMPERATURE, gradient, make_learner, relative_error
from tiny_adapter import LORA, tiny_base, trained
from tiny_policy import group, plain_logprobs, plain_loss, random_groups

from rzero.errors import EngineError, ModelError
from rzero.models.language_model import LanguageModel
from rzero.models.lora import new_adapter, open_adapter


def plain_peft(model: LanguageModel) -> peft.PeftModel:
    """The same policy, as peft's users make it: a copy of the base model, wrapped, in float64."""
    assert model.base is not None
    settings = peft.LoraConfig(r=LORA.rank, lora_alpha=int(LORA.alpha), target_modules="all-linear")
    wrapped = peft.get_peft_model(copy.deepcopy(model.base.module), settings).double()
    own = dict(wrapped.named_parameters())
    for name, parameter in model.trained.items():
        own[f"base_model.model.{name}"].data.copy_(parameter)
    return wrapped


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_loss_and_gradient_are_those_of_plain_peft(
    tmp_path: Path, tied: bool, dtype: torch.dtype, tolerance: float
) -> None:
    model = trained(tiny_base(tmp_path / "base", dtype=dtype, tied=tied))
    assert model.base is not None
    groups = random_groups(5)
    wrapped = plain_peft(model)
    logprobs = [plain_logprobs(wrapped, g, temperature=TEMPERATURE) for g in groups]
    with torch.no_grad(), wrapped.disable_adapter():  # peft's own way to the base model
        ref = [plain_logprobs(wrapped, g, temperature=TEMPERATURE) for g in groups]
    loss = plain_loss(logprobs, [[t.detach() for t in rollouts] for rollouts in logprobs], ref, groups)
    loss.backward()
    expected = {name: p.grad for name, p in wrapped.named_parameters() if p.requires_grad}
    metrics, found = gradient(tmp_path / "save", model, groups, model.base, tokens_per_microbatch=40)
    assert metrics["loss"] == pytest.approx(loss.item(), rel=0, abs=tolerance)
    assert relative_error({f"base_model.model.{name}": tensor for name, tensor in found.items()}, expected) < tolerance
    assert all(name.endswith((".lora_A.default.weight", ".lora_B.default.weight")) for name in found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_leaves_the_base_and_other_adapters_alone(tmp_path: Path, dtype: torch.dtype) -> None:
    base = tiny_base(tmp_path / "base", dtype=dtype)
    other, model = trained(base, seed=1), trained(base)
    watched = {"base": base.module, "other": other.module}
    before = {name: copy.deepcopy(module.state_dict()) for name, module in watched.items()}
    start = {name: parameter.clone() for name, parameter in model.trained.items()}
    learner = make_learner(model, other, updates_per_step=2)
    metrics = learner.step(random_groups(4))
    assert metrics["num_updates"] == 2 and metrics["kl"] > 0
    for name, module in watched.items():
        assert all(torch.equal(tensor, before[name][key]) for key, tensor in module.state_dict().items())
        assert not any(parameter.requires_grad or parameter.grad is not None for parameter in module.parameters())
    assert all(not torch.equal(parameter, start[name]) for name, parameter in model.trained.items())
    assert {name for name, _ in learner.weights()} == start.keys()


def test_a_rewarded_token_becomes_likely(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base", dtype=torch.bfloat16)
    model = new_adapter(base, LORA, seed=0)
    learner = make_learner(model, base, learning_rate=3e-3, max_grad_norm=1.0)
    prompt, wanted = (7, 8, 9), 42
    generator = torch.Generator().manual_seed(0)

    def probabilities() -> torch.Tensor:
        with torch.no_grad():
            return (model.module(input_ids=torch.tensor([prompt])).logits[0, -1].float() / TEMPERATURE).softmax(-1)

    start = probabilities()[wanted].item()
    for _ in range(25):
        drawn = torch.multinomial(probabilities(), 64, replacement=True, generator=generator).tolist()
        learner.step([group(prompt, [(t, 1) for t in drawn], [float(t == wanted) for t in drawn])])
    assert start < 0.03
    assert probabilities()[wanted].item() > 0.08  # 0.12 is the most that embeddings so short, and frozen, can say


def contents(directory: Path) -> dict[str, bytes]:
    return {str(file.relative_to(directory)): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_resumed_is_uninterrupted_to_the_byte(tmp_path: Path, dtype: torch.dtype) -> None:
    base = tiny_base(tmp_path / "base", dtype=dtype)
    batches = [random_groups(3, seed=seed) for seed in range(4)]
    middle, whole, resumed = tmp_path / "middle", tmp_path / "whole", tmp_path / "resumed"
    for directory in (middle, whole, resumed):
        directory.mkdir()
    learner = make_learner(new_adapter(base, LORA, seed=0), base, updates_per_step=2)
    for i, groups in enumerate(batches):
        if i == 2:
            learner.save(middle)
        last = learner.step(groups)
    learner.save(whole)

    other = make_learner(trained(base, seed=5), base, updates_per_step=2)  # other weights, and a history of its own
    other.step(random_groups(2, seed=7))
    other.restore(middle)
    for groups in batches[2:]:
        metrics = other.step(groups)
    other.save(resumed)
    assert metrics == last
    assert contents(resumed) == contents(whole)
    assert ("masters/fp32.safetensors" in contents(whole)) == (dtype == torch.bfloat16)


def test_the_next_phase_continues_from_the_masters(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base", dtype=torch.bfloat16)
    learner = make_learner(new_adapter(base, LORA, seed=0))
    learner.step(random_groups(2))
    (tmp_path / "first").mkdir()
    learner.save(tmp_path / "first")
    masters = load_file(tmp_path / "first" / "masters" / "fp32.safetensors")
    assert any(not torch.equal(tensor, tensor.bfloat16().float()) for tensor in masters.values())
    assert {tensor.dtype for tensor in masters.values()} == {torch.float32}
    (tmp_path / "next").mkdir()
    make_learner(open_adapter(tmp_path / "first", base=base)).save(tmp_path / "next")
    following = load_file(tmp_path / "next" / "masters" / "fp32.safetensors")
    assert following.keys() == masters.keys()
    assert all(torch.equal(following[name], tensor) for name, tensor in masters.items())


def test_the_base_s_own_masters_are_not_the_adapter_s(tmp_path: Path) -> None:
    """A whole checkpoint of an earlier run, with masters beside it, as the base of adapters."""
    base = tiny_base(tmp_path / "base", dtype=torch.bfloat16)
    make_learner(copy.copy(base)).save(base.path)
    assert (base.path / "masters" / "fp32.safetensors").is_file()
    assert make_learner(new_adapter(base, LORA, seed=0)).step(random_groups(2))["num_updates"] == 1


def test_saves_of_other_models_are_refused(tmp_path: Path) -> None:
    base, other = tiny_base(tmp_path / "base"), tiny_base(tmp_path / "other", tied=False)
    saves = {}
    for name, model in (("adapter", trained(base)), ("elsewhere", trained(other)), ("whole", other)):
        saves[name] = tmp_path / name
        saves[name].mkdir()
        make_learner(model).save(saves[name])
    learner = make_learner(trained(base, seed=1))
    before = {name: tensor.clone() for name, tensor in learner.weights()}
    with pytest.raises(ModelError, match=r"adapter of a base model with fingerprint"):
        learner.restore(saves["elsewhere"])
    with pytest.raises(ModelError, match=r"adapter_model.safetensors does not exist"):
        learner.restore(saves["whole"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.weights())
    learner.restore(saves["adapter"])
    assert not all(torch.equal(tensor, before[name]) for name, tensor in learner.weights())


def test_numbers_that_are_not_finite_never_reach_the_weights(tmp_path: Path) -> None:
    model = trained(tiny_base(tmp_path / "base", dtype=torch.bfloat16))
    learner = make_learner(model)
    before = {name: tensor.clone() for name, tensor in learner.weights()}
    with pytest.raises(EngineError, match=r"^step 1, update 1: loss nan .* not finite"):
        learner.step([group((4,), [(6,), (8,)], [1.0, float("nan")])])
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.weights())
