"""Phase 3: the Solver answers every candidate m times; the majority becomes the pseudo-label."""

from __future__ import annotations

from typing import Any

from rzero.evolve.context import Context
from rzero.evolve.parts import in_parts
from rzero.evolve.voting import vote_on
from rzero.types import Phase

PHASE = Phase.VOTE


def vote(context: Context, iteration: int) -> None:
    """Write ``votes.jsonl``: each question with its counts and its m votes."""
    questions = context.directory(iteration, Phase.GENERATE_QUESTIONS).rows("questions.jsonl")

    def collect(part: int, indices: range) -> list[dict[str, Any]]:
        chosen = [questions[index] for index in indices]
        total = len(chosen) * context.config.vote.num_votes
        with context.console.progress(f"{PHASE} part {part}", total) as advance:
            voted = vote_on(
                context,
                [row["question"] for row in chosen],
                sampler=context.engine.sampler(context.lineage.solver_start(iteration)),
                seed=context.seed(iteration, PHASE, part),
                on_progress=advance,
            )
        return [row | result.as_row() for row, result in zip(chosen, voted, strict=True)]

    rows = in_parts(context, iteration, PHASE, total=len(questions), work=collect)
    context.directory(iteration, PHASE).write_rows("votes.jsonl", rows)
    context.run.state.complete(iteration, PHASE)
