from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero.curriculum.votes import ill_posed, tally
from rzero.types import Tally, Vote, VoteStatus

Ballot = tuple[Vote, int | None]

# Each class has two spellings of its own: class 0 is "0" or "zero 0", and so on.
valid_ballots = st.tuples(st.integers(0, 3), st.booleans()).map(
    lambda c: (Vote(answer=f"zero {c[0]}" if c[1] else str(c[0]), status=VoteStatus.VALID), c[0])
)
invalid_ballots = st.sampled_from([s for s in VoteStatus if s is not VoteStatus.VALID]).map(
    lambda status: (Vote(answer=None, status=status), None)
)
ballots = st.lists(st.one_of(valid_ballots, invalid_ballots), min_size=1, max_size=16)


def count(cast: list[Ballot]) -> Tally:
    return tally([vote for vote, _ in cast], [number for _, number in cast])


def valid(answer: str) -> Vote:
    return Vote(answer=answer, status=VoteStatus.VALID)


@given(ballots, st.randoms(use_true_random=False))
def test_order_changes_nothing_but_the_label_of_a_tie(cast: list[Ballot], rng: random.Random) -> None:
    shuffled = rng.sample(cast, len(cast))
    one, other = count(cast), count(shuffled)
    assert one.exact_self_consistency == other.exact_self_consistency
    assert (one.num_valid, one.num_agree, one.tied) == (other.num_valid, other.num_agree, other.tied)
    spellings = [sum(vote.answer == answer for vote, _ in cast) for answer in {vote.answer for vote, _ in cast}]
    if len(spellings) == len(set(spellings)) and not one.tied:
        assert one.pseudo_label == other.pseudo_label


@given(ballots)
def test_every_vote_is_in_exactly_one_count(cast: list[Ballot]) -> None:
    counted = count(cast)
    invalid = counted.num_unparsed + counted.num_cut_off + counted.num_timeout + counted.num_cancelled
    assert counted.num_valid + invalid == len(cast)
    assert counted.num_votes == len(cast)
    assert 0 <= counted.num_agree <= counted.num_valid
    sizes = [[number for _, number in cast].count(number) for number in range(4)]
    assert counted.num_agree == max(sizes)
    assert counted.tied == (max(sizes) > 0 and sizes.count(max(sizes)) > 1)
    assert (counted.pseudo_label is None) == (counted.num_valid == 0)


def test_invalid_votes_weaken_the_majority_and_never_win() -> None:
    cut_off, unparsed = Vote(answer=None, status=VoteStatus.CUT_OFF), Vote(answer=None, status=VoteStatus.UNPARSED)
    timeout = Vote(answer=None, status=VoteStatus.TIMEOUT)
    counted = tally([cut_off, cut_off, valid("7"), unparsed, timeout], [None, None, 0, None, None])
    assert counted == Tally(
        num_votes=5,
        num_valid=1,
        num_agree=1,
        pseudo_label="7",
        tied=False,
        num_unparsed=1,
        num_cut_off=2,
        num_timeout=1,
    )
    assert counted.self_consistency == 0.2


def test_tie_goes_to_the_class_that_was_voted_first() -> None:
    votes = [valid("8"), valid("7"), valid("7"), valid("8"), valid("9")]
    counted = tally(votes, [4, 1, 1, 4, 0])
    assert (counted.pseudo_label, counted.num_agree, counted.tied) == ("8", 2, True)


def test_label_is_the_most_frequent_spelling_and_then_the_first() -> None:
    assert tally([valid("0.5"), valid("1/2"), valid("1/2")], [0, 0, 0]).pseudo_label == "1/2"
    assert tally([valid("0.5"), valid("1/2")], [0, 0]).pseudo_label == "0.5"


def test_without_a_valid_vote_there_is_no_label() -> None:
    counted = tally([Vote(answer=None, status=VoteStatus.TIMEOUT)] * 3, [None] * 3)
    assert (counted.pseudo_label, counted.num_agree, counted.tied) == (None, 0, False)
    assert ill_posed(counted, min_valid_frac=0.0)


@pytest.mark.parametrize(
    ("votes", "classes"),
    [
        ([], []),
        ([valid("7")], []),
        ([valid("7")], [None]),
        ([Vote(answer=None, status=VoteStatus.VALID)], [0]),
        ([Vote(answer=None, status=VoteStatus.CUT_OFF)], [0]),
        ([Vote(answer="7", status=VoteStatus.CUT_OFF)], [None]),
    ],
    ids=["empty", "lengths", "no class", "no answer", "class on invalid", "answer on invalid"],
)
def test_inconsistent_input_is_refused(votes: list[Vote], classes: list[int | None]) -> None:
    with pytest.raises(ValueError, match="vote"):
        tally(votes, classes)
