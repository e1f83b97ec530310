"""Votes read while the engine still samples: the answer, its grading ahead of time, and what is certain by now."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from rzero.curriculum.early import Ballot, Standing
from rzero.domains.base import Domain
from rzero.evolve.stop_early import Settled
from rzero.grading.ahead import GradingAhead
from rzero.grading.grader import certain_class
from rzero.types import Completion, FinishReason, Outcome, Prompt


class IncomingVotes:
    """A sampler's ``on_finish`` for the votes on questions.

    ``answers`` [questions][m] fills up; a vote that is cut off or cancelled has none.
    """

    def __init__(
        self, domain: Domain, prompts: Sequence[Prompt], *, num_votes: int, ahead: GradingAhead, settled: Settled | None
    ) -> None:
        self.answers: list[list[str | None]] = [[None] * num_votes for _ in prompts]
        self._domain = domain
        self._prompts = prompts
        self._ahead = ahead
        self._settled = settled
        self._ballots = [Ballot(num_votes=num_votes) for _ in prompts]

    def __call__(self, question: int, index: int, completion: Completion) -> bool:
        """Read one vote; whether the question's other votes are no longer needed."""
        cut_off = completion.finish_reason is FinishReason.LENGTH
        text = self._prompts[question].prefill + completion.text
        answer = None if cut_off else self._domain.extract_answer(text)
        self.answers[question][index] = answer
        if answer is not None:
            self._ahead.classes(self.answers[question])
        if self._settled is None:
            return False
        certain = certain_class(answer)
        if isinstance(certain, Fraction):
            assert answer is not None
            self._ballots[question].add_certain(certain, answer)
        elif certain is Outcome.UNPARSED:
            self._ballots[question].add_invalid()
        return self._settled(question, self.standing(question))

    def standing(self, question: int) -> Standing:
        """What is certain of a question's votes."""
        return self._ballots[question].standing()
