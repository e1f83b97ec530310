"""Counting the Solver's votes on a question: the majority, its share p̂, and whether there were votes enough.

Differences from the official code: answers are the same if the grader says so, in both directions, not by string or
substring; a completion without an answer is no vote for "None" but stays in the denominator m; ties are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rzero.types import Tally, Vote, VoteStatus


def tally(votes: Sequence[Vote], classes: Sequence[int | None]) -> Tally:
    """Count the m votes on one question (paper: ỹ(x) and p̂(x; S)).

    ``classes`` [m] holds the grader's equivalence class of each answer; None for a vote that is not valid.
    The majority is the largest class; of equally large ones, that which was voted first, and then ``tied`` is true.
    ``pseudo_label`` is the majority's most frequent spelling, and of equally frequent ones that which was voted first:
    the order of the votes decides in ties alone. Without a valid vote it is None and ``num_agree`` is 0.

    Raises ValueError for no votes, lengths that differ, or a class on an invalid vote (or none on a valid one).

    >>> votes = [Vote(answer=answer, status=VoteStatus.VALID) for answer in ("0.5", "1/2", "2", "1/2")]
    >>> votes.append(Vote(answer=None, status=VoteStatus.CUT_OFF))
    >>> counted = tally(votes, [0, 0, 1, 0, None])
    >>> counted.pseudo_label, counted.self_consistency, counted.num_cut_off
    ('1/2', 0.6, 1)
    """
    if not votes or len(votes) != len(classes):
        raise ValueError(
            f"a tally needs at least one vote and a class for each: {len(votes)} votes, {len(classes)} classes"
        )
    members: dict[int, list[str]] = {}
    for vote, number in zip(votes, classes, strict=True):
        if vote.status is VoteStatus.VALID and vote.answer is not None and number is not None:
            members.setdefault(number, []).append(vote.answer)
        elif vote.status is VoteStatus.VALID or vote.answer is not None or number is not None:
            raise ValueError(
                f"a valid vote has an answer and a class, any other vote has neither: {vote}, class {number}"
            )
    # max and most_common keep the first of equals, and dicts keep the order of voting.
    no_answers: list[str] = []
    majority = max(members.values(), key=len, default=no_answers)
    statuses = Counter(vote.status for vote in votes)
    return Tally(
        num_votes=len(votes),
        num_valid=statuses[VoteStatus.VALID],
        num_agree=len(majority),
        pseudo_label=Counter(majority).most_common(1)[0][0] if majority else None,
        tied=sum(len(answers) == len(majority) for answers in members.values()) > 1,
        num_unparsed=statuses[VoteStatus.UNPARSED],
        num_cut_off=statuses[VoteStatus.CUT_OFF],
        num_timeout=statuses[VoteStatus.TIMEOUT],
        num_cancelled=statuses[VoteStatus.CANCELLED],
    )


def ill_posed(tally: Tally, *, min_valid_frac: float) -> bool:
    """Whether too few of the votes are valid to say anything of the question: no reward, and never in the curriculum.

    >>> counted = Tally(num_votes=10, num_valid=4, num_agree=4, pseudo_label="7", tied=False, num_cut_off=6)
    >>> ill_posed(counted, min_valid_frac=0.5), ill_posed(counted, min_valid_frac=0.4)
    (True, False)
    """
    return tally.pseudo_label is None or tally.valid_frac < min_valid_frac
