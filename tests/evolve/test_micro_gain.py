"""What R-Zero does to the bundled model, in a small run: the facts of docs/micro_study.md that hold with any seed."""

from __future__ import annotations

from statistics import fmean

import pytest

import rzero
from rzero.evolve.loop import RunResult
from rzero.runs.atomic import read_jsonl

SMALL: dict[str, object] = {
    "iterations": 1,
    "engine.threads": 1,
    "challenger.steps": 3,
    "generate.num_questions": 200,
    "solver.steps": 9,
    "evaluate.limit": 60,  # the first rows are those of level 1
    "evaluate.num_samples": 4,
    "checkpoint.every_steps": 9,
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
def test_questions_are_answerable_and_kept_ones_split_the_votes(result: RunResult) -> None:
    summary = result.summaries[1]
    assert summary["labels"]["all"]["valid_frac"] > 0.9
    assert summary["labels"]["kept"]["label_accuracy"] > summary["labels"]["all"]["label_accuracy"] + 0.05
    assert 0.35 < summary["curriculum"]["mean_self_consistency_kept"] < 0.65
