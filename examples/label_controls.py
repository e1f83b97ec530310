"""Solver rewards that bracket what pseudo-labels can do: exact labels above them, random ones below.

Both are rewards of a user's own, so the library needs no switch that would let gold into training:

    rzero run --solver.reward label_controls:oracle_label     # PYTHONPATH=examples
    rzero run --solver.reward label_controls:random_label
"""

from __future__ import annotations

import hashlib

from rzero.domains.arithmetic import arithmetic
from rzero.rewards.solver import SolverAnswer
from rzero.types import FinishReason


def oracle_label(item: SolverAnswer) -> float:
    """1 if the answer is true: the upper bound of any label filter."""
    truth = arithmetic.oracle.solve(item.question).answer
    return float(item.finish_reason is FinishReason.STOP and truth is not None and item.answer == truth)


def random_label(item: SolverAnswer) -> float:
    """1 for half of all answers, chosen by a hash of question and answer: the control, which must gain nothing."""
    if item.finish_reason is not FinishReason.STOP or item.answer is None:
        return 0.0
    digest = hashlib.blake2b(f"{item.question}\n{item.answer}".encode(), digest_size=1).digest()
    return float(digest[0] < 128)
