from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero.rewards.challenger import FORMAT_FAILED, ScoredQuestion, challenger_reward
from rzero.rewards.uncertainty import uncertainty
from rzero.types import RewardParts, Tally


def scored(agree: int, *, valid: int = 10, repetition: float = 0.0) -> ScoredQuestion:
    tally = Tally(
        num_votes=10,
        num_valid=valid,
        num_agree=agree,
        pseudo_label="7" if agree else None,
        tied=False,
        num_cut_off=10 - valid,
    )
    return ScoredQuestion(question="What is 3 + 4?", tally=tally, repetition=repetition)


@pytest.mark.parametrize("agree", range(1, 11))
def test_uncertainty_is_the_papers_and_exactly_symmetric(agree: int) -> None:
    assert uncertainty(agree / 10) == pytest.approx(1 - 2 * abs(agree / 10 - 0.5), abs=1e-12)
    assert uncertainty(agree / 10) == uncertainty((10 - agree) / 10)


@pytest.mark.parametrize("target", [0.3, 0.5, 0.8])
def test_another_target_moves_the_peak_and_keeps_the_ends(target: float) -> None:
    values = [uncertainty(votes / 100, target=target) for votes in range(101)]
    assert values[0] == values[100] == 0.0
    assert max(values) == values[round(100 * target)] == 1.0
    assert all(0.0 <= value <= 1.0 for value in values)
    peak = round(100 * target)
    assert values[: peak + 1] == sorted(values[: peak + 1])
    assert values[peak:] == sorted(values[peak:], reverse=True)
    parts = challenger_reward(scored(8, repetition=0.25), repetition_weight=1.0, min_valid_frac=0.5, target=0.8)
    assert parts.total == 0.75


@pytest.mark.parametrize(("agree", "repetition", "weight", "total"), [
    (5, 0.0, 1.0, 1.0),
    (5, 0.25, 1.0, 0.75),
    (5, 0.25, 2.0, 0.5),
    (5, 0.25, 0.0, 1.0),
    (9, 0.5, 1.0, 0.0),  # never negative
    (10, 0.0, 1.0, 0.0),
])  # fmt: skip
def test_reward_is_the_papers(agree: int, repetition: float, weight: float, total: float) -> None:
    parts = challenger_reward(scored(agree, repetition=repetition), repetition_weight=weight, min_valid_frac=0.5)
    assert parts == RewardParts(total=total, uncertainty=uncertainty(agree / 10), repetition=repetition)


def test_ill_posed_question_earns_nothing_although_its_votes_are_split() -> None:
    ill_posed, just_valid = scored(4, valid=4, repetition=0.1), scored(5, valid=5, repetition=0.1)
    assert challenger_reward(ill_posed, repetition_weight=1.0, min_valid_frac=0.5) == RewardParts(
        total=0.0, uncertainty=0.0, repetition=0.1
    )
    assert challenger_reward(just_valid, repetition_weight=1.0, min_valid_frac=0.5).total == pytest.approx(0.9)


def test_no_valid_vote_earns_nothing_even_without_a_minimum() -> None:
    assert challenger_reward(scored(0, valid=0), repetition_weight=1.0, min_valid_frac=0.0).total == 0.0


def test_failed_format_earns_nothing() -> None:
    assert RewardParts(total=0.0, uncertainty=0.0, repetition=0.0) == FORMAT_FAILED


@given(
    agree=st.integers(0, 10),
    more=st.integers(0, 10),
    repetition=st.floats(0, 1),
    weight=st.floats(0, 100),
    min_valid_frac=st.floats(0, 1),
)
def test_reward_lies_in_zero_to_one(
    agree: int, more: int, repetition: float, weight: float, min_valid_frac: float
) -> None:
    item = scored(agree, valid=min(10, agree + more), repetition=repetition)
    assert 0.0 <= challenger_reward(item, repetition_weight=weight, min_valid_frac=min_valid_frac).total <= 1.0
