"""What R-Zero does to the bundled model, in a small run: the facts of docs/micro_study.md that hold with any seed."""

from __future__ import annotations

from statistics import fmean

import pytest

import rzero
from rzero.evolve.loop import RunResult
from rzero.runs.atomic import read_jsonl

SMALL = {
    "iterations": 2,
    "engine.threads": 1,
    "challenger.steps": 4,
    "generate.num_questions": 240,
    "solver.steps": 10,
    "evaluate.limit": 60,  # the first rows are those of level 1
    "evaluate.num_samples": 4,
    "checkpoint.every_steps": 10,
    "progress": "none",
}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return rzero.run(rzero.load("micro", SMALL), tmp_path_factory.mktemp("gain") / "run")


def stepwise_share(result: RunResult, iteration: int) -> float:
    rows = read_jsonl(result.directory / f"iter_{iteration:02d}" / "evaluate" / "samples_arithmetic_test.jsonl")
    samples = [sample["completion"] for row in rows for sample in row["samples"]]
    return fmean(not text.startswith("\\boxed") for text in samples)


@pytest.mark.slow
def test_the_first_iteration_elicits_the_better_style(result: RunResult) -> None:
    before, after = (result.summaries[n]["evaluation"]["arithmetic_test"] for n in (0, 1))
    assert after["greedy"]["value"] > before["greedy"]["value"] + 0.08
    assert after["mean@4"]["value"] > before["mean@4"]["value"] + 0.08
    assert stepwise_share(result, 1) > stepwise_share(result, 0) + 0.2


@pytest.mark.slow
def test_labels_get_worse_and_questions_stay_answerable(result: RunResult) -> None:
    first, second = (result.summaries[n]["labels"] for n in (1, 2))
    assert first["kept"]["label_accuracy"] > second["kept"]["label_accuracy"] + 0.05
    assert min(first["all"]["valid_frac"], second["all"]["valid_frac"]) > 0.9
    assert all(0.35 < result.summaries[n]["curriculum"]["mean_self_consistency_kept"] < 0.65 for n in (1, 2))
