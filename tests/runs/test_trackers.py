"""Real runs of the micro model with each tracker, read back with the tracker's own tools."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rzero import config
from rzero.errors import ConfigError, MissingExtraError
from rzero.evolve.loop import run
from rzero.runs.atomic import read_jsonl
from rzero.runs.trackers.base import Guarded
from tiny_run import TINY

SMALL = TINY | {"iterations": 1, "evaluate.limit": 5}
NUM_STEPS = TINY["challenger.steps"] + TINY["solver.steps"]


def rewards(root: Path) -> list[tuple[int, float]]:
    """(place, mean reward) of each Solver step, from ``metrics.jsonl``."""
    rows = [row for row in read_jsonl(root / "metrics.jsonl") if row["phase"] == "train_solver"]
    return [(TINY["challenger.steps"] + row["step"], row["mean_reward"]) for row in rows]


def run_elsewhere(root: Path, tracker: str, **environment: str) -> None:
    """In a process of its own: these packages start threads and services, and read the environment when imported."""
    options = [f"--{name}={value}" for name, value in SMALL.items()]
    command = [sys.executable, "-m", "rzero.cli", "run", "micro", "--out", str(root), f"--tracker={tracker}", *options]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr


@pytest.mark.slow
def test_tensorboard_has_every_number_once_after_a_resumption(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    root = tmp_path / "run"
    chosen = config.load("micro", SMALL | {"tracker": "tensorboard"})
    run(chosen, root)
    run(config.change(chosen, {"iterations": 2}), root)
    events = EventAccumulator(str(root / "trackers" / "tensorboard")).Reload()
    found = [(event.step, event.value) for event in events.Scalars("train_solver/mean_reward")]
    expected = rewards(root)
    expected[2:] = [(place + NUM_STEPS, value) for place, value in expected[2:]]
    assert [step for step, _ in found] == [step for step, _ in expected] == [3, 4, 7, 8]
    assert [value for _, value in found] == pytest.approx([value for _, value in expected])
    accuracy = [event.step for event in events.Scalars("evaluate/arithmetic_test/greedy")]
    assert accuracy == [0, NUM_STEPS, 2 * NUM_STEPS]


@pytest.mark.slow
def test_wandb_writes_an_offline_run(tmp_path: Path) -> None:
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    root = tmp_path / "run"
    run_elsewhere(root, "wandb", WANDB_MODE="offline")
    (file,) = (root / "trackers" / "wandb").rglob("*.wandb")
    store = DataStore()
    store.open_for_scan(str(file))
    found = []
    while (data := store.scan_data()) is not None:
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        values = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        if "train_solver/mean_reward" in values:
            found.append((values["step"], values["train_solver/mean_reward"]))
    assert found == rewards(root)


@pytest.mark.slow
def test_trackio_has_every_number(tmp_path: Path) -> None:
    root = tmp_path / "run"
    run_elsewhere(root, "trackio", TRACKIO_DIR=str(tmp_path / "trackio"))
    (file,) = (tmp_path / "trackio").glob("rzero*.db")
    with sqlite3.connect(file) as database:
        rows = database.execute("select step, metrics from metrics order by step").fetchall()
    found = [(step, json.loads(text)) for step, text in rows]
    assert [
        (step, values["train_solver/mean_reward"]) for step, values in found if "train_solver/mean_reward" in values
    ] == rewards(root)


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
