"""The learner of two and of three processes against that of one, on real process groups (see ``sharded_worker.py``)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sharded_cases import CASES, make
from sharded_worker import RESUMED
from tiny_policy import group, random_groups, tiny_policy

from rzero.config import GrpoConfig
from rzero.errors import ConfigError, EngineError
from rzero.grpo.batch import weighted_rows
from rzero.grpo.learner import GrpoLearner
from rzero.grpo.process_group import free_port, join, leave
from rzero.grpo.ranks import Ranks
from rzero.grpo.sharded import ShardedLearner
from rzero.grpo.sharded_passes import ShardedPasses
from rzero.grpo.sharding import ShardedMasters
from rzero.models.open import open_model

HERE = Path(__file__).parent
SIZES = {"two": 2, "three": 3}
sizes = pytest.mark.parametrize("size", SIZES)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What three processes found in all cases, after a learner of one had left a save for them."""
    directory = tmp_path_factory.mktemp("sharded")
    learner = make(GrpoLearner, RESUMED, directory / "unused")
    for seed in range(2):
        learner.step(random_groups(3, seed=seed))
    (directory / "single").mkdir()
    learner.save(directory / "single")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent), *sys.path])}
    ports = [str(free_port("127.0.0.1")) for _ in SIZES]
    workers = []
    for rank in range(3):
        command = [sys.executable, str(HERE / "sharded_worker.py"), str(rank), str(directory), *ports]
        with (directory / f"log.{rank}").open("w") as log:
            workers.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
    try:
        ends = [worker.wait(timeout=250) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert ends == [0, 0, 0], "\n".join((directory / f"log.{rank}").read_text() for rank in range(3))
    return directory


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[dict[str, float]]]]:
    """Each case's save and metrics by a learner of one process."""
    directory = tmp_path_factory.mktemp("single")
    results = {}
    for name, case in CASES.items():
        learner = make(GrpoLearner, case, directory / f"{name}.base")
        results[name] = (directory / name, [learner.step(batch) for batch in case.batches])
        (directory / name).mkdir()
        learner.save(directory / name)
    return results


def notes(directory: Path, name: str, size: str) -> list[Any]:
    """What each process noted."""
    return [json.loads((directory / size / f"{name}.{rank}.json").read_text()) for rank in range(SIZES[size])]


def tensors(directory: Path) -> dict[str, torch.Tensor]:
    return {
        f"{file.name}:{name}": tensor
        for file in directory.rglob("*.safetensors")
        for name, tensor in load_file(file).items()
    }


def others(directory: Path) -> dict[str, bytes]:
    """The files without tensors; an adapter's says where its base model lay."""
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in directory.rglob("*")
        if file.is_file() and file.suffix != ".safetensors" and file.name != "adapter_config.json"
    }


def relative_error(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    assert found.keys() == expected.keys()
    difference = sum((found[n].double() - expected[n].double()).square().sum() for n in found) ** 0.5
    norm = sum(expected[n].double().square().sum() for n in expected) ** 0.5
    return float(difference / norm) if norm else float(difference)


@sizes
@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:BloomForCausalLM does not let rzero do its attention")
def test_gradient_weights_and_metrics_are_those_of_one_process(found: Path, single, size: str, name: str) -> None:
    """Of every file that is saved: the optimiser's first moments are the gradients, its second their squares."""
    expected, metrics = single[name]
    low = CASES[name].dtype == torch.bfloat16
    saved = found / size / name
    mine, theirs = tensors(saved), tensors(expected)
    assert mine.keys() == theirs.keys()
    assert all(mine[key].dtype == theirs[key].dtype for key in mine)
    for kind in ("model.safetensors:", "learner.safetensors:exp_avg/", "learner.safetensors:exp_avg_sq/"):
        part, whole = ({n: t for n, t in side.items() if n.startswith(kind)} for side in (mine, theirs))
        assert relative_error(part, whole) < (0.1 if low else 1e-5), kind
    assert others(saved) == others(expected)
    for noted in notes(found, name, size):
        assert noted == notes(found, name, size)[0]
        for own, other in zip(noted, metrics, strict=True):
            assert own == pytest.approx(other, rel=0.05 if low else 2e-5, abs=0.01 if low else 1e-6)


@sizes
@pytest.mark.parametrize("name", ["tied", "bfloat16", "adapter"])
def test_weights_are_whole_in_compute_precision_as_saved(found: Path, size: str, name: str) -> None:
    weights = load_file(found / size / f"{name}.weights")
    assert {tensor.dtype for tensor in weights.values()} == {CASES[name].dtype}
    file = "adapter_model.safetensors" if name == "adapter" else "model.safetensors"
    saved = sorted(load_file(found / size / name / file).items())
    assert len(weights) == len(saved)
    names = sorted(weights, key=lambda name: name.replace(".default.", "."))
    assert all(torch.equal(weights[name], tensor) for name, (_, tensor) in zip(names, saved, strict=True))


@sizes
def test_a_save_opens_as_a_model(found: Path, size: str) -> None:
    opened = open_model(found / size / "bfloat16", device="cpu")
    assert opened.dtype == torch.bfloat16  # as its configuration says, not as the masters are
    for name, tensor in load_file(found / size / "bfloat16.weights").items():
        assert torch.equal(dict(opened.module.named_parameters())[name], tensor)


def test_no_process_keeps_more_than_its_part(found: Path, single) -> None:
    """Masters, both moments and the module's own weights, which are the masters: three numbers a weight, and one."""
    whole = sum(t.numel() for t in load_file(single["bfloat16"][0] / "masters" / "fp32.safetensors").values())
    for size, count in SIZES.items():
        kept = [numbers for numbers, _ in notes(found, "part", size)]
        assert sum(kept) == 4 * whole
        assert max(kept) < 1.05 * 4 * whole / count  # rows are not cut


def _continued(directory: Path, middle: Path) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    learner = make(GrpoLearner, RESUMED, directory / "base", seed=5)
    learner.restore(middle)
    metrics = [learner.step(random_groups(3, seed=seed)) for seed in (2, 3)]
    (directory / "continued").mkdir()
    learner.save(directory / "continued")
    return metrics, tensors(directory / "continued")


def test_resumed_by_as_many_is_uninterrupted_to_the_byte(found: Path) -> None:
    two = found / "two"
    assert {file.name for file in (two / "resumed").iterdir()} == {file.name for file in (two / "whole").iterdir()}
    for file in (two / "whole").iterdir():
        assert (two / "resumed" / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize(
    ("size", "name", "middle"), [("three", "from two", "two/middle"), ("two", "from single", "single")]
)
def test_resumed_by_another_number_is_as_resumed_by_one(
    found: Path, tmp_path: Path, size: str, name: str, middle: str
) -> None:
    metrics, expected = _continued(tmp_path, found / middle)
    assert relative_error(tensors(found / size / name), expected) < 1e-5
    for noted in notes(found, name, size):
        for own, other in zip(noted, metrics, strict=True):
            assert own == pytest.approx(other, rel=1e-3, abs=1e-5)


@sizes
def test_all_processes_fail_alike_and_go_on(found: Path, size: str) -> None:
    noted = notes(found, "errors", size)
    for rank, errors in enumerate(noted):
        assert errors["not finite"].startswith("EngineError: step 2, update 3: loss nan")
        assert "were given different batches" in errors["batches"]
        assert errors["no room"].startswith("EngineError: another process" if rank else "IsADirectoryError")
        assert errors["no save"].startswith("ModelError") and "learner.json cannot be read" in errors["no save"]
        assert "opened different models" in errors["models"]
        assert errors["unchanged"] and errors["then"] == 2


def test_a_lost_process_is_told_and_nobody_waits_for_it(found: Path) -> None:
    for rank in range(2):
        error, seconds = json.loads((found / "three" / f"lost.{rank}.json").read_text())
        assert "EngineError: another process of the sharded learner ended or did not answer in time" in error
        assert seconds < 60


def test_who_is_alone_is_told_so() -> None:
    port = free_port("127.0.0.1")
    with pytest.raises(EngineError, match=rf"process 1 of 2 could not join the learner's group at 127.0.0.1:{port} wi"):
        join(rank=1, world_size=2, address="127.0.0.1", port=port, device="cpu", timeout_s=1)
    with pytest.raises(EngineError, match="process 0 of 2 could not join"):
        join(rank=0, world_size=2, address="127.0.0.1", port=port, device="cpu", timeout_s=1)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(EngineError, match="in use"):
        join(rank=0, world_size=2, address="127.0.0.1", port=port, device="cpu", timeout_s=1)
    assert not torch.distributed.is_initialized()


def test_without_a_group_there_is_no_sharded_learner(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="needs a process group"):
        make(ShardedLearner, CASES["tied"], tmp_path)


@pytest.fixture
def alone() -> Iterator[None]:
    """A group of this process alone."""
    join(rank=0, world_size=1, address="127.0.0.1", port=free_port("127.0.0.1"), device="cpu", timeout_s=60)
    yield
    leave()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("name", ["clipped", "adapter"])
def test_a_group_of_one_learns_like_a_learner_of_one(tmp_path: Path, single, name: str) -> None:
    learner = make(ShardedLearner, CASES[name], tmp_path / "base")
    metrics = [learner.step(batch) for batch in CASES[name].batches]
    learner.save(tmp_path)
    expected, expected_metrics = single[name]
    saved = tensors(expected)
    found = {key: tensor for key, tensor in tensors(tmp_path).items() if key in saved}
    assert relative_error(found, saved) < 1e-5
    for own, other in zip(metrics, expected_metrics, strict=True):
        assert own == pytest.approx(other, rel=1e-4, abs=1e-6)


@pytest.mark.usefixtures("alone")
def test_weights_of_two_precisions_are_refused() -> None:
    model = tiny_policy(dtype=torch.bfloat16)
    model.module.get_decoder().norm.float()
    with pytest.raises(ConfigError, match=r"weights in bfloat16 and float32, .* set model.dtype=float32"):
        ShardedLearner(
            model,
            reference=None,
            options=GrpoConfig(kl_weight=0),
            learning_rate=1e-3,
            updates_per_step=1,
            temperature=1.0,
            max_new_tokens=8,
        )


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_estimate_bounds_what_a_pass_allocates(micro: Path, checkpointing: bool) -> None:
    """Against the peak that the profiler's account of all allocations gives, gathered layers included."""
    model = open_model(micro, dtype="bfloat16", device="cpu")
    for parameter in model.module.parameters():
        parameter.requires_grad_(True)
    passes = ShardedPasses(model, temperature=1.0)
    masters = ShardedMasters(model, device=model.device, ranks=Ranks(model.device))
    passes.checkpointing = checkpointing
    long = group(tuple(range(3, 40)), [tuple(range(40))] * 100, [0.0, 1.0] * 50)
    batch = passes.microbatch(weighted_rows([(long, [1.0] * 100)], normalization="token", max_new_tokens=40))
    need = passes.memory(masters, moments=False, checkpointing=checkpointing)
    with torch.profiler.profile(profile_memory=True) as profile, masters.gradients():
        passes.backward(batch, masters, lambda logprobs, rows: logprobs.sum())
    level = peak = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda event: event.start_ns()):  # pyright: ignore
        if event.name() == "[memory]":
            level += event.nbytes()
            peak = max(peak, level)
    assert 0.3 < peak / need.bytes_for(batch.input_ids.numel()) < 1
