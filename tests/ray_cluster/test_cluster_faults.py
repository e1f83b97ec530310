"""Processes and nodes that are killed in the middle of a run, which ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import MARK, finish, pids, start

from rzero.runs.atomic import read_json, read_jsonl
from tiny_run import TINY

SAMPLER_KILLS, NODE_KILLS, LEARNER_KILLS = 20, 5, 2
ONE_ITERATION = {"iterations": 1, "evaluate__limit": 5}
STEPS = [f"train_{role}/steps/step_000{step}/rollouts.jsonl" for role in ("challenger", "solver") for step in (1, 2)]
ARTEFACTS = [
    *STEPS,
    "train_challenger/checkpoint/model.safetensors",
    "generate_questions/questions.jsonl",
    "vote/votes.jsonl",
    "build_curriculum/curriculum.jsonl",
    "train_solver/checkpoint/model.safetensors",
    "evaluate/samples_arithmetic_test.jsonl",
]


def test_samplers_and_nodes_that_die(tmp_path: Path, nodes: Any) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    finish(start(straight, iterations=4, engine__ray_address=nodes.address), straight)
    run = start(broken, iterations=4, engine__ray_address=nodes.address)
    rng = random.Random(0)
    kinds = ["sampler"] * SAMPLER_KILLS + ["node"] * NODE_KILLS
    rng.shuffle(kinds)
    wait((broken / "iter_00" / "summary.json").exists)
    while kinds and run.poll() is None:
        wait(lambda: pids("SamplerHost.call", nodes.mark) or run.poll() is not None)
        time.sleep(rng.uniform(0.0, 5.0))  # a new process needs seconds; a batch that loses ten would end the run
        if kinds[-1] == "node":
            nodes.replace(rng.randrange(2))
            kinds.pop()
        elif working := pids("SamplerHost", nodes.mark):
            os.kill(rng.choice(working), signal.SIGKILL)
            kinds.pop()
    finish(run, broken)
    assert not kinds, "the run was over too soon for the test to mean something"
    for iteration in ("iter_01", "iter_02", "iter_03", "iter_04"):
        check_counts(broken / iteration)
        same(straight / iteration, broken / iteration)


def test_a_learner_that_dies(tmp_path: Path, nodes: Any) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    changes = {**ONE_ITERATION, "engine__ray_address": nodes.address}
    finish(start(straight, **changes), straight)
    run = start(broken, **changes)
    for step in ("train_challenger/steps/step_0001", "train_solver/resumable/step_0001")[:LEARNER_KILLS]:
        wait((broken / "iter_01" / step).exists)
        (learner,) = pids("LearnerHost", nodes.mark)
        os.kill(learner, signal.SIGKILL)
    finish(run, broken)
    log = (broken / "logs" / "attempt_01.log").read_text()
    assert log.count("learner 1 of 1 is gone") == LEARNER_KILLS and "going on from step 1 of train_solver" in log
    rows = read_jsonl(broken / "metrics.jsonl")
    assert [(row["phase"], row["step"]) for row in rows] == [
        (phase, step) for phase in ("train_challenger", "train_solver") for step in (1, 2)
    ]
    same(straight / "iter_01", broken / "iter_01")


def test_a_driver_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a Ray of its own: nothing of it is left, and the same command goes on."""
    pytest.importorskip("ray")
    monkeypatch.setenv(MARK, tmp_path.name)
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    changes = {**ONE_ITERATION, "engine__num_samplers": 1}
    finish(start(straight, **changes), straight)
    run = start(broken, **changes)
    wait((broken / "iter_01/train_challenger/resumable/step_0001").exists)
    assert pids("SamplerHost", tmp_path.name) and pids("LearnerHost", tmp_path.name)
    run.kill()
    run.wait()
    wait(lambda: not pids("", tmp_path.name))
    finish(start(broken, **changes), broken)
    assert read_json(broken / "state.json")["attempt"] == 2
    same(straight / "iter_01", broken / "iter_01")


def wait(ready: Callable[[], object], limit_s: float = 120.0) -> None:
    deadline = time.monotonic() + limit_s
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def same(straight: Path, broken: Path) -> None:
    for name in ARTEFACTS:
        assert (straight / name).read_bytes() == (broken / name).read_bytes(), name


def check_counts(iteration: Path) -> None:
    pool = read_json(iteration / "generate_questions/statistics.json")
    questions = read_jsonl(iteration / "generate_questions/questions.jsonl")
    votes = read_jsonl(iteration / "vote/votes.jsonl")
    assert pool["num_sampled"] == TINY["generate.num_questions"]
    assert pool["num_distinct"] == len(questions) == len(votes)
    assert all(row["num_votes"] == len(row["votes"]) == TINY["vote.num_votes"] for row in votes)
    for role, rollouts in (("challenger", 16), ("solver", 36)):
        for step in (1, 2):
            with contextlib.suppress(FileNotFoundError):
                assert len(read_jsonl(iteration / f"train_{role}/steps/step_000{step}/rollouts.jsonl")) == rollouts
