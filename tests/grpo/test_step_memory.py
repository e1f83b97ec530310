from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_grpo_learner import make_learner
from tiny_policy import group, random_groups, tiny_policy

from rzero.errors import EngineError
from rzero.grpo.masters import MasterWeights
from rzero.grpo.memory import StepMemory, explained_shortage, kept_bytes, plan_checkpointing
from rzero.grpo.passes import Passes
from rzero.models.open import open_model

LEAN, FAST = StepMemory(fixed=1000, per_token=1), StepMemory(fixed=1000, per_token=10)
BOTH = {False: FAST, True: LEAN}


def test_layers_are_checkpointed_only_where_memory_is_short() -> None:
    def plan(available: int, needs=BOTH) -> bool:
        return plan_checkpointing(needs, num_tokens=100, longest=50, available=available)

    assert not plan(2600)  # 2,000 of 2,600 bytes
    assert plan(2100)  # it would fit, but barely
    assert plan(1100)
    assert plan(10_000, {True: LEAN})
    assert not plan(2001, {False: FAST})


@pytest.mark.parametrize(
    ("needs", "available", "longest", "message"),
    [
        (BOTH, 1090, 50, r"100 tokens in one pass.*set grpo.tokens_per_microbatch=54 or lower$"),
        ({False: FAST}, 1900, 50, r"set grpo.tokens_per_microbatch=54 or lower, or set grpo.checkpointing=on$"),
        (BOTH, 1030, 50, r"18 tokens would fit.*longest rollout .* has 50 .*lower max_new_tokens.*=18$"),
        (BOTH, 500, 50, r"gradients and optimiser alone do not fit: take a smaller model"),
    ],
)
def test_what_cannot_fit_is_refused_with_what_would(needs, available: int, longest: int, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        plan_checkpointing(needs, num_tokens=100, longest=longest, available=available)


def test_a_refused_batch_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = make_learner(tiny_policy(dtype=torch.bfloat16))
    learner.step(random_groups(2))
    before = [tensor.clone() for _, tensor in learner.weights()]
    monkeypatch.setattr("rzero.grpo.learner.available_memory", lambda device: 100_000)
    with pytest.raises(EngineError, match="are available"):
        learner.step(random_groups(2))
    assert all(torch.equal(a, b) for a, (_, b) in zip(before, learner.weights(), strict=True))
    assert learner.policy_version == 1
    monkeypatch.undo()
    assert learner.step(random_groups(2))["num_updates"] == 1


def test_kept_bytes_are_those_of_the_graph() -> None:
    weight = torch.randn(64, 64, requires_grad=True)
    x = torch.randn(10, 64)
    # The product keeps x (and the weight, which is left out); sin keeps its input.
    assert kept_bytes(lambda: (x @ weight).sin(), besides={weight.data_ptr()}) == 2 * x.nbytes


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_estimate_bounds_what_a_pass_allocates(micro: Path, checkpointing: bool) -> None:
    """Against the peak that the profiler's account of all allocations gives."""
    model = open_model(micro, dtype="bfloat16", device="cpu")
    masters = MasterWeights(model.trained)
    passes = Passes(model, temperature=1.0, checkpointing=checkpointing)
    long = group(tuple(range(3, 40)), [tuple(range(40))] * 100, [0.0, 1.0] * 50)
    (batch,) = make_learner(model)._microbatches([(long, [1.0] * 100)])
    need = passes.memory(masters, moments=False, checkpointing=checkpointing)
    with torch.profiler.profile(profile_memory=True) as profile, masters.gradients():
        passes.backward(batch, masters, lambda logprobs, rows: logprobs.sum())
    level = peak = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda event: event.start_ns()):  # pyright: ignore
        if event.name() == "[memory]":
            level += event.nbytes()
            peak = max(peak, level)
    assert 0.4 < peak / need.bytes_for(batch.input_ids.numel()) < 1


def test_a_failed_allocation_says_what_to_lower() -> None:
    with (
        pytest.raises(EngineError, match=r"300 tokens in one pass.*set grpo.tokens_per_microbatch=150 or lower"),
        explained_shortage(300, longest=50, checkpointing=True),
    ):
        torch.empty(1 << 60)
    with pytest.raises(RuntimeError, match="something else"), explained_shortage(1, longest=1, checkpointing=True):
        raise RuntimeError("something else")


LIMITED = """
import re, resource, sys, torch
torch.set_num_threads(1)
from tiny_policy import group, tiny_policy
from test_grpo_learner import make_learner
from rzero.errors import EngineError
from rzero.grpo import learner as module

learner = make_learner(tiny_policy(), tokens_per_microbatch=1_000_000)
learner.step([group((3, 4), [(5, 6), (7, 8)], [0.0, 1.0])])
big = [group((3, 4, 5), [(9,) * 120, (8,) * 120], [0.0, 1.0])] * 500
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (300 << 20), resource.RLIM_INFINITY))
if sys.argv[1] == "blind":
    module.available_memory = lambda device: 1 << 50
try:
    learner.step(big)
except EngineError as error:
    print(error)
    fits = int(re.search(r"grpo.tokens_per_microbatch=([0-9]+)", str(error))[1])
limit = fits if sys.argv[1] == "estimate" else 4096
learner._options = learner._options.model_copy(update={"tokens_per_microbatch": limit})
print("then", learner.step(big)["num_updates"])
"""


@pytest.mark.parametrize(
    ("mode", "said"), [("estimate", "are available; set"), ("blind", "memory ran out in an update")]
)
def test_a_process_that_is_not_given_the_memory(mode: str, said: str) -> None:
    """Under a real limit: refused by the estimate, or, where that knows nothing, by the allocator; and it goes on."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, mode], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    message, then = done.stdout.splitlines()
    assert said in message
    assert then == "then 1"
