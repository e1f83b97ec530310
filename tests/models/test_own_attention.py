from __future__ import annotations

import pytest
import torch
from architectures import NOT_TAKING, TAKING, random_model

from rzero.models.attention import own_attention, reference_attention, takes_own_attention

TOKENS = torch.arange(40).view(2, 20) * 7 % 61


def _causal(query, key, value, **options):
    return reference_attention(query, key, value, seen=torch.ones(20, 20, dtype=torch.bool).tril(), **options)


@pytest.mark.parametrize("name", TAKING)
def test_a_models_own_attention_can_be_replaced(name: str) -> None:
    """By the same function, with the window and soft cap that the layer hands over: then nothing changes."""
    module = random_model(name)
    assert takes_own_attention(module)
    before = module.config._attn_implementation
    with torch.no_grad():
        expected = module(input_ids=TOKENS, use_cache=False).logits
        with own_attention(module, _causal):
            found = module(input_ids=TOKENS, use_cache=False).logits
        with own_attention(module, lambda query, key, value, **_: torch.zeros_like(query).transpose(1, 2)):
            without = module(input_ids=TOKENS, use_cache=False).logits
        again = module(input_ids=TOKENS, use_cache=False).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert (without - expected).abs().max() > 1e-2
    assert torch.equal(again, expected)
    assert module.config._attn_implementation == before


@pytest.mark.parametrize("name", NOT_TAKING)
def test_what_would_be_lost_on_us_is_noticed(name: str) -> None:
    module = random_model(name)
    before = module.config._attn_implementation
    assert not takes_own_attention(module)
    assert module.config._attn_implementation == before


def test_two_models_at_a_time_each_with_its_own() -> None:
    first, second = random_model("llama"), random_model("llama", seed=1)
    calls = []

    def counting(label):
        def attention(*tensors, **options):
            calls.append(label)
            return _causal(*tensors, **options)

        return attention

    with torch.no_grad(), own_attention(first, counting("first")), own_attention(second, counting("second")):
        first(input_ids=TOKENS, use_cache=False)
        second(input_ids=TOKENS, use_cache=False)
    assert calls == ["first"] * 2 + ["second"] * 2


def test_it_is_given_back_after_an_error() -> None:
    module = random_model("qwen3")
    before = module.config._attn_implementation

    def broken(*_, **__):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), own_attention(module, broken):
        module(input_ids=TOKENS, use_cache=False)
    assert module.config._attn_implementation == before
    assert takes_own_attention(module)
