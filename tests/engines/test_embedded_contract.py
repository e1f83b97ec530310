from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sampler_contract import CHECKS, loaded_weights_are_used
from tiny_model import ARCHITECTURES, make_model

from rzero.engines.base import Sampler
from rzero.engines.embedded import EmbeddedSampler
from rzero.models.language_model import LanguageModel


@pytest.mark.filterwarnings("ignore:BloomForCausalLM:RuntimeWarning")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("check", CHECKS[:2], ids=lambda check: check.__name__)
def test_every_architecture(check: Callable[[Sampler, LanguageModel], None], architecture: str) -> None:
    model = make_model(architecture)
    check(EmbeddedSampler(model, max_rows=13), model)


@pytest.mark.filterwarnings("ignore:BloomForCausalLM:RuntimeWarning")
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bloom"])  # one for each way of keeping keys and values
@pytest.mark.parametrize("check", CHECKS[2:], ids=lambda check: check.__name__)
def test_contract(check: Callable[[Sampler, LanguageModel], None], architecture: str) -> None:
    model = make_model(architecture)
    check(EmbeddedSampler(model), model)


@pytest.mark.parametrize("check", CHECKS[-2:], ids=lambda check: check.__name__)
def test_completions_that_wait_are_cancelled_too(check: Callable[[Sampler, LanguageModel], None]) -> None:
    model = make_model("llama")
    check(EmbeddedSampler(model, max_rows=4), model)


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])  # untied and tied
def test_loaded_weights_are_used(architecture: str, tmp_path: Path) -> None:
    model = make_model(architecture)
    loaded_weights_are_used(EmbeddedSampler(model), model, tmp_path)
