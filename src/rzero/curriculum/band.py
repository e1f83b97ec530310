"""The band filter: the Solver learns from questions that it answers neither too seldom nor too often alike.

Paper: keep x iff |p̂ - ½| <= δ = 0.25, which is 3 to 7 of 10 votes. The official code keeps [0.3, 0.8] of 9, and drops
questions and answers that hold certain words.
"""

from __future__ import annotations

from fractions import Fraction

from rzero.curriculum.votes import ill_posed
from rzero.types import Rejection, Tally


def judge(tally: Tally, *, band_low: float, band_high: float, min_valid_frac: float) -> Rejection | None:
    """None if the question is kept: band_low <= p̂ <= band_high, both ends included; else the reason.

    An ill-posed question is INVALID whatever its p̂. The ends are taken as the decimals they are written as, and
    compared as exact fractions, so that no rounding moves an edge.

    >>> def votes(agree: int) -> Tally:
    ...     return Tally(num_votes=10, num_valid=10, num_agree=agree, pseudo_label="7", tied=False)
    >>> [judge(votes(agree), band_low=0.25, band_high=0.75, min_valid_frac=0.5) for agree in (2, 3, 7, 8)]
    [<Rejection.TOO_HARD: 'too_hard'>, None, None, <Rejection.TOO_EASY: 'too_easy'>]
    """
    if ill_posed(tally, min_valid_frac=min_valid_frac):
        return Rejection.INVALID
    if tally.exact_self_consistency < Fraction(str(band_low)):
        return Rejection.TOO_HARD
    if tally.exact_self_consistency > Fraction(str(band_high)):
        return Rejection.TOO_EASY
    return None
