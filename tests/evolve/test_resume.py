"""Kill -9 anywhere, run the same command again: the same bytes, and no finished step is done twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from rzero.config import Config
from rzero.runs.state import State
from rzero.runs.store import RunDirectory
from rzero.types import Phase
from tiny_run import TINY

HERE = Path(__file__).parent

# Where to kill each attempt, in the order in which a run of two iterations gets there, and the phase that dies.
# Where the phase goes on to the next within milliseconds, both may be the one that dies.
KILLS = [
    ({"KILL_AT_CALL": "extract_answer:5"}, {Phase.EVALUATE}),
    ({"KILL_AT_CALL": "parse_question:3"}, {Phase.TRAIN_CHALLENGER}),  # in the middle of step 1
    ({"KILL_AT_PATH": "iter_01/train_challenger/resumable/.tmp-step_0002"}, {Phase.TRAIN_CHALLENGER}),  # in its save
    ({"KILL_AT_CALL": "parse_question:47"}, {Phase.GENERATE_QUESTIONS}),  # 16 of step 2 again, then in part 2
    ({"KILL_AT_CALL": "solver_prompt:30"}, {Phase.VOTE}),  # in part 2
    ({"KILL_AT_PATH": "iter_01/build_curriculum/*.json"}, {Phase.BUILD_CURRICULUM, Phase.TRAIN_SOLVER}),
    ({"KILL_AT_CALL": "extract_answer:40"}, {Phase.TRAIN_SOLVER}),  # in the middle of step 2
    ({"KILL_AT_PATH": "iter_01/train_solver/steps/step_0002"}, {Phase.TRAIN_SOLVER}),  # before its save
    ({"KILL_AT_PATH": "iter_01/train_solver/checkpoint"}, {Phase.TRAIN_SOLVER, Phase.EVALUATE}),
    ({"KILL_AT_PATH": "iter_02/train_challenger/steps/step_0001"}, {Phase.TRAIN_CHALLENGER}),
]
ARTEFACTS = [
    name
    for iteration in ("iter_01", "iter_02")
    for name in (
        f"{iteration}/train_challenger/steps/step_0002/rollouts.jsonl",
        f"{iteration}/train_challenger/checkpoint/model.safetensors",
        f"{iteration}/generate_questions/questions.jsonl",
        f"{iteration}/vote/votes.jsonl",
        f"{iteration}/build_curriculum/curriculum.jsonl",
        f"{iteration}/train_solver/steps/step_0002/rollouts.jsonl",
        f"{iteration}/train_solver/checkpoint/model.safetensors",
        f"{iteration}/evaluate/samples_arithmetic_test.jsonl",
    )
]


def test_what_a_kill_may_leave_behind(tmp_path: Path, tiny_config: Config) -> None:
    """Half-written files inside half-written directories, a run that hardly began, saves of a finished phase."""

    def take_up() -> RunDirectory:
        with RunDirectory.open(tmp_path, tiny_config, model_fingerprint="f", base=Path("b"), data={}) as run:
            return run

    (tmp_path / ".tmp-run.json").write_text("{")
    run = take_up()
    half = run.phase(1, Phase.TRAIN_SOLVER).step(1).with_name(".tmp-step_0001")
    half.mkdir(parents=True)
    (half / ".tmp-rollouts.jsonl").write_text("{")
    assert take_up() and not half.exists()
    run.state.complete(1, Phase.TRAIN_SOLVER)
    saved = run.phase(1, Phase.TRAIN_SOLVER).resumable(2)
    saved.mkdir(parents=True)
    assert take_up() and not saved.exists()


def start(
    out: Path | str, changes: Mapping[str, object] | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    options = {**TINY, **(changes or {}), "domain": "killer_domain:domain"}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return subprocess.run(
        [sys.executable, "-m", "rzero.cli", "run", "micro", "--out", str(out), *words],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
            "KILL_ROOT": str(out),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def finished_steps(out: Path) -> dict[Path, int]:
    """Folders of steps that ``state.json`` vouches for, with the time they were written."""
    state = State.load(out / "state.json")
    found: dict[Path, int] = {}
    for path in out.glob("iter_*/*/steps/step_*"):
        iteration, phase = int(path.parts[-4].removeprefix("iter_")), Phase(path.parts[-3])
        done = (iteration, phase) in state.completed
        if done or int(path.name.removeprefix("step_")) <= state.done_in(iteration, phase):
            found[path.relative_to(out)] = path.stat().st_mtime_ns
    return found


@pytest.mark.slow
def test_killed_and_resumed_ends_in_the_same_bytes(tmp_path: Path) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    done = start(straight)
    assert done.returncode == 0, done.stderr
    for moment, phases in KILLS:
        killed = start(broken, **moment)
        assert killed.returncode == -9, f"{moment} did not kill: {killed.returncode}\n{killed.stderr}"
        state = State.load(broken / "state.json")
        due = next(e for e in schedule() if e not in state.completed)
        assert due[1] in phases, f"{moment} killed {due}"
        before = finished_steps(broken)
        after = {path: written for path, written in finished_steps(broken).items() if path in before}
        assert after == before
    before = finished_steps(broken)
    resumed = start(broken)
    assert resumed.returncode == 0, resumed.stderr
    after = finished_steps(broken)
    assert {path: after[path] for path in before} == before, "a finished step was done again"
    for name in ARTEFACTS:
        assert (straight / name).read_bytes() == (broken / name).read_bytes(), name
    assert not list(broken.rglob(".tmp-*")) and not list(broken.glob("iter_*/*/resumable"))


def schedule() -> list[tuple[int, Phase]]:
    return [(0, Phase.EVALUATE), *[(iteration, phase) for iteration in (1, 2) for phase in Phase]]
