"""One process of a sharded learner: python sharded_worker.py RANK DIRECTORY PORT_OF_TWO PORT_OF_THREE.

Processes 0 and 1 are a group first; then process 2 joins them. What they find lies in DIRECTORY/two and /three.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from sharded_cases import CASES, Case, make
from tiny_policy import group, random_groups

from rzero.errors import RzeroError
from rzero.grpo.process_group import join, leave
from rzero.grpo.sharded import ShardedLearner

RESUMED = replace(CASES["clipped"], updates=2)


def note(out: Path, name: str, found: Any) -> None:
    (out / f"{name}.{dist.get_rank()}.json").write_text(json.dumps(found))


def error_of(action: Callable[[], Any]) -> str:
    try:
        action()
    except (RzeroError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def learner_of(case: Case, out: Path, *, seed: int = 0) -> ShardedLearner:
    return make(ShardedLearner, case, out / f"base.{time.monotonic_ns()}", seed=seed)


def new_directory(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def compare(out: Path) -> None:
    for name, case in CASES.items():
        learner = make(ShardedLearner, case, out / f"{name}.base.{dist.get_rank()}")
        note(out, name, [learner.step(batch) for batch in case.batches])
        learner.save(new_directory(out / name))
        weights = {key: tensor.clone() for key, tensor in learner.weights()}
        if not dist.get_rank():
            save_file(weights, out / f"{name}.weights")


def keep_a_part(out: Path) -> None:
    learner = learner_of(CASES["bfloat16"], out)
    learner.step(random_groups(3))
    state = [value for entry in learner._optimizer.state.values() for value in entry.values()]
    own = [*learner._masters.by_name.values(), *state, *learner._model.module.parameters()]
    note(out, "part", [sum(getattr(t, "_local_tensor", t).numel() for t in own if t.dim()), learner.policy_version])


def resume(out: Path, middle: Path, name: str) -> None:
    learner = learner_of(RESUMED, out, seed=5)  # other weights, and a history of its own
    learner.step(random_groups(2, seed=7))
    learner.restore(middle)
    note(out, name, [learner.step(random_groups(3, seed=seed)) for seed in (2, 3)])
    learner.save(new_directory(out / name))


def save_in_the_middle(out: Path) -> None:
    learner = learner_of(RESUMED, out)
    for seed in range(4):
        if seed == 2:
            learner.save(new_directory(out / "middle"))
        learner.step(random_groups(3, seed=seed))
    learner.save(new_directory(out / "whole"))


def fail_together(out: Path) -> None:
    rank = dist.get_rank()
    learner = learner_of(CASES["clipped"], out)
    learner.step(random_groups(2))
    before = [tensor.clone() for _, tensor in learner.weights()]
    (out / "blocked" / "learner.safetensors").mkdir(parents=True, exist_ok=True)
    damaged = [group((4,), [(6,), (8,)], [1.0, float("nan")])]
    errors = {
        "not finite": error_of(lambda: learner.step(damaged)),
        "batches": error_of(lambda: learner.step(random_groups(2, seed=rank))),
        "no room": error_of(lambda: learner.save(out / "blocked")),
        "no save": error_of(lambda: learner.restore(out / "is" / "not" / "there")),
        "models": error_of(lambda: learner_of(CASES["clipped"], out, seed=rank)),
    }
    unchanged = all(torch.equal(a, b) for a, (_, b) in zip(before, learner.weights(), strict=True))
    note(out, "errors", errors | {"unchanged": unchanged, "then": learner.step(random_groups(2))["num_updates"]})


def lose_a_process(out: Path) -> None:
    learner = learner_of(CASES["clipped"], out)
    learner.step(random_groups(2))
    if dist.get_rank() == dist.get_world_size() - 1:
        os._exit(0)
    start = time.monotonic()
    error = error_of(lambda: learner.step(random_groups(2)))
    note(out, "lost", [error, time.monotonic() - start])


def main(rank: int, directory: Path, port_of_two: int, port_of_three: int) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "BloomForCausalLM does not let rzero do its attention")
    two, three = new_directory(directory / "two"), new_directory(directory / "three")
    place = {"address": "127.0.0.1", "device": "cpu", "timeout_s": 120}
    if rank < 2:
        join(rank=rank, world_size=2, port=port_of_two, **place)
        compare(two)
        keep_a_part(two)
        save_in_the_middle(two)
        resume(two, two / "middle", "resumed")
        resume(two, directory / "single", "from single")
        fail_together(two)
        leave()
    join(rank=rank, world_size=3, port=port_of_three, **place)
    compare(three)
    keep_a_part(three)
    resume(three, two / "middle", "from two")
    fail_together(three)
    lose_a_process(three)
    os._exit(0)  # a group that lost a process cannot be left in good order


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
