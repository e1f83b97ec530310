"""How long one iteration of the paper's size takes, from measured speeds and assumed lengths."""

from __future__ import annotations

from dataclasses import dataclass

from rzero.config import Config

QUESTION_TOKENS = 400
ANSWER_TOKENS = 800
PROMPT_TOKENS = 200
"""Means that are assumed, of a 4B base model on competition mathematics; the limit is 4,096."""


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """What one iteration samples and trains on, in tokens. ``trained`` counts prompts once for each rollout."""

    sampled: int
    trained: int

    def hours(self, *, sampled_per_s: float, trained_per_s: float) -> float:
        """One phase after the other on one device."""
        return (self.sampled / sampled_per_s + self.trained / trained_per_s) / 3600


def iteration(config: Config) -> Iteration:
    """All phases of one iteration, all questions well formed, distinct and voted on in full.

    >>> from rzero.config import load
    >>> iteration(load("paper"))
    Iteration(sampled=183936000, trained=44544000)
    """
    challenger, solver, votes = config.challenger, config.solver, config.vote.num_votes
    questions = challenger.steps * challenger.prompts_per_step * challenger.group_size
    answers = solver.steps * solver.prompts_per_step * solver.group_size
    written = questions + config.generate.num_questions
    return Iteration(
        sampled=written * (QUESTION_TOKENS + votes * ANSWER_TOKENS) + answers * ANSWER_TOKENS,
        trained=questions * (PROMPT_TOKENS + QUESTION_TOKENS) + answers * (PROMPT_TOKENS + ANSWER_TOKENS),
    )
