"""``rzero eval`` on the micro model: one model, a whole run, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_run import SMALL

import rzero
from rzero import cli
from rzero.config import load
from rzero.engines.embedded import EmbeddedSampler

pytest.importorskip("lm_eval")

SHORT = ["--evaluate.max_new_tokens", "48", "--engine.threads", "1", "--progress", "none", "--domain", "arithmetic"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    rows = [{"id": str(n), "question": f"{n}+{n}", "answer": str(2 * n)} for n in range(10, 22)]
    for name in ("addsub", "amc23"):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"question": "1+1"}]))
    return folder


def summary(out: Path) -> dict[str, dict[str, dict[str, list[float]]]]:
    return {name: model["tasks"] for name, model in json.loads((out / "summary.json").read_text())["models"].items()}


def test_a_model_twice_gives_the_same_numbers(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "--model", "micro", "--tasks", "addsub,amc23", "--data", str(data), "--limit", "10"]
    for name in ("a", "b"):
        assert cli.main([*words, "--out", str(tmp_path / name), *SHORT, "--evaluate.num_samples", "4"]) == 0
    assert summary(tmp_path / "a") == summary(tmp_path / "b")
    tasks = summary(tmp_path / "a")["micro"]
    assert list(tasks) == ["addsub", "addsub_sampled", "amc23", "amc23_sampled"]
    value, low, high = tasks["addsub_sampled"]["mean@4"]
    assert low <= value <= high
    assert value > 0.3  # the micro model adds two-digit numbers when it works step by step
    # The same questions under another name: greedy answers are the same, sampled ones have other random numbers.
    assert tasks["addsub"]["accuracy"] == tasks["amc23"]["accuracy"]
    shown = capsys.readouterr().out
    assert "addsub (n=10, 1 rows skipped)" in shown
    assert "mean@4" in shown


def test_a_run_has_a_column_for_each_solver(data: Path, tmp_path: Path) -> None:
    rzero.run(load("micro", {**SMALL, "evaluate.data": ""}), tmp_path / "run")
    words = ["eval", "--run", str(tmp_path / "run"), "--tasks", "addsub", "--data", str(data)]
    assert cli.main([*words, "--out", str(tmp_path / "out")]) == 0
    assert list(summary(tmp_path / "out")) == ["base", "iteration 1"]
    assert len(list((tmp_path / "out").glob("*/results_*.json"))) == 2


def test_an_interrupted_evaluation_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["eval", "--model", "micro", "--tasks", "addsub", "--data", str(data), *SHORT]
    words += ["--evaluate.num_samples", "4", "--engine.max_rows", "8"]
    assert cli.main([*words, "--out", str(tmp_path / "whole")]) == 0
    calls: list[int] = []
    generate = EmbeddedSampler.generate

    def interrupted(self: EmbeddedSampler, prompts: Any, params: Any, **hooks: Any) -> Any:
        calls.append(len(prompts) * params.n)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return generate(self, prompts, params, **hooks)

    monkeypatch.setattr(EmbeddedSampler, "generate", interrupted)
    assert cli.main([*words, "--out", str(tmp_path / "again")]) == 130
    assert cli.main([*words, "--out", str(tmp_path / "again")]) == 0
    # 12 greedy answers in one part, then 48 samples in parts of 16; the third part was lost and is the only one redone.
    assert calls == [12, 16, 16, 16, 16]
    assert summary(tmp_path / "again") == summary(tmp_path / "whole")
    assert cli.main([*words, "--out", str(tmp_path / "again"), "--evaluate.max_new_tokens", "40"]) == 0
    assert len(calls) == 9, "other options, other completions"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "micro", "--tasks", "gsm8", "--data", "."], "did you mean 'gsm8k'"),
        (["--model", "micro", "--tasks", "gsm8k", "--data", "."], "gsm8k.jsonl, the data of task 'gsm8k'"),
        (["--tasks", "gsm8k", "--data", "."], "either --model M or --run DIR"),
        (["--model", "micro", "--tasks", "gsm8k", "--limit", "-1"], "--limit -1 is below 0"),
        (["--run", "nowhere", "--tasks", "gsm8k"], "holds no rzero run"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["eval", *words]) == 2
    assert message in capsys.readouterr().err


def test_sampling_at_temperature_zero_is_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "--model", "micro", "--tasks", "amc23", "--data", str(data), "--evaluate.temperature", "0"]
    assert cli.main(words) == 2
    assert "would repeat one greedy answer" in capsys.readouterr().err
