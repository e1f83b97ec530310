"""vLLM in the loop, on the micro model: both roles in one vLLM, and weights that follow the learner."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import rzero
from rzero import config
from rzero.domains.arithmetic import Arithmetic
from rzero.engines.base import Sampler, SamplingParams
from rzero.errors import EngineError
from rzero.evolve.open_engine import open_engine
from rzero.evolve.training import groups_of
from rzero.evolve.vllm_engine import VllmEngine
from rzero.types import Completion, Group
from tiny_run import TINY

pytestmark = [
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: make test-vllm"),
    pytest.mark.filterwarnings("ignore"),  # vLLM's own
]

RUN = {
    "iterations": 1,
    "engine.sampler": "vllm",
    "engine.kv_gib": 0.125,
    "model.dtype": "float32",
    "model.device": "cpu",
    "challenger.learning_rate": 1e-3,
    "solver.learning_rate": 1e-3,
}
OPTIONS = config.load("micro", {**TINY, **RUN})
GREEDY = SamplingParams(max_new_tokens=24, temperature=0.0)


@pytest.fixture(scope="module")
def engine(micro: Path) -> Iterator[VllmEngine]:
    engine = open_engine(OPTIONS, micro)
    assert isinstance(engine, VllmEngine)
    yield engine


def group(engine: VllmEngine, sampler: Sampler) -> list[Group]:
    """One group of questions with rewards that differ."""
    prompt = engine.render(Arithmetic().challenger_prompt())
    completions = sampler.generate([prompt], SamplingParams(n=12, max_new_tokens=24))
    rewards = [float(len(completion.token_ids) % 3) for completion in completions[0]]
    return groups_of([prompt], completions, rewards, policy_version=sampler.policy_version)


def said(engine: VllmEngine, sampler: Sampler) -> list[Completion]:
    prompts = [engine.render(Arithmetic().solver_prompt(f"What is {n} + {n + 3} * 2?")) for n in range(6)]
    return [completion for (completion,) in sampler.generate(prompts, GREEDY)]


def test_the_sampler_follows_the_learner(engine: VllmEngine, micro: Path) -> None:
    policy = engine.policy(micro, reference=micro, role=OPTIONS.challenger)
    frozen = engine.sampler(micro)
    base = said(engine, frozen)
    assert said(engine, policy.sampler) == base
    for version in range(3):
        groups = group(engine, policy.sampler)
        assert {rollout.policy_version for rollout in groups[0].rollouts} == {version}
        metrics = policy.learner.step(groups)
        assert metrics["num_updates"] >= 1
        assert metrics["sampler_logprob_gap"] < 1e-5
        assert metrics["sampler_logprob_gap_max"] < 1e-4
        assert policy.sampler.policy_version == version + 1
    trained = said(engine, policy.sampler)
    assert trained != base, "three steps at this learning rate change what is said"
    assert said(engine, frozen) == base
    assert said(engine, policy.sampler) == trained
    with pytest.raises(EngineError, match="speaks for a learner or a checkpoint"):
        policy.sampler.load_weights(micro, policy_version=1)


def test_a_checkpoint_is_what_the_learner_had(engine: VllmEngine, micro: Path, tmp_path: Path) -> None:
    policy = engine.policy(micro, reference=micro, role=OPTIONS.solver)
    policy.learner.step(group(engine, policy.sampler))
    trained = said(engine, policy.sampler)
    policy.learner.save(tmp_path)
    engine.release()
    assert said(engine, engine.sampler(tmp_path)) == trained


def test_adapters_are_added_to_the_base_model(micro: Path, engine: VllmEngine, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    options = config.change(OPTIONS, {"lora.rank": 4, "challenger.learning_rate": 1e-2})
    adapters = VllmEngine(options, micro)
    adapters._shared = engine.shared  # one vLLM for all tests
    engine.shared.forget()
    policy = adapters.policy(micro, reference=micro, role=options.challenger)
    base = said(engine, policy.sampler)
    for _ in range(2):
        metrics = policy.learner.step(group(engine, policy.sampler))
        assert metrics["sampler_logprob_gap"] < 1e-5
    trained = said(engine, policy.sampler)
    assert trained != base
    policy.learner.save(tmp_path)
    assert said(engine, adapters.sampler(tmp_path)) == trained


def test_machine_names_vllm(engine: VllmEngine) -> None:
    assert engine.machine["sampler"].startswith("vllm")
    assert engine.machine["dtype"] == "float32"


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and "logs" not in path.parts}


def test_a_run_leaves_the_same_files_as_with_the_embedded_sampler(tmp_path: Path) -> None:
    for name in ("vllm", "embedded"):
        options = config.change(OPTIONS, {"engine.sampler": name, "model.path": "micro"})
        result = rzero.run(options, tmp_path / name)
        assert result.solver.is_dir()
    assert files(tmp_path / "vllm") == files(tmp_path / "embedded")
    steps = [json.loads(line) for line in (tmp_path / "vllm" / "metrics.jsonl").read_text().splitlines()]
    gaps = [step["sampler_logprob_gap"] for step in steps if "sampler_logprob_gap" in step]
    assert len(gaps) >= 2
    assert max(gaps) < 1e-5
    run = json.loads((tmp_path / "vllm" / "run.json").read_text())
    assert run["machine"]["sampler"].startswith("vllm")
