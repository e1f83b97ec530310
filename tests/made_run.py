"""Run directories with chosen content, for what a real run seldom writes. ``docs/run-directory.md`` has the layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rzero import config
from rzero.curriculum.build import build
from rzero.evaluate.metrics import accuracy
from rzero.runs.atomic import write_json, write_jsonl
from rzero.runs.state import State
from rzero.runs.store import RunDirectory
from rzero.types import Phase, Tally

NUM_VOTES = 10
BAND = {"band_low": 0.25, "band_high": 0.75, "min_valid_frac": 0.5}


def make_run(
    root: Path,
    questions: Sequence[str] = ("1 + 1?", "2 + 2?", "What is 3 + 4?"),
    *,
    iterations: int = 1,
    options: Mapping[str, Any] | None = None,
    right: Sequence[bool] = (True, True, False, False),
) -> Path:
    """A run whose question k has k mod 11 of 10 votes for its majority; ``right`` are the last evaluation's answers."""
    chosen = config.load("micro", {"iterations": iterations, "evaluate.data": "quiz", **(options or {})})
    write_json(
        root / "run.json",
        {
            "schema_version": 1,
            "created": "2026-01-02T03:04:05Z",
            "model": "models/tiny",
            "model_fingerprint": "0" * 16,
            "data": {},
            "options": chosen.model_dump(mode="json"),
        },
    )
    write_json(root / "logs" / "attempt_01.json", {"command": ["rzero"], "versions": {"python": "3.11"}})
    run = RunDirectory(root)
    _evaluation(run, 0, [False, True, False, False])
    for number in range(1, iterations + 1):
        _iteration(run, number, questions)
        _evaluation(run, number, right)
    phases = [(0, Phase.EVALUATE), *((number, phase) for number in range(1, iterations + 1) for phase in Phase)]
    State(path=root / "state.json", attempt=1, completed=phases).save()
    return root


def _iteration(run: RunDirectory, number: int, questions: Sequence[str]) -> None:
    ids = [f"i{number:02d}-q{place:05d}" for place in range(1, len(questions) + 1)]
    tallies = [_tally((place + number - 1) % (NUM_VOTES + 1)) for place in range(len(questions))]
    rows = [
        {"id": name, "question": text, **_counts(tally), "votes": votes(tally.num_agree)}
        for name, text, tally in zip(ids, questions, tallies, strict=True)
    ]
    kept, statistics = build(list(zip(ids, questions, strict=True)), tallies, **BAND)
    pool = run.phase(number, Phase.GENERATE_QUESTIONS)
    pool.write_rows("questions.jsonl", [{"id": row["id"], "question": row["question"]} for row in rows])
    write_jsonl(pool.part(1), [{"index": 0, "num_tokens": 7}, {"index": 1, "num_tokens": 9}])
    counts = {"num_sampled": len(rows) + 2, "num_distinct": len(rows), "num_repeated": 1}
    write_json(pool.file("statistics.json"), {**counts, "malformed": {"no closing tag": 1}, "num_cut_off": 1})
    run.phase(number, Phase.VOTE).write_rows("votes.jsonl", rows)
    curriculum = run.phase(number, Phase.BUILD_CURRICULUM)
    curriculum.write_rows("curriculum.jsonl", [asdict(item) for item in kept])
    write_json(curriculum.file("statistics.json"), statistics.as_dict())
    for phase in (Phase.TRAIN_CHALLENGER, Phase.TRAIN_SOLVER):
        for step in (1, 2):
            folder = run.phase(number, phase).step(step)
            write_json(folder / "metrics.json", {"mean_reward": 0.1 * step, "cut_off_frac": 0.02, "kl": 0.001})
            write_jsonl(folder / "rollouts.jsonl", [_rollout(phase, row) for row in rows[:20]])
    figures = {"valid_frac": 1.0, "label_accuracy": 0.5, "mean_difficulty": 2.0, "problems": {}}
    labels = {"all": {"num_questions": len(rows), **figures}, "kept": {"num_questions": len(kept), **figures}}
    write_json(run.labels_path(number), labels)


def _evaluation(run: RunDirectory, number: int, right: Sequence[bool]) -> None:
    directory = run.phase(number, Phase.EVALUATE)
    result = {
        "num_questions": len(right),
        "greedy": asdict(accuracy(sum(right), len(right))),
        "outcomes": {},
        "num_cut_off": 0,
        "mean_completion_tokens": 12.0,
    }
    write_json(directory.file("evaluation.json"), {"results": {"quiz": result}, "options": {}, "grader": {}})
    outcomes = ["right" if entry else "wrong" for entry in right]
    samples = [{"id": str(place), "greedy": {"outcome": outcome}} for place, outcome in enumerate(outcomes)]
    directory.write_rows("samples_quiz.jsonl", samples)


def _tally(agree: int) -> Tally:
    label = str(agree) if agree else None
    return Tally(num_votes=NUM_VOTES, num_valid=agree, num_agree=agree, pseudo_label=label, tied=False)


def _counts(tally: Tally) -> dict[str, Any]:
    return {**asdict(tally), "self_consistency": tally.self_consistency}


def votes(agree: int) -> list[dict[str, Any]]:
    """``agree`` votes for the label; the others were cut off."""
    valid = [{"answer": str(agree), "status": "valid", "completion": ""}] * agree
    return valid + [{"answer": None, "status": "cut_off", "completion": ""}] * (NUM_VOTES - agree)


def _rollout(phase: Phase, row: Mapping[str, Any]) -> dict[str, Any]:
    own = {"question": row["question"], "problem": None, "uncertainty": 0.5, "repetition": 0.1, "cluster": 0}
    if phase is Phase.TRAIN_SOLVER:
        own = {"question_id": row["id"], "answer": "7", "outcome": "wrong"}
    common = {"reward": row["self_consistency"], "completion": row["question"], "finish_reason": "stop"}
    return {**own, **common, "token_ids": [1, 2, 3], "pseudo_label": row["pseudo_label"]}
