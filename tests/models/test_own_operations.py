from __future__ import annotations

from collections import Counter

import pytest
import torch
from architectures import TAKING, random_model
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from rzero.models.operations import own_operations, replacements

TOKENS = torch.arange(40).view(2, 20) * 7 % 61
_SIZES = {
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "initializer_range": 0.1,
}
SERVED = {
    "llama": {"norm": 5, "mlp": 2, "attention": 2},
    "qwen2": {"norm": 5, "mlp": 2, "attention": 2},
    "qwen3": {"norm": 9, "mlp": 2, "attention": 2},  # queries and keys have norms
    "gemma3_text": {"norm": 13, "mlp": 2, "attention": 2},
    "olmo2": {"norm": 0, "mlp": 2, "attention": 2},  # its norms round once and add no 1
    "glm": {"norm": 5, "mlp": 0, "attention": 0},  # gate and up in one matrix; neighbours are rotated, not halves
}


def made(name: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(name, **_SIZES, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    module = AutoModelForCausalLM.from_config(config).to(dtype).eval()
    for parameter in module.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return module


def kinds(module: PreTrainedModel) -> Counter[str]:
    names = (type(part).__name__.lower() for part, _, _ in replacements(module))
    return Counter(next(kind for kind in ("norm", "mlp", "attention") if kind in name) for name in names)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", SERVED)
def test_what_is_understood_is_replaced_and_nothing_changes(name: str, dtype: torch.dtype) -> None:
    module = made(name, dtype)
    if dtype is torch.float32 or name != "olmo2":  # in fp32 there is no rounding to tell olmo2's norm by
        assert {**dict.fromkeys(SERVED[name], 0), **kinds(module)} == SERVED[name] or name == "olmo2"
    with torch.no_grad():
        before = module(input_ids=TOKENS, use_cache=False).logits
        with own_operations(module):
            found = module(input_ids=TOKENS, use_cache=False).logits
        again = module(input_ids=TOKENS, use_cache=False).logits
    assert torch.equal(again, before)
    tolerance = 1e-5 if dtype is torch.float32 else 0.02
    assert (found - before).norm() < tolerance * before.norm()
    assert not any("forward" in vars(part) for part in module.modules())


@pytest.mark.parametrize("name", TAKING)
def test_gradients_are_the_models_own(name: str) -> None:
    """In architectures with rows of 32 and 48 entries, and heads too small to be rotated by us."""
    module = random_model(name)

    def gradients() -> list[torch.Tensor]:
        module.zero_grad()
        module(input_ids=TOKENS, use_cache=False).logits.square().mean().backward()
        return [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]

    expected = gradients()
    with own_operations(module):
        found = gradients()
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_gradients_through_rotations_are_the_models_own() -> None:
    module = made("qwen3")
    module(input_ids=TOKENS, use_cache=False).logits.square().mean().backward()
    expected = {name: parameter.grad.clone() for name, parameter in module.named_parameters()}  # pyright: ignore
    module.zero_grad()
    with own_operations(module):
        module(input_ids=TOKENS, use_cache=False).logits.square().mean().backward()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-6)


def test_what_computes_something_else_is_left_alone() -> None:
    module = made("llama")
    layers = module.get_decoder().layers
    layers[0].mlp.act_fn = nn.ReLU()
    layers[1].input_layernorm.forward = lambda x: x  # somebody else's already
    left = {id(part) for part, _, _ in replacements(module)}
    assert id(layers[0].mlp) not in left and id(layers[1].input_layernorm) not in left
    assert id(layers[1].mlp) in left and id(layers[0].input_layernorm) in left


def test_new_weights_count_at_once() -> None:
    module = made("llama")
    with torch.no_grad(), own_operations(module):
        before = module(input_ids=TOKENS, use_cache=False).logits
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
        expected = module(input_ids=TOKENS, use_cache=False).logits
        with own_operations(module):
            found = module(input_ids=TOKENS, use_cache=False).logits
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert (before - expected).abs().max() > 0.01


def test_it_is_given_back_after_an_error() -> None:
    module = made("llama")
    with pytest.raises(KeyError), own_operations(module):
        raise KeyError
    assert not any("forward" in vars(part) for part in module.modules())


def test_in_double_precision_the_model_computes_itself() -> None:
    assert replacements(made("llama").double()) == []
