"""Runs with LoRA: one base model in memory, adapters on disk, and the same bytes after a kill."""

from __future__ import annotations

import gc
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_resume import start
from transformers import AutoModelForCausalLM, AutoTokenizer

from rzero import config
from rzero.cli import main
from rzero.domains.arithmetic import Arithmetic
from rzero.engines.base import Sampler, SamplingParams
from rzero.errors import ConfigError
from rzero.evolve.ask import from_run
from rzero.evolve.embedded_engine import EmbeddedEngine
from rzero.evolve.plan import adapter_size
from rzero.evolve.training import groups_of
from rzero.models.lora import new_adapter
from rzero.models.open import open_model
from rzero.types import Group
from tiny_run import TINY

LORA = {"lora.rank": 4, "lora.alpha": 16}
RUN = {
    **LORA,
    "iterations": 1,
    "model.dtype": "float32",
    "challenger.learning_rate": 3e-3,
    "solver.learning_rate": 3e-3,
}


OPTIONS = config.load("micro", {**TINY, **RUN, "model.device": "cpu"})


def engine(base: Path, **changes: object) -> EmbeddedEngine:
    return EmbeddedEngine(config.change(OPTIONS, changes), base)


def sample(engine: EmbeddedEngine, sampler: Sampler) -> list[Group]:
    """One group of questions with rewards that differ."""
    prompt = engine.render(Arithmetic().challenger_prompt())
    completions = sampler.generate([prompt], SamplingParams(n=12, max_new_tokens=24))
    rewards = [float(len(completion.token_ids) % 3) for completion in completions[0]]
    return groups_of([prompt], completions, rewards, policy_version=sampler.policy_version)


def said(groups: list[Group]) -> list[tuple[int, ...]]:
    return [rollout.completion.token_ids for group in groups for rollout in group.rollouts]


def places(shape: torch.Size) -> set[int]:
    """Where in this process's memory there are tensors of that shape."""
    gc.collect()
    # Some objects answer isinstance with a warning of their own.
    found = (thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor))
    return {tensor.data_ptr() for tensor in found if tensor.shape == shape}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_policy_reference_and_voter_share_one_base(micro: Path, tmp_path: Path, dtype: str) -> None:
    """Whatever is open, through two phases: the embedding lies in this process's memory once."""
    shape = torch.Size(load_file(micro / "model.safetensors")["model.embed_tokens.weight"].shape)
    elsewhere = places(shape)
    opened = engine(micro, **{"model.dtype": dtype})
    base = places(shape) - elsewhere
    assert len(base) == 1
    role, checkpoint = OPTIONS.challenger, tmp_path / "checkpoint"
    policy, voter = opened.policy(micro, reference=micro, role=role), opened.sampler(micro)
    plain = said(sample(opened, voter))
    policy.learner.step(sample(opened, policy.sampler))
    checkpoint.mkdir()
    policy.learner.save(checkpoint)
    assert said(sample(opened, voter)) == plain != said(sample(opened, policy.sampler))
    assert places(shape) - elsewhere == base

    opened.release()
    following, voter = opened.policy(checkpoint, reference=checkpoint, role=role), opened.sampler(checkpoint)
    before = said(sample(opened, voter))
    assert before == said(sample(opened, following.sampler)) == said(sample(opened, policy.sampler))
    following.learner.step(sample(opened, following.sampler))
    assert said(sample(opened, voter)) == before != said(sample(opened, following.sampler))
    assert said(sample(opened, opened.sampler(micro))) == plain
    assert places(shape) - elsewhere == base


def test_the_learner_sees_what_the_sampler_drew(micro: Path) -> None:
    """Through several steps, each sampled from the adapter that the step before left."""
    opened = engine(micro)
    policy = opened.policy(micro, reference=micro, role=OPTIONS.challenger)
    for step in range(3):
        assert policy.sampler.policy_version == policy.learner.policy_version == step
        metrics = policy.learner.step(sample(opened, policy.sampler))
        assert metrics["sampler_logprob_gap_max"] < 1e-4
        assert metrics["ratio_mean"] == 1.0
    assert metrics["kl"] > 1e-4  # it has moved


def test_targets_are_checked_when_the_engine_opens(micro: Path) -> None:
    with pytest.raises(ConfigError, match=r"lora\.target_modules=qproj: .* has no 'qproj'; name some of down_proj, "):
        engine(micro, **{"lora.target_modules": "qproj"})


@pytest.mark.parametrize("targets", ["", "q_proj,v_proj"])
def test_the_size_is_told_before_anything_opens(micro: Path, targets: str) -> None:
    lora = config.load("micro", {**LORA, "lora.target_modules": targets}).lora
    adapter = new_adapter(open_model(micro, device="cpu"), lora, seed=0)
    assert adapter_size(micro, lora) == sum(parameter.numel() for parameter in adapter.trained.values())


def test_a_run_without_peft_stops_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    assert main(["run", "micro", "--out", str(tmp_path / "run"), "--lora.rank", "4"]) == 2
    assert 'run: pip install "rzero[lora]"' in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def words(**changes: object) -> list[str]:
    return [word for name, value in {**TINY, **RUN, **changes}.items() for word in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def finished(micro: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one iteration, beside the copy of the micro model that it started from."""
    place = tmp_path_factory.mktemp("lora")
    shutil.copytree(micro, place / "base")
    assert main(["run", "micro", "--model", str(place / "base"), "--out", str(place / "run"), *words()]) == 0
    return place / "run"


@pytest.mark.slow
def test_another_rank_is_another_run(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["run", "micro", "--model", str(finished.parent / "base"), "--out", str(finished)]
    assert main([*given, *words(**{"lora.rank": 8, "lora.target_modules": "q_proj"})]) == 2
    refusal = capsys.readouterr().err
    assert "lora.rank: 4 -> 8" in refusal and "lora.target_modules: [] -> ['q_proj']" in refusal


@pytest.mark.slow
def test_an_adapter_is_no_base_of_a_run(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    solver = str(from_run(finished, None).solver)
    assert main(["run", "micro", "--model", solver, "--out", str(tmp_path / "run"), *words()]) == 2
    assert f"is an adapter, but a run starts from a whole model; write one with: rzero export {solver}" in (
        capsys.readouterr().err
    )


@pytest.mark.slow
@pytest.mark.parametrize("role", ["solver", "challenger"])
def test_export_is_the_adapter(finished: Path, tmp_path: Path, role: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "whole"
    assert main(["export", str(finished), "--out", str(out), "--role", role]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    source = from_run(finished, None)
    adapter = open_model(source.solver if role == "solver" else source.challenger, dtype="float32", device="cpu")
    base = open_model(source.base, dtype="float32", device="cpu")
    tokens = torch.tensor([AutoTokenizer.from_pretrained(out)("12+30=")["input_ids"]])
    with torch.no_grad():
        found = AutoModelForCausalLM.from_pretrained(out)(input_ids=tokens).logits
        torch.testing.assert_close(found, adapter.module(input_ids=tokens).logits, rtol=1e-5, atol=1e-5)
        assert (found - base.module(input_ids=tokens).logits).abs().max() > 1e-3
    assert main(["export", str(finished), "--out", str(out)]) == 2
    assert "exists already; name a new directory" in capsys.readouterr().err


@pytest.mark.slow
def test_export_of_a_whole_model_is_that_model(micro: Path, tmp_path: Path) -> None:
    assert main(["export", str(micro), "--out", str(tmp_path / "same")]) == 0
    before, after = (load_file(place / "model.safetensors") for place in (micro, tmp_path / "same"))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_ask_where_the_base_has_moved(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run directory says where the base is now; the adapter by itself still names the old place."""
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    moved = Path(shutil.copytree(finished.parent / "base", tmp_path / "moved"))
    manifest = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**manifest, "model": str(moved)}))
    for file in run.rglob("adapter_config.json"):
        settings = json.loads(file.read_text())
        file.write_text(json.dumps({**settings, "base_model_name_or_path": str(tmp_path / "gone")}))
    assert main(["ask", str(run), "12+30", "--write", "1"]) == 0
    assert "votes say" in capsys.readouterr().out
    assert main(["ask", str(from_run(run, None).solver), "12+30"]) == 2
    assert "which is no directory here; put the model back" in capsys.readouterr().err


KILLS = [
    {"KILL_AT_PATH": "iter_01/train_challenger/resumable/.tmp-step_0002"},  # in its save
    {"KILL_AT_CALL": "extract_answer:40"},  # in the Solver's second step
    {"KILL_AT_PATH": "iter_01/train_solver/steps/step_0002"},  # before its save
]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_killed_and_resumed_ends_in_the_same_bytes(tmp_path: Path, dtype: str) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    changes = {**RUN, "evaluate.limit": 4, "model.dtype": dtype}
    done = start(straight, changes)
    assert done.returncode == 0, done.stderr
    for moment in KILLS:
        killed = start(broken, changes, **moment)
        assert killed.returncode == -9, f"{moment} did not kill: {killed.returncode}\n{killed.stderr}"
    resumed = start(broken, changes)
    assert resumed.returncode == 0, resumed.stderr
    artefacts = [
        path.relative_to(straight)
        for path in sorted(straight.rglob("*"))
        if path.suffix in (".safetensors", ".jsonl") or path.name in ("adapter_config.json", "base.json")
    ]
    artefacts.remove(Path("metrics.jsonl"))  # has times
    assert sum(path.name == "adapter_model.safetensors" for path in artefacts) == 2
    assert sum(path.name == "fp32.safetensors" for path in artefacts) == (2 if dtype == "bfloat16" else 0)
    for path in artefacts:
        assert (straight / path).read_bytes() == (broken / path).read_bytes(), path
