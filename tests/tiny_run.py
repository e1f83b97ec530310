"""Options that make a whole run of two iterations on the micro model take seconds."""

from __future__ import annotations

TINY = {
    "iterations": 2,
    "engine.threads": 1,
    "challenger.steps": 2,
    "challenger.group_size": 16,
    "generate.num_questions": 60,
    "generate.questions_per_part": 25,
    "vote.num_votes": 6,
    "solver.steps": 2,
    "solver.prompts_per_step": 6,
    "solver.group_size": 6,
    "evaluate.limit": 20,
    "checkpoint.every_steps": 1,
    "progress": "none",
}
