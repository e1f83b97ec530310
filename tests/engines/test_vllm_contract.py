"""The contract of every sampler, for vLLM. It starts once; each check leaves the weights as it found them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from sampler_contract import CHECKS, full_logprobs, loaded_weights_are_used
from tiny_model import make_model, make_prompts

from rzero.engines.base import Sampler, SamplingParams
from rzero.engines.embedded import EmbeddedSampler
from rzero.engines.vllm_sampler import VllmSampler
from rzero.errors import EngineError
from rzero.models.language_model import LanguageModel
from rzero.models.save import save_model

pytestmark = [
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: make test-vllm"),
    pytest.mark.filterwarnings("ignore"),  # vLLM's own
]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return make_model("mistral")


@pytest.fixture(scope="module")
def sampler(model: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmSampler]:
    directory = tmp_path_factory.mktemp("model")
    model.module.generation_config.eos_token_id = sorted(model.stop_ids)
    save_model(model, directory)
    yield VllmSampler(directory, dtype="float32", kv_bytes=1 << 27)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Sampler, LanguageModel], None], sampler: VllmSampler, model: LanguageModel) -> None:
    check(sampler, model)


def test_loaded_weights_are_used(sampler: VllmSampler, model: LanguageModel, tmp_path: Path) -> None:
    loaded_weights_are_used(sampler, model, tmp_path)


def test_greedy_tokens_are_the_embedded_samplers_but_for_ties(sampler: VllmSampler, model: LanguageModel) -> None:
    prompts, params = make_prompts(60, seed=11), SamplingParams(max_new_tokens=50, temperature=0.0)
    differ = 0
    for prompt, (ours,), (theirs,) in zip(
        prompts, EmbeddedSampler(model).generate(prompts, params), sampler.generate(prompts, params), strict=True
    ):
        pairs = list(zip(ours.token_ids, theirs.token_ids, strict=False))
        at = next((place for place, (one, other) in enumerate(pairs) if one != other), None)
        if at is None:
            assert len(ours.token_ids) == len(theirs.token_ids)
            continue
        differ += 1
        scores = torch.tensor([full_logprobs(model, prompt, one, 1.0)[at] for one in (ours, theirs)])
        assert (scores[0] - scores[1]).abs() < 1e-4, f"token {at} differs, and it is no tie"
    assert differ < 6


def break_reload(worker: Any) -> None:
    """Have the worker read the weights that it is sent, and keep its own."""
    worker.reload_weights = lambda weights_iterator: [None for _ in weights_iterator]


def mend_reload(worker: Any) -> None:
    del worker.reload_weights


def test_weights_that_are_not_taken_are_found_out(sampler: VllmSampler, model: LanguageModel) -> None:
    own = dict(model.module.named_parameters())
    prompts, params = make_prompts(3, seed=12), SamplingParams(max_new_tokens=5)
    expected = sampler.generate(prompts, params)
    version = sampler.policy_version
    sampler._vllm._call(break_reload)
    with pytest.raises(EngineError, match=r"did not take the weights of policy version 9: .* of those that it shows"):
        sampler.load_weights(make_model("mistral", seed=1).module.named_parameters(), policy_version=9)
    assert sampler.policy_version == version
    with pytest.raises(EngineError, match="no whole set of weights"):
        sampler.generate(prompts, params)
    sampler._vllm._call(mend_reload)
    sampler.load_weights(own.items(), policy_version=0)
    assert sampler.generate(prompts, params) == expected


def change_a_weight(worker: Any) -> None:
    next(worker.model_runner.get_model().parameters()).data[5, 7] += 1e-3


def test_weights_that_are_changed_afterwards_are_found_out(sampler: VllmSampler, model: LanguageModel) -> None:
    sampler._vllm._call(change_a_weight)
    with pytest.raises(EngineError, match="changed after those of policy version 0"):
        sampler.generate([[1, 2]], SamplingParams(max_new_tokens=2))
    sampler.load_weights(model.module.named_parameters(), policy_version=0)
    sampler.generate([[1, 2]], SamplingParams(max_new_tokens=2))


@pytest.mark.parametrize("fault", ["unknown", "shape", "missing"])
def test_weights_of_another_model_are_refused(sampler: VllmSampler, model: LanguageModel, fault: str) -> None:
    prompts, params = make_prompts(3, seed=13), SamplingParams(max_new_tokens=5)
    expected = sampler.generate(prompts, params)
    own = dict(model.module.named_parameters())
    wrong = dict(own)
    message = {"unknown": "'model.gate.weight' is not in", "shape": "has shape", "missing": "1 weights .* did not come"}
    if fault == "unknown":
        wrong["model.gate.weight"] = torch.zeros(2)
    elif fault == "shape":
        wrong["model.norm.weight"] = torch.zeros(2)
    else:
        del wrong["model.norm.weight"]
    with pytest.raises(EngineError, match=message[fault]):
        sampler.load_weights(wrong.items(), policy_version=5)
    with pytest.raises(EngineError, match="no whole set of weights"):
        sampler.generate(prompts, params)
    sampler.load_weights(own.items(), policy_version=0)
    assert sampler.generate(prompts, params) == expected


def test_a_call_that_is_broken_off_leaves_nothing_behind(sampler: VllmSampler) -> None:
    prompts, params = make_prompts(5, seed=14), SamplingParams(n=3, max_new_tokens=30)
    expected = sampler.generate(prompts, params)

    def stop(prompt: int, completion: int, made: object) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sampler.generate(prompts, params, on_finish=stop)
    assert sampler.generate(prompts, params) == expected


def test_logits_that_are_not_numbers_are_an_error(sampler: VllmSampler, model: LanguageModel) -> None:
    own = dict(model.module.named_parameters())
    broken = own | {"model.norm.weight": torch.full_like(own["model.norm.weight"], torch.nan)}
    sampler.load_weights(broken.items(), policy_version=1)
    for temperature in (0.0, 0.7, 1.0):
        with pytest.raises(EngineError, match="logits are not numbers"):
            sampler.generate([[1, 2]], SamplingParams(max_new_tokens=2, temperature=temperature))
    sampler.load_weights(own.items(), policy_version=0)
