"""Engines in processes of their own, here on the bundled micro model; and the GPU script's dry run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.options import ROOT, Options
from harness.peers import peer, started
from harness.worker import BENCH, EngineFailed, Worker
from rate import arithmetic_conversations


@pytest.fixture
def options(micro: Path) -> Options:
    return Options(quick=True, threads=1, model=micro, json=None)


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker("no_such_engine", python=Path(sys.executable), environment={})
    yield worker
    worker.close()


def test_our_engine_samples_and_updates_in_its_own_process(options: Options) -> None:
    chats = arithmetic_conversations(2)
    with started(("ours",), options) as (workers, notes):
        worker = workers["ours"]
        shape = worker.call("load", model=str(options.model), threads=1, dtype="float32").result
        sampled = worker.call("sample", conversations=chats, n=3, max_new_tokens=5, seed=0, endless=True)
        worker.call("start_learner", learning_rate=1e-4, max_new_tokens=24)
        groups = worker.call("rollouts", conversations=chats, n=4, max_new_tokens=24, seed=0).result
        update = worker.call("update", groups=groups)
        step = worker.call("step", conversations=chats, group_size=4, max_new_tokens=24, seed=1).result
        with pytest.raises(EngineFailed, match="unexpected keyword"):
            worker.call("sample", nonsense=1)
        again = worker.call("sample", conversations=chats, n=1, max_new_tokens=2, seed=0)
    assert shape["layers"] > 0 and notes == ["rzero: bf16, defaults"]
    assert sampled.result["tokens"] == 2 * 3 * 5
    assert 0 < again.result["tokens"] <= 4, "an error leaves the engine in service"
    assert len(groups) == 2 and all(len(group["completions"]) == 4 for group in groups)
    assert update.result["grad_norm"] > 0 and 0 < update.result["seconds"] <= update.seconds
    assert step["tokens"] > 0
    assert update.peak_bytes >= sampled.peak_bytes > 50 * 2**20


def test_an_engine_that_dies_is_told_with_its_last_words(broken: Worker) -> None:
    with pytest.raises(EngineFailed, match=r"(?s)no_such_engine.*No module named"):
        broken.call("load")


def test_a_peer_that_is_not_installed_is_left_out(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.peers.TRL_HOME", ROOT / "nowhere")
    with started(("trl",), options) as (workers, notes):
        assert workers == {}
    assert notes == ["TRL: left out, not installed (`make bench` does)"]


def test_every_engine_has_a_module_and_settings() -> None:
    for name in ("ours", "transformers", "vllm", "trl"):
        found = peer(name, threads=2)
        assert (BENCH / "engines" / f"{found.module}.py").is_file()
        assert "bf16" in found.settings and found.environment["OMP_NUM_THREADS"] == "2"
    with pytest.raises(ValueError, match="no engine"):
        peer("other", threads=1)


@pytest.mark.slow
def test_the_gpu_script_runs_on_the_cpu_with_a_tiny_model(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    command = [sys.executable, str(BENCH / "gpu.py"), "--dry-run", "--json", str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert path.exists()
    last = done.stdout.splitlines()[-1]
    assert last.startswith("gpu: ") and "update MFU" in last and "iteration hours" in last
    assert "signs of the largest gradients that agree" in done.stdout
