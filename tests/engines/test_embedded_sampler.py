from __future__ import annotations

from typing import Any

import pytest
import torch
from sampler_contract import full_logprobs, tokens
from tiny_model import make_model, make_prompts
from transformers import AutoModelForCausalLM, MambaConfig

from rzero.engines import drafts, prefill, wave
from rzero.engines.base import SamplingParams
from rzero.engines.cache import count_layers
from rzero.engines.embedded import EmbeddedSampler
from rzero.engines.paged import scheduler
from rzero.errors import EngineError


@pytest.mark.parametrize("params", [{"temperature": 0.0}, {"temperature": 1.0}, {"temperature": 0.8, "top_p": 0.9}])
def test_max_rows_does_not_change_what_is_drawn(params: dict[str, float]) -> None:
    model, prompts = make_model("qwen2"), make_prompts(10, seed=8)
    found = [
        EmbeddedSampler(model, max_rows=max_rows).generate(prompts, SamplingParams(n=2, max_new_tokens=16, **params))
        for max_rows in (2, 7, 64)
    ]
    for other in found[1:]:
        assert [tokens(completions) for completions in other] == [tokens(completions) for completions in found[0]]


@pytest.mark.filterwarnings("ignore:BloomForCausalLM:RuntimeWarning")
@pytest.mark.parametrize("architecture", ["llama", "gemma3_text", "bloom"])
def test_growing_buffers_and_small_batches_of_prompts_change_nothing(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler, prompts = EmbeddedSampler(make_model(architecture)), make_prompts(12, seed=9)
    params = SamplingParams(n=2, max_new_tokens=40)
    expected = sampler.generate(prompts, params)
    monkeypatch.setattr(wave, "_FIRST_COLUMNS", 2)
    monkeypatch.setattr(drafts, "_FIRST_COLUMNS", 2)
    monkeypatch.setattr(prefill, "_TOKENS", 16)  # several batches, and prompts longer than one piece
    monkeypatch.setattr(scheduler, "_PREFILL_TOKENS", 16)
    found = sampler.generate(prompts, params)
    assert [tokens(completions) for completions in found] == [tokens(completions) for completions in expected]


def test_each_distinct_prompt_is_prefilled_once_and_finished_rows_cost_nothing() -> None:
    model = make_model("llama")
    sampler = EmbeddedSampler(model)
    seen: list[int] = []
    embedding: Any = model.module.get_input_embeddings()
    embedding.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].numel()))
    prompts = [[5, 6, 7], [8, 9], [5, 6, 7]]
    found = sampler.generate(prompts, SamplingParams(n=4, max_new_tokens=25))
    assert seen[0] == 3 + 2  # no padding
    lengths = [len(completion.token_ids) for completions in found for completion in completions]
    assert len(set(lengths)) > 2
    assert sum(seen[1:]) == sum(length - 1 for length in lengths)


def test_bf16_logprobs_are_close_to_a_full_forward_pass() -> None:
    model, prompts = make_model("llama", dtype=torch.bfloat16), make_prompts(6, seed=10)
    found = EmbeddedSampler(model).generate(prompts, SamplingParams(n=2, max_new_tokens=20))
    differences = torch.cat(
        [
            torch.tensor(completion.logprobs) - full_logprobs(model, prompt, completion, 1.0)
            for prompt, completions in zip(prompts, found, strict=True)
            for completion in completions
        ]
    )
    assert differences.abs().mean() < 0.03
    assert differences.abs().max() < 0.5


def test_shared_weights_can_be_trained_after_sampling() -> None:
    model = make_model("llama")
    model.module.train()
    version = 0
    sampler = EmbeddedSampler(model, policy_version=lambda: version)
    sampler.generate(make_prompts(3), SamplingParams(max_new_tokens=5))
    assert model.module.training
    assert not any(parameter.is_inference() or not parameter.requires_grad for parameter in model.module.parameters())
    ids = torch.tensor([[1, 2, 3, 4]])
    model.module(input_ids=ids, labels=ids).loss.backward()
    assert all(parameter.grad is not None for parameter in model.module.parameters())
    version = 5
    assert sampler.policy_version == 5
    with pytest.raises(EngineError, match="shares its weights"):
        sampler.load_weights([], policy_version=6)


def test_weights_that_do_not_fit_are_refused() -> None:
    sampler = EmbeddedSampler(make_model("llama"), policy_version=2)
    own = dict(make_model("llama").module.state_dict())
    with pytest.raises(EngineError, match=r"'model.layers.9.x' is not in LlamaForCausalLM"):
        sampler.load_weights([("model.layers.9.x", torch.zeros(1))], policy_version=3)
    with pytest.raises(EngineError, match=r"'model.norm.weight' has shape \(31,\), LlamaForCausalLM has \(32,\)"):
        sampler.load_weights([("model.norm.weight", torch.zeros(31))], policy_version=3)
    with pytest.raises(EngineError, match=r"1 weights .* 'lm_head.weight'"):
        sampler.load_weights([pair for pair in own.items() if pair[0] != "lm_head.weight"], policy_version=3)
    assert sampler.policy_version == 2


def test_weights_that_are_not_numbers_are_an_error() -> None:
    model = make_model("llama")
    with torch.no_grad():
        next(model.module.parameters()).fill_(float("nan"))
    with pytest.raises(EngineError, match="not numbers"):
        EmbeddedSampler(model).generate([[1, 2]], SamplingParams(max_new_tokens=2))


def test_state_space_models_are_refused() -> None:
    config = MambaConfig(hidden_size=8, num_hidden_layers=1, vocab_size=10, state_size=2)
    with pytest.raises(EngineError, match="MambaForCausalLM keeps more than attention keys"):
        count_layers(AutoModelForCausalLM.from_config(config))
