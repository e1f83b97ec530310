"""Votes that are cancelled change no decision: with the real grader, on answers that bridge classes, hang and tie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rzero.config import Config, load
from rzero.curriculum.band import judge
from rzero.curriculum.early import Standing
from rzero.domains.math import math
from rzero.errors import ConfigError
from rzero.evolve.incoming import IncomingVotes
from rzero.evolve.stop_early import Settled, label_settled, reward_of, reward_settled
from rzero.evolve.voting import count
from rzero.grading.ahead import GradingAhead
from rzero.grading.grader import Grader
from rzero.types import Completion, FinishReason, Prompt, Tally

HANGS = r"5^{5^{(5^{9})}}!"
# 50\% is taken for 50 and for 0.5, and 1/3 for both decimals; the last four are no votes.
ODD = ["50", "0.5", r"50\%", r"50\%", "1/3", "0.333333", "0.3333333", "x", HANGS, "9^9^9^9^9", "", "CUT OFF"]
ANSWERS = st.one_of(st.sampled_from(["7", "7", "7", "7.0", "8"]), st.sampled_from(ODD))
CASES = st.integers(2, 11).flatmap(
    lambda m: st.tuples(st.lists(ANSWERS, min_size=m, max_size=m), st.permutations(range(m)))
)
BANDS = st.sampled_from([(0.25, 0.75), (0.3, 0.7), (0.0, 1.0), (0.5, 0.5), (0.0, 0.4)])


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(timeout_s=2.0) as found:
        yield found


def options(band: tuple[float, float] = (0.3, 0.7), valid: float = 0.5) -> Config:
    return load(
        "paper",
        {
            "vote.stop_early": True,
            "vote.min_valid_frac": valid,
            "curriculum.band_low": band[0],
            "curriculum.band_high": band[1],
        },
    )


def completion(answer: str, reason: FinishReason | None = None) -> Completion:
    ended = FinishReason.LENGTH if answer == "CUT OFF" else FinishReason.STOP
    return Completion(token_ids=(1,), logprobs=(0.0,), finish_reason=reason or ended, text=f"\\boxed{{{answer}}}")


def stop(
    answers: Sequence[str], order: Sequence[int], settled: Settled, grader: Grader
) -> tuple[Tally, Tally, Standing]:
    """Full voting, voting with the rest cancelled once it is settled, and what was certain then."""
    prompts = [Prompt(messages=())]
    full = IncomingVotes(math, prompts, num_votes=len(answers), ahead=GradingAhead(), settled=None)
    part = IncomingVotes(math, prompts, num_votes=len(answers), ahead=GradingAhead(), settled=settled)
    finished = [completion(answer) for answer in answers]
    group = [completion(answer, FinishReason.CANCELLED) for answer in answers]
    for index in order:
        full(0, index, finished[index])
    for index in order:
        group[index] = finished[index]
        if part(0, index, finished[index]):
            break
    tallies = [
        count(incoming.answers, [made], grader=grader)[0].tally for incoming, made in ((full, finished), (part, group))
    ]
    return tallies[0], tallies[1], part.standing(0)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=CASES, band=BANDS, valid=st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_labels_are_those_of_full_voting(
    grader: Grader, case: tuple[list[str], list[int]], band: tuple[float, float], valid: float
) -> None:
    settled = label_settled(options(band, valid))
    assert settled is not None
    full, part, standing = stop(*case, settled, grader)
    verdicts = [judge(t, band_low=band[0], band_high=band[1], min_valid_frac=valid) for t in (full, part)]
    assert verdicts[0] == verdicts[1]
    if verdicts[0] is None or standing.leads:
        assert full.pseudo_label == part.pseudo_label
    low, high = standing.agree_bounds
    assert low <= full.num_agree <= high


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=CASES, repetition=st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]), valid=st.sampled_from([0.0, 0.5, 0.9]))
def test_rewards_are_those_of_full_voting(
    grader: Grader, case: tuple[list[str], list[int]], repetition: float, valid: float
) -> None:
    config = options(valid=valid)
    settled = reward_settled(config, [repetition])
    assert settled is not None
    full, part, _ = stop(*case, settled, grader)
    assert reward_of(config, full, repetition).total == reward_of(config, part, repetition).total


@pytest.mark.parametrize(
    ("answers", "cancelled"),
    [
        (["7"] * 8 + ["8", "9"], 2),  # too easy
        (["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"], 1),  # too hard: two of ten at best
        (["CUT OFF"] * 6 + ["7"] * 4, 4),  # ill-posed
        (["7"] * 5 + ["8", "8", "9", "10", "11"], 2),  # kept as 7
        (["7"] * 5 + ["8"] * 5, 0),  # kept, but a tie is possible to the end
        (["x"] * 10, 0),  # a worker might say that x is anything
    ],
)
def test_what_is_cancelled(answers: list[str], cancelled: int, grader: Grader) -> None:
    settled = label_settled(options())
    assert settled is not None
    _, part, _ = stop(answers, range(10), settled, grader)
    assert part.num_cancelled == cancelled


def test_off_nothing_is_settled_and_own_rewards_need_all_votes() -> None:
    assert label_settled(load("paper")) is None and reward_settled(load("paper"), [0.5]) is None
    with pytest.raises(ConfigError, match=r"vote\.stop_early=true cannot be used with solver\.reward='my:own'"):
        load("paper", {"vote.stop_early": True, "solver.reward": "my:own"})
