"""The two-way table: each iteration's questions put to each Solver, the base included, graded by the oracle.

Down a column the questions stay and the Solver changes: did it get better? Along a row the Solver stays: did the
questions get harder for it?
The paper has the same table with a language model's answers in the place of true ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import fmean

from rzero import domains
from rzero.engines.base import Sampler
from rzero.evolve.context import Parts, sampling
from rzero.evolve.lineage import Lineage
from rzero.evolve.open_engine import open_engine
from rzero.grading.grader import Grader
from rzero.runs.console import Console
from rzero.runs.store import RunDirectory
from rzero.seeds import derive_seed
from rzero.types import Outcome, Phase

NUM_QUESTIONS = 200
NUM_SAMPLES = 8


def crossplay(root: Path) -> list[list[float]]:
    """Accuracy at temperature 1 [Solvers, base first][iterations' pools], each on the same answerable questions."""
    config = RunDirectory.recorded_config(root)
    run = RunDirectory(root)
    lineage = Lineage(config=config, run=run, base=run.base)
    with Grader(timeout_s=config.grading.timeout_s, workers=config.grading.workers) as grader:
        parts = Parts(
            config=config,
            domain=domains.load(config.domain),
            grader=grader,
            engine=open_engine(config, run.base),
            console=Console("none"),
        )
        pools = [_answerable(parts, run, iteration) for iteration in range(1, config.iterations + 1)]
        solvers = [parts.engine.sampler(lineage.solver(iteration)) for iteration in range(config.iterations + 1)]
        return [[_accuracy(parts, solver, pool) for pool in pools] for solver in solvers]


def _answerable(parts: Parts, run: RunDirectory, iteration: int) -> list[tuple[str, str]]:
    """The first questions of an iteration's pool that have an answer, each with it."""
    assert parts.domain.oracle is not None
    rows = run.phase(iteration, Phase.VOTE).rows("votes.jsonl")
    solved = ((row["question"], parts.domain.oracle.solve(row["question"]).answer) for row in rows)
    return list(islice(((question, answer) for question, answer in solved if answer is not None), NUM_QUESTIONS))


def _accuracy(parts: Parts, solver: Sampler, pool: Sequence[tuple[str, str]]) -> float:
    options, seed = parts.config.evaluate, derive_seed(parts.config.seed, "crossplay")
    params = sampling(options, n=NUM_SAMPLES, max_new_tokens=options.max_new_tokens, seed=seed)
    prompts = [parts.domain.solver_prompt(question) for question, _ in pool]
    _, groups = parts.sample(solver, prompts, params)
    pairs = [
        (parts.domain.extract_answer(completion.text), answer)
        for (_, answer), group in zip(pool, groups, strict=True)
        for completion in group
    ]
    return fmean(outcome is Outcome.RIGHT for outcome in parts.grader.grade_many(pairs))
