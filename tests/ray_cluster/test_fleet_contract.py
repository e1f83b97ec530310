"""Two sampler processes on two nodes, held to what every sampler has to do, and against one in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sampler_contract import CHECKS, loaded_weights_are_used, tokens
from tiny_model import make_model, make_prompts

from rzero.config import Config, load
from rzero.engines.base import Sampler, SamplingParams
from rzero.engines.embedded import EmbeddedSampler
from rzero.errors import EngineError, ModelError
from rzero.models.language_model import LanguageModel
from rzero.models.open import open_model

if TYPE_CHECKING:
    from rzero.evolve.ray_engine import RayEngine

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a checkpoint that keeps its many end tokens."""
    directory, model = tmp_path_factory.mktemp("model"), make_model("llama")
    config: Any = model.module.generation_config
    config.eos_token_id = sorted(model.stop_ids)
    model.module.save_pretrained(directory)
    model.tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def engine(shared_nodes: Any, checkpoint: Path) -> Iterator[RayEngine]:
    from rzero.evolve.ray_engine import RayEngine

    made = RayEngine(options(shared_nodes.address), checkpoint)
    yield made
    made.close()


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> LanguageModel:
    return open_model(checkpoint, dtype="float32", device="cpu")


def options(address: str, **changes: object) -> Config:
    base = {
        "engine.cluster": "ray",
        "engine.num_samplers": 2,
        "engine.ray_address": address,
        "model.dtype": "float32",
        "vote.stop_early": True,
    }
    return load("laptop", base | changes)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(
    check: Callable[[Sampler, LanguageModel], None], engine: RayEngine, checkpoint: Path, model: LanguageModel
) -> None:
    check(engine.sampler(checkpoint), model)


def test_loaded_weights_are_used(engine: RayEngine, checkpoint: Path, model: LanguageModel, tmp_path: Path) -> None:
    loaded_weights_are_used(engine.sampler(checkpoint), model, tmp_path)


@pytest.mark.parametrize(("prompts", "n"), [(1, 40), (3, 1), (9, 7)])
def test_tokens_are_those_of_one_sampler(
    prompts: int, n: int, engine: RayEngine, checkpoint: Path, model: LanguageModel
) -> None:
    params = SamplingParams(n=n, max_new_tokens=20, seed=11, first_prompt=2, first_completion=1)
    asked = make_prompts(prompts, seed=12)
    found = engine.sampler(checkpoint).generate(asked, params)
    expected = EmbeddedSampler(model).generate(asked, params)
    assert [tokens(group) for group in found] == [tokens(group) for group in expected]


def test_a_sampler_without_the_weights_refuses(engine: RayEngine, checkpoint: Path) -> None:
    from rzero.engines.fleet import Source

    stale = engine._sampler(Source(checkpoint=checkpoint, replica=10**6, version=3))
    with pytest.raises(EngineError, match="policy version 3 was asked for, but the sampler has -1"):
        stale.generate([[1, 2]], SamplingParams(max_new_tokens=2))


def test_a_workers_error_is_told_as_it_was(engine: RayEngine, checkpoint: Path, tmp_path: Path) -> None:
    """The class and the words of the worker's error, its traceback beside; and the fleet goes on afterwards."""
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in checkpoint.iterdir():
        data = file.read_bytes()
        (broken / file.name).write_bytes(data[: len(data) // 2] if file.suffix == ".safetensors" else data)
    with pytest.raises(ModelError, match="safetensors") as caught:
        engine.sampler(broken).generate(make_prompts(4), SamplingParams(max_new_tokens=2))
    assert any("ray::SamplerHost" in note and "in check_directory" in note for note in caught.value.__notes__)
    assert len(engine.sampler(checkpoint).generate(make_prompts(4), SamplingParams(max_new_tokens=2))) == 4


def test_an_error_in_a_callback_leaves_the_fleet_usable(engine: RayEngine, checkpoint: Path) -> None:
    def fail(*_: object) -> bool:
        raise ZeroDivisionError

    sampler, params = engine.sampler(checkpoint), SamplingParams(n=3, max_new_tokens=20)
    with pytest.raises(ZeroDivisionError):
        sampler.generate(make_prompts(6), params, on_finish=fail)
    assert [len(group) for group in sampler.generate(make_prompts(6), params)] == [3] * 6
