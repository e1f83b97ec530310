"""The Challenger's reward: max(0, uncertainty - λ·repetition), and 0 for what is not a question (paper: r_i).

Differences from the official code, which pays something other than the paper says:

* Scale: it pays min(p̂, 1 - p̂) - r_rep, at most ½, so that the same penalty weighs twice as much; there is no max(0, .);
  and a malformed completion gets -1 - r_rep. Here the reward is the paper's and lies in [0, 1].
* Denominator: p̂ is always a share of all m votes. The official labelling divides by the answers it kept.
* The Challenger's own answer plays no part. For four months the official reward was non-zero only if the Solver's
  majority equalled the *last character* of that answer, and a missing answer passed the format check as "None".
* A Solver completion without an answer is no vote. The official code counts it as a vote for the string "None", so that
  a question which makes half of the completions overflow earns the full reward. Here it stays in the denominator, and
  a question with too few valid votes is ill-posed: reward 0. The paper does not speak of this case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from rzero.curriculum.votes import ill_posed
from rzero.rewards.uncertainty import uncertainty
from rzero.types import RewardParts, Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredQuestion:
    """All that a reward may look at: a question, the votes on it, and its repetition penalty (a share in [0, 1])."""

    question: str
    tally: Tally
    repetition: float


ChallengerReward: TypeAlias = Callable[[ScoredQuestion], float]
"""A reward of your own: a function of a question that passed the format check."""

FORMAT_FAILED = RewardParts(total=0.0)
"""The reward of a completion without a question; it is not voted on."""


def challenger_reward(
    item: ScoredQuestion, *, repetition_weight: float, min_valid_frac: float, target: float = 0.5
) -> RewardParts:
    """max(0, uncertainty - repetition_weight·repetition); 0, with uncertainty 0, for an ill-posed question.

    The parts in the result are unweighted: ``repetition`` is the share |C_k|/B as it came in.

    >>> tally = Tally(num_votes=10, num_valid=10, num_agree=4, pseudo_label="7", tied=False)
    >>> item = ScoredQuestion(question="What is 3 + 4?", tally=tally, repetition=0.25)
    >>> challenger_reward(item, repetition_weight=1.0, min_valid_frac=0.5)
    RewardParts(total=0.55, uncertainty=0.8, repetition=0.25)
    """
    if ill_posed(item.tally, min_valid_frac=min_valid_frac):
        return RewardParts(total=0.0, repetition=item.repetition)
    torn = uncertainty(item.tally.self_consistency, target=target)
    total = max(0.0, torn - repetition_weight * item.repetition)
    return RewardParts(total=total, uncertainty=torn, repetition=item.repetition)
