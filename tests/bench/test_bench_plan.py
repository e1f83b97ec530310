"""Predictions held against a run that was made."""

from __future__ import annotations

from pathlib import Path

import pytest

import plan
import rzero
from rzero.config import Config, change
from rzero.costs.device import find_device


def test_a_run_is_compared_phase_by_phase(tiny_config: Config, tmp_path: Path) -> None:
    rzero.run(change(tiny_config, {"iterations": 1, "evaluate.data": ""}), tmp_path / "made")
    run = plan.read(tmp_path / "made")
    assert {phase: len(steps) for phase, steps in run.steps.items()} == {"train_challenger": 2, "train_solver": 2}
    assert 0 < run.lengths.answer <= run.config.solver.max_new_tokens and run.lengths.prompt > 1
    report = plan.compare([tmp_path / "made"], find_device("cpu"))
    assert len(report.rows) == len(report.ratios) == 4
    for name, ratio in report.ratios.items():
        measured = report.data[name]
        assert ratio == pytest.approx(measured["predicted_s"] / measured["measured_s"]) and ratio > 0
