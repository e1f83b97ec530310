"""``rzero labels``: what an oracle says of a finished run's labels, beyond the figures that the run writes itself.

Two tables: calibration (p̂ against the share of true labels, each iteration), and the paper's two-way table: each
iteration's questions answered by each Solver, against true answers. The paper asks a language model for those.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rzero import domains
from rzero.analysis.calibration import calibration_error, levels
from rzero.analysis.judge import Judge
from rzero.config import Config
from rzero.domains.base import Oracle
from rzero.engines.base import Sampler, SamplingParams
from rzero.errors import ConfigError, RunDirectoryError
from rzero.evaluate.metrics import Accuracy, accuracy
from rzero.evolve.context import Parts
from rzero.evolve.lineage import Lineage
from rzero.evolve.open_engine import open_engine
from rzero.grading.grader import Grader
from rzero.runs.atomic import write_json, write_text
from rzero.runs.console import Console
from rzero.runs.store import RunDirectory
from rzero.seeds import derive_seed
from rzero.types import Outcome, Phase


def label_tables(root: Path, config: Config, *, limit: int, out: Path, judge: Judge | None = None) -> str:
    """Both tables of the run in ``root`` as Markdown, also in ``out/labels.md``; their numbers in ``out/labels.json``.

    True answers are the domain's oracle's, or those of ``judge``. ``limit`` answerable questions of each iteration's
    pool, drawn at random, go into the two-way table. Raises ConfigError if there is neither oracle nor judge,
    RunDirectoryError if no iteration has been voted on, EngineError if the judge cannot be reached.
    """
    domain = domains.load(config.domain)
    oracle = judge or domain.oracle
    if oracle is None:
        raise ConfigError(f"domain={config.domain!r} has no oracle, so there are no true answers; give --judge URL")
    run = RunDirectory(root)
    iterations = [number for number, phase in run.state.completed if phase is Phase.VOTE]
    if not iterations:
        raise RunDirectoryError(f"{root} has no finished vote, so there are no labels; let the run go on first")
    solvers = [0, *(number for number, phase in run.state.completed if phase is Phase.TRAIN_SOLVER)]
    votes = {number: run.phase(number, Phase.VOTE).rows("votes.jsonl") for number in iterations}
    if judge is not None:
        judge.ask_all(row["question"] for rows in votes.values() for row in rows)
    with (
        Grader(timeout_s=config.grading.timeout_s, workers=config.grading.workers) as grader,
        closing(open_engine(config, run.base)) as engine,
    ):
        labels = {number: judged(rows, oracle, grader) for number, rows in votes.items()}
        questions = {
            number: answerable(rows, oracle, limit=limit, seed=derive_seed(config.seed, number, "two-way"))
            for number, rows in votes.items()
        }
        console = Console(config.progress)
        parts = Parts(config=config, domain=domain, grader=grader, engine=engine, console=console)
        lineage = Lineage(config=config, run=run, base=run.base)
        table = _ask(parts, {number: lineage.solver(number) for number in solvers}, questions)
    text = "\n\n".join([_two_way(table, solvers), _calibration(labels)]) + "\n"
    numbers = {
        "truth": judge.model if judge is not None else "oracle",
        "two_way": {number: {solver: asdict(found) for solver, found in row.items()} for number, row in table.items()},
        "calibration": {number: [asdict(level) for level in levels(rows)] for number, rows in labels.items()},
        "calibration_error": {number: calibration_error(rows) for number, rows in labels.items()},
    }
    write_json(out / "labels.json", numbers)
    write_text(out / "labels.md", text)
    return text


def judged(votes: Sequence[Mapping[str, Any]], oracle: Oracle, grader: Grader) -> list[tuple[int, int, bool]]:
    """(num_agree, num_votes, true) for each question with a label; that of an unanswerable question is not true."""
    rows = [row for row in votes if row["pseudo_label"] is not None]
    truths = [oracle.solve(row["question"]).answer for row in rows]
    pairs = [(row["pseudo_label"], truth or "") for row, truth in zip(rows, truths, strict=True)]
    outcomes = grader.grade_many(pairs)
    return [
        (row["num_agree"], row["num_votes"], truth is not None and outcome is Outcome.RIGHT)
        for row, truth, outcome in zip(rows, truths, outcomes, strict=True)
    ]


def answerable(votes: Sequence[Mapping[str, Any]], oracle: Oracle, *, limit: int, seed: int) -> list[tuple[str, str]]:
    """Up to ``limit`` (question, true answer) pairs, drawn at random from the questions that have a true answer."""
    solved = [(row["question"], oracle.solve(row["question"]).answer) for row in votes]
    pairs = [(question, answer) for question, answer in solved if answer is not None]
    return random.Random(seed).sample(pairs, min(limit, len(pairs)))


def _ask(
    parts: Parts, solvers: Mapping[int, Path], questions: Mapping[int, Sequence[tuple[str, str]]]
) -> dict[int, dict[int, Accuracy]]:
    """Iteration of the questions -> number of the Solver -> the share of its greedy answers that are true."""
    table: dict[int, dict[int, Accuracy]] = {number: {} for number in questions}
    for solver, path in solvers.items():
        sampler = parts.engine.sampler(path)
        for number, asked in questions.items():
            if asked:
                table[number][solver] = _accuracy(parts, sampler, asked)
        parts.engine.release()
    return table


def _accuracy(parts: Parts, sampler: Sampler, asked: Sequence[tuple[str, str]]) -> Accuracy:
    """The share of greedy answers that are true."""
    prompts = [parts.domain.solver_prompt(question) for question, _ in asked]
    params = SamplingParams(max_new_tokens=parts.config.evaluate.max_new_tokens, temperature=0.0)
    _, groups = parts.sample(sampler, prompts, params)
    answers = [
        parts.domain.extract_answer(prompt.prefill + group[0].text)
        for prompt, group in zip(prompts, groups, strict=True)
    ]
    outcomes = parts.grader.grade_many([(answer, gold) for answer, (_, gold) in zip(answers, asked, strict=True)])
    return accuracy(sum(outcome is Outcome.RIGHT for outcome in outcomes), len(outcomes))


def _two_way(table: Mapping[int, Mapping[int, Accuracy]], solvers: Sequence[int]) -> str:
    names = ["base" if solver == 0 else f"Solver {solver}" for solver in solvers]
    lines = ["## Greedy accuracy on each iteration's answerable questions, %", ""]
    lines += ["| questions of | " + " | ".join(names) + " | n |", "|---|" + "---|" * (len(names) + 1)]
    for number, row in table.items():
        cells = [_percent(row[solver]) if solver in row else "" for solver in solvers]
        size = next((found.total for found in row.values()), 0)
        lines.append(f"| iteration {number} | " + " | ".join(cells) + f" | {size} |")
    return "\n".join(lines)


def _calibration(labels: Mapping[int, Sequence[tuple[int, int, bool]]]) -> str:
    """A row for each p̂, a column for each iteration: the share of true labels, and of how many."""
    columns = {
        number: {level.self_consistency: level.label_accuracy for level in levels(rows)}
        for number, rows in labels.items()
    }
    lines = ["## True labels by p̂, % (of how many)", ""]
    lines += [
        "| p̂ | " + " | ".join(f"iteration {number}" for number in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for p in sorted({p for column in columns.values() for p in column}):
        cells = [f"{_percent(column[p])} ({column[p].total})" if p in column else "" for column in columns.values()]
        lines.append(f"| {p:.2f} | " + " | ".join(cells) + " |")
    errors = [calibration_error(rows) for rows in labels.values()]
    cells = ["" if error is None else f"{100 * error:.1f}" for error in errors]
    return "\n".join([*lines, "| mean distance to p̂ | " + " | ".join(cells) + " |"])


def _percent(found: Accuracy) -> str:
    return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"
