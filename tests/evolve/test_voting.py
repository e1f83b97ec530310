from __future__ import annotations

from collections.abc import Iterator

import pytest

from rzero.evolve.voting import count, tally_from_row
from rzero.grading.grader import Grader
from rzero.types import Completion, FinishReason, VoteStatus


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(timeout_s=2.0) as found:
        yield found


def completion(text: str, reason: FinishReason = FinishReason.STOP) -> Completion:
    return Completion(token_ids=(1,), logprobs=(-1.0,), finish_reason=reason, text=text)


def test_cut_off_and_unparsed_answers_are_no_votes(grader: Grader) -> None:
    """m = 10: four say 1/2 in three spellings, two say 3, one is cut off, two have no box, one no parser may see."""
    answers = ["1/2", "3", "0.5", None, r"\frac{1}{2}", None, "1/2", "7", "3", "9" * 5000]
    reasons = [FinishReason.STOP] * 10
    reasons[7] = FinishReason.LENGTH
    group = [completion(str(answer), reason) for answer, reason in zip(answers, reasons, strict=True)]
    found = count([answers], [group], grader=grader)[0]
    assert found.tally.pseudo_label == "1/2"
    assert (found.tally.num_votes, found.tally.num_agree) == (10, 4)
    assert found.tally.self_consistency == 0.4
    assert (found.tally.num_unparsed, found.tally.num_cut_off, found.tally.num_timeout) == (3, 1, 0)
    assert found.tally.num_valid == 6 and not found.tally.tied
    assert found.votes[7].status is VoteStatus.CUT_OFF
    assert all((vote.answer is None) != (vote.status is VoteStatus.VALID) for vote in found.votes)


def test_an_answer_that_hangs_the_parser_is_no_vote() -> None:
    with Grader(timeout_s=0.001) as impatient:
        answers = [r"\sqrt{12}", r"\sqrt{27}", "5", "5"]
        found = count([answers], [[completion(str(answer)) for answer in answers]], grader=impatient)[0]
    assert (found.tally.num_timeout, found.tally.num_valid, found.tally.pseudo_label) == (2, 2, "5")
    assert found.tally.self_consistency == 0.5


def test_no_vote_at_all(grader: Grader) -> None:
    found = count([[None, None]], [[completion("None"), completion("")]], grader=grader)[0]
    assert found.tally.pseudo_label is None and found.tally.self_consistency == 0.0


def test_a_row_holds_the_whole_tally(grader: Grader) -> None:
    found = count([["1", "2"]], [[completion("a"), completion("b")]], grader=grader)[0]
    assert tally_from_row(found.as_row()) == found.tally
    assert found.tally.tied and found.tally.pseudo_label == "1"
