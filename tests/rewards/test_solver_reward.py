from __future__ import annotations

import itertools

import pytest

from rzero.rewards.solver import SolverAnswer, agreement
from rzero.types import FinishReason, Outcome


@pytest.mark.parametrize(("outcome", "finish_reason"), list(itertools.product(Outcome, FinishReason)))
def test_only_a_right_answer_that_is_not_cut_off_earns(outcome: Outcome, finish_reason: FinishReason) -> None:
    item = SolverAnswer(
        question="What is 3 + 4?",
        answer=None if outcome is Outcome.UNPARSED else "7",
        pseudo_label="7",
        self_consistency=0.5,
        outcome=outcome,
        finish_reason=finish_reason,
    )
    expected = 1.0 if (outcome, finish_reason) == (Outcome.RIGHT, FinishReason.STOP) else 0.0
    assert agreement(item) == expected
