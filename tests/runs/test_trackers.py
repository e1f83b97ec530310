"""What each tracker wrote, read back from its files: TensorBoard after a real run, the others after a start and a
resumption.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from made_run import make_run
from rzero import config
from rzero.errors import ConfigError, MissingExtraError
from rzero.evolve.loop import run
from rzero.runs.atomic import read_jsonl
from rzero.runs.trackers.base import Guarded
from tiny_run import TINY

SMALL = TINY | {"iterations": 1, "evaluate.limit": 5, "evaluate.num_samples": 0}
REWARD = "train_solver/mean_reward"

# In a process of its own: these packages start threads and services, and read the environment when imported.
LOG_TWO = """
import sys
from pathlib import Path
from rzero.runs.store import RunDirectory
from rzero.runs.trackers.opening import open_tracker

root, first = Path(sys.argv[1]), int(sys.argv[2])
config, run = RunDirectory.recorded_config(root), RunDirectory(root)
with open_tracker(config, run, last_step=first - 1, warn=sys.exit) as tracker:
    for step in (first, first + 1):
        tracker.log({"train_solver/mean_reward": step / 4, "train_solver/kl": 0.0}, step=step)
"""


def log_two(root: Path, first: int, **environment: str) -> None:
    command = [sys.executable, "-c", LOG_TWO, str(root), str(first)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_tensorboard_has_every_number_once_after_a_resumption(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    root = tmp_path / "run"
    chosen = config.load("micro", SMALL | {"tracker": "tensorboard"})
    run(chosen, root)
    run(config.change(chosen, {"iterations": 2}), root)
    events = EventAccumulator(str(root / "trackers" / "tensorboard")).Reload()
    rows = [row for row in read_jsonl(root / "metrics.jsonl") if row["phase"] == "train_solver"]
    found = [(event.step, event.value) for event in events.Scalars(REWARD)]
    assert [step for step, _ in found] == [3, 4, 7, 8]  # after two Challenger steps in each iteration
    assert [value for _, value in found] == pytest.approx([row["mean_reward"] for row in rows])
    assert [event.step for event in events.Scalars("evaluate/arithmetic_test/greedy")] == [0, 4, 8]
    assert [event.step for event in events.Scalars("labels/kept/label_accuracy")] == [4, 8]


def test_steps_that_are_done_again_are_not_twice_in_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    root = make_run(tmp_path / "run", options={"tracker": "tensorboard"})
    log_two(root, 1)
    log_two(root, 2)
    events = EventAccumulator(str(root / "trackers" / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars(REWARD)] == [(1, 0.25), (2, 0.5), (3, 0.75)]


def test_wandb_writes_offline_runs_of_one_identity(tmp_path: Path) -> None:
    root = make_run(tmp_path / "a run", options={"tracker": "wandb"})
    log_two(root, 1, WANDB_MODE="offline")
    log_two(root, 3, WANDB_MODE="offline")
    files = sorted((root / "trackers" / "wandb").rglob("*.wandb"), key=lambda path: path.stat().st_mtime)
    assert [path.name for path in files] == ["run-a-run-2026-01-02T03-04-05Z.wandb"] * 2
    histories = [list(wandb_history(path)) for path in files]
    assert [[(row["step"], row[REWARD]) for row in history] for history in histories] == [
        [(1, 0.25), (2, 0.5)],
        [(3, 0.75), (4, 1.0)],
    ]


def test_trackio_takes_a_run_up_again(tmp_path: Path) -> None:
    root = make_run(tmp_path / "run", options={"tracker": "trackio"})
    log_two(root, 1, TRACKIO_DIR=str(tmp_path / "trackio"))
    log_two(root, 3, TRACKIO_DIR=str(tmp_path / "trackio"))
    (file,) = (tmp_path / "trackio").glob("rzero*.db")
    with sqlite3.connect(file) as database:
        rows = database.execute("select run_name, step, metrics from metrics order by step").fetchall()
    database.close()
    name = "run-2026-01-02T03-04-05Z"
    assert [(run_name, step, json.loads(text)[REWARD]) for run_name, step, text in rows] == [
        (name, step, step / 4) for step in (1, 2, 3, 4)
    ]


def wandb_history(path: Path) -> Iterator[dict[str, Any]]:
    """The history rows of a ``.wandb`` file: LevelDB's log format behind a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(data):
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if -place % 32768 < 7:  # too little is left of a block for a header
            place += -place % 32768
        if kind in (1, 4):  # whole, or the last piece
            record, whole = Record.FromString(whole), b""
            if record.history.item:
                items = record.history.item
                yield {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


class Broken:
    """Fails as a service that is gone does."""

    def log(self, values: Any, *, step: int) -> None:
        raise ConnectionError("service unavailable")

    def close(self) -> None:
        raise ConnectionError("service unavailable")


def test_a_tracker_that_fails_is_one_warning() -> None:
    warnings: list[str] = []
    tracker = Guarded(Broken(), warn=warnings.append)
    for step in range(3):
        tracker.log({"loss": 1.0}, step=step)
    tracker.close()
    assert len(warnings) == 1 and "service unavailable" in warnings[0] and "metrics.jsonl" in warnings[0]


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio"])
def test_a_tracker_that_is_not_installed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before anything is written, with the command that installs it."""
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf'pip install "rzero\[{name}\]"'):
        run(config.load("micro", SMALL | {"tracker": name}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match="tensorboard"):
        config.load("micro", {"tracker": "mlflow"})
