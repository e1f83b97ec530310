"""Options that make a run of one iteration as small as it can be: these tests are about what is built out of runs."""

from __future__ import annotations

from tiny_run import TINY

SMALL = {
    **TINY,
    "iterations": 1,
    "challenger.steps": 1,
    "challenger.group_size": 8,
    "generate.num_questions": 30,
    "vote.num_votes": 4,
    "solver.steps": 1,
    "solver.prompts_per_step": 4,
    "solver.group_size": 4,
    "evaluate.limit": 8,
    "evaluate.num_samples": 2,
}


def words(**changes: object) -> list[str]:
    """The options as the command line takes them."""
    return [word for name, value in {**SMALL, **changes}.items() for word in (f"--{name}", str(value))]
