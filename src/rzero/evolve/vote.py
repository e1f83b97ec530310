"""Phase 3: the Solver answers every candidate m times; the majority becomes the pseudo-label."""

from __future__ import annotations

from typing import Any

from rzero.evolve.context import Context
from rzero.evolve.parts import in_parts
from rzero.evolve.stop_early import label_settled, saved_tokens
from rzero.evolve.voting import vote_on
from rzero.runs.atomic import write_json
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
                settled=label_settled(context.config),
            )
        rows = [row | result.as_row() for row, result in zip(chosen, voted, strict=True)]
        if context.config.vote.stop_early:
            saved = saved_tokens([result.completions for result in voted])
            for row, result, tokens in zip(rows, voted, saved, strict=True):
                row |= {"num_tokens": result.num_tokens, "saved_tokens": round(tokens, 1)}
        return rows

    rows = in_parts(context, iteration, PHASE, total=len(questions), work=collect)
    directory = context.directory(iteration, PHASE)
    directory.write_rows("votes.jsonl", rows)
    if context.config.vote.stop_early:
        write_json(directory.file("statistics.json"), _savings(rows))
    context.run.state.complete(iteration, PHASE)


def _savings(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {
        "num_votes": sum(row["num_votes"] for row in rows),
        "num_cancelled": sum(row.get("num_cancelled", 0) for row in rows),
        "num_tokens": sum(row["num_tokens"] for row in rows),
        "saved_tokens": round(sum(row["saved_tokens"] for row in rows)),
    }
