"""The Solver's reward: 1 if its answer equals the pseudo-label, else 0 (paper: binary reward).

The official code pays 0.9·accuracy + 0.1·format, where the format asks for tags that its prompt never mentions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from rzero.types import FinishReason, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverAnswer:
    """All that a reward may look at: an answer, the pseudo-label with its p̂, and what the grader says of the two.

    ``answer`` is None where the completion holds none; ``outcome`` is then ``UNPARSED``. ``self_consistency`` is None
    where votes were cancelled, which a reward of your own rules out.
    """

    question: str
    answer: str | None
    pseudo_label: str
    self_consistency: float | None
    outcome: Outcome
    finish_reason: FinishReason


SolverReward: TypeAlias = Callable[[SolverAnswer], float]
"""A reward of your own."""


def agreement(item: SolverAnswer) -> float:
    """1.0 if the answer equals the pseudo-label and the completion was not cut off, else 0.0.

    >>> item = SolverAnswer(
    ...     question="What is 3 + 4?", answer="7", pseudo_label="7", self_consistency=0.6,
    ...     outcome=Outcome.RIGHT, finish_reason=FinishReason.STOP,
    ... )
    >>> agreement(item)
    1.0
    """
    return float(item.outcome is Outcome.RIGHT and item.finish_reason is FinishReason.STOP)
