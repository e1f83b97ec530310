"""``rzero labels``: calibration, and each iteration's questions answered by each Solver."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_run import SMALL

import rzero
from rzero import cli
from rzero.config import Config, change, load
from rzero.domains.arithmetic import arithmetic
from rzero.experiments.label_tables import answerable, judged
from rzero.grading import Grader
from rzero.runs.store import RunDirectory

VOTES = [
    {"question": "2+3", "pseudo_label": "5", "num_agree": 3, "num_votes": 4},
    {"question": "2+4", "pseudo_label": "7", "num_agree": 3, "num_votes": 4},
    {"question": "2+", "pseudo_label": "5", "num_agree": 1, "num_votes": 4},
    {"question": "3+3", "pseudo_label": None, "num_agree": 0, "num_votes": 4},
]


def test_labels_are_true_if_the_oracle_says_so() -> None:
    with Grader() as grader:
        assert judged(VOTES, arithmetic.oracle, grader) == [(3, 4, True), (3, 4, False), (1, 4, False)]


def test_the_sample_is_of_answerable_questions_and_the_same_each_time() -> None:
    pairs = answerable(VOTES, arithmetic.oracle, limit=2, seed=1)
    assert pairs == answerable(VOTES, arithmetic.oracle, limit=2, seed=1)
    assert len(pairs) == 2
    assert set(answerable(VOTES, arithmetic.oracle, limit=9, seed=1)) == {("2+3", "5"), ("2+4", "6"), ("3+3", "6")}


@pytest.mark.slow
def test_the_tables_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rzero.run(load("micro", {**SMALL, "evaluate.data": ""}), tmp_path)
    assert cli.main(["labels", str(tmp_path), "--limit", "10"]) == 0
    shown = capsys.readouterr().out
    assert "| questions of | base | Solver 1 | n |" in shown
    assert "| mean distance to p̂ |" in shown
    found = json.loads((tmp_path / "labels" / "labels.json").read_text())
    assert found["two_way"]["1"]["0"]["total"] == 10
    figures = json.loads((tmp_path / "iter_01" / "labels.json").read_text())["all"]
    counted = found["calibration"]["1"]
    assert cli.main(["labels", str(tmp_path), "--judge", "http://127.0.0.1:9/v1", "--judge-model", "x"]) == 1
    assert "judge http://127.0.0.1:9/v1/chat/completions cannot be used" in capsys.readouterr().err
    right = sum(level["label_accuracy"]["right"] for level in counted)
    assert right / sum(level["label_accuracy"]["total"] for level in counted) == figures["label_accuracy"]


def test_a_domain_without_oracle_is_refused(
    tmp_path: Path, tiny_config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["labels", str(tmp_path)]) == 2
    assert "holds no rzero run" in capsys.readouterr().err
    config = change(tiny_config, {"domain": "grade_school", "model.path": "micro"})
    with RunDirectory.open(tmp_path, config, model_fingerprint="f", base=Path("b"), data={}):
        pass
    assert cli.main(["labels", str(tmp_path)]) == 2
    assert "has no oracle" in capsys.readouterr().err
    assert cli.main(["labels", str(tmp_path), "--domain", "arithmetic"]) == 2
    assert "has no finished vote" in capsys.readouterr().err
