"""What is certain of some votes holds of all of them, whatever the rest turn out to be."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from rzero.curriculum.early import Ballot, Standing, only_outcome
from rzero.curriculum.votes import tally
from rzero.types import Tally, Vote, VoteStatus

# A vote: a class with one of two spellings, or None for one that is not valid.
Cast = tuple[int, int] | None
casts = st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 2), st.integers(0, 1))), min_size=1, max_size=11)


def count(cast: Sequence[Cast]) -> Tally:
    invalid = Vote(answer=None, status=VoteStatus.UNPARSED)
    votes = [invalid if one is None else Vote(answer=f"{one[0]}.{one[1]}", status=VoteStatus.VALID) for one in cast]
    return tally(votes, [None if one is None else one[0] for one in cast])


def stand(cast: Sequence[Cast], seen: Sequence[int]) -> Standing:
    ballot = Ballot(num_votes=len(cast))
    for index in seen:
        one = cast[index]
        if one is None:
            ballot.add_invalid()
        else:
            ballot.add_certain(Fraction(one[0]), f"{one[0]}.{one[1]}")
    return ballot.standing()


@settings(deadline=None)
@given(casts, st.data())
def test_full_voting_is_among_the_outcomes(cast: list[Cast], data: st.DataObject) -> None:
    """The votes that were not seen stand for those that have not come and for those that no number is certain of."""
    order = data.draw(st.permutations(range(len(cast))))
    full = count(cast)
    for seen in range(len(cast) + 1):
        standing = stand(cast, order[:seen])
        assert (full.num_valid, full.num_agree) in {(t.num_valid, t.num_agree) for t in standing.outcomes()}
        low, high = standing.agree_bounds
        assert low <= full.num_agree <= high
        if standing.leads:
            label = count([cast[index] if index in order[:seen] else None for index in range(len(cast))]).pseudo_label
            assert full.pseudo_label == label and not full.tied
    assert stand(cast, order).num_open == 0


@settings(deadline=None)
@given(casts, st.integers(1, 3))
def test_every_outcome_can_come(cast: list[Cast], left: int) -> None:
    """Nothing is called open that is certain: each outcome is that of some votes in the place of the open ones."""
    standing = stand([*cast, *[None] * left], range(len(cast)))
    sizes = {number: sum(one is not None and one[0] == number for one in cast) for number in range(3)}
    largest = max(sizes, key=lambda number: sizes[number])
    reached = set()
    for joining in range(left + 1):
        for others in range(left - joining + 1):
            rest = [(largest, 0)] * joining + [(10 + other, 0) for other in range(others)]
            full = count([*cast, *rest, *[None] * (left - joining - others)])
            reached.add((full.num_valid, full.num_agree))
    assert {(t.num_valid, t.num_agree) for t in standing.outcomes()} == reached


def test_a_label_is_certain_only_beyond_every_tie() -> None:
    votes: list[Cast] = [(0, 0)] * 5 + [(1, 0)] * 2
    assert not stand([*votes, None, None, None], range(7)).leads  # 5 : 2 + 3 would be a tie
    assert stand([*votes, (1, 0), None, None], range(8)).leads is False  # 5 : 3 + 2
    assert stand([*votes, None, None], range(7)).leads
    spelled: list[Cast] = [(0, 0)] * 3 + [(0, 1)] * 2
    assert not stand([*spelled, None], range(5)).leads  # the class is certain, its spelling is not
    assert stand([*spelled, (0, 0), None], range(6)).leads


def test_only_one_outcome() -> None:
    standing = stand([(0, 0)] * 8 + [None, None], range(8))
    assert only_outcome(standing, lambda t: t.num_agree >= 8) is True
    assert only_outcome(standing, lambda t: t.num_agree) is None
