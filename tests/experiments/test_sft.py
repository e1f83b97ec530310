"""``rzero sft`` and ``rzero synergy`` on the micro model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from small_run import words

from rzero import cli
from rzero.errors import DataError
from rzero.experiments.sft import load_labelled
from rzero.models.checkpoint import check_directory

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from labelled_arithmetic import labelled

from rzero.domains.arithmetic import arithmetic, is_held_out


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "labelled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in labelled(60, seed=0)), encoding="utf-8")
    return path


def test_labelled_rows_are_true_distinct_and_not_of_the_test_set() -> None:
    rows = labelled(100, seed=1)
    assert len({row["question"] for row in rows}) == 100
    for row in rows:
        assert arithmetic.extract_answer(row["solution"]) == row["answer"]
        assert not is_held_out(row["question"])


def test_fine_tuning_lowers_the_loss_and_leaves_a_checkpoint(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["sft", "--model", "micro", "--data", str(data), "--out", str(tmp_path / "sft")]
    settings = {"solver.steps": 12, "solver.prompts_per_step": 16, "solver.learning_rate": 5e-4}
    assert cli.main([*command, *words(**settings)]) == 0
    checkpoint = Path(capsys.readouterr().out.strip())
    check_directory(checkpoint)
    assert not (checkpoint / "learner.json").exists()
    losses = [json.loads(line)["nll"] for line in (tmp_path / "sft" / "metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 12
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    written = (checkpoint / "model.safetensors").stat().st_mtime_ns
    assert cli.main([*command, *words(**settings)]) == 0
    assert (checkpoint / "model.safetensors").stat().st_mtime_ns == written
    assert cli.main([*command, *words(**{**settings, "solver.steps": 13})]) == 2
    assert "was made with other options" in capsys.readouterr().err


@pytest.mark.slow
def test_synergy_compares_four_models(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["synergy", "--data", str(data), "--out", str(tmp_path), "--seeds", "0,1", "--sft-steps", "2"]
    assert cli.main([*command, *words()]) == 0
    shown = capsys.readouterr().out
    for row in ("| base |", "| rzero |", "| base, sft |", "| rzero, sft |", "minus base, sft, paired |"):
        assert row in shown
    found = json.loads((tmp_path / "synergy.json").read_text())
    assert set(found) == {"0", "1"}
    assert set(found["0"]) == {"base", "rzero", "base, sft", "rzero, sft"}
    assert found["0"]["base"] == found["1"]["base"] or found["0"]["base"]["arithmetic_test"]["greedy"]
    metrics = [tmp_path / "seed_0" / name / "metrics.jsonl" for name in ("base_sft", "rzero_sft")]
    assert [len(path.read_text().splitlines()) for path in metrics] == [2, 2]


def test_rows_that_cannot_be_used_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "1+1", "answer": 0}\n')
    assert load_labelled(path)[0].completion == "\\boxed{0}"
    path.write_text('{"question": "1+1", "answer": 2}\n{"question": "1+2"}\n')
    with pytest.raises(DataError, match=r"rows\.jsonl:2: a labelled row needs"):
        load_labelled(path)
    path.write_text("")
    with pytest.raises(DataError, match="holds no rows"):
        load_labelled(path)
    with pytest.raises(DataError, match="cannot be read"):
        load_labelled(tmp_path / "nowhere.jsonl")
