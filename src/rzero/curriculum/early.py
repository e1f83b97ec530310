"""When the votes that are still to come can no longer change what is decided from them.

The decision is taken from what is certain, whatever the rest may be. An answer that is a whole number, or a decimal of
fewer than six places, has a class of its own that no later vote can join to another number's (see
:meth:`rzero.grading.grader.Grader.classes_many`). Every other answer may turn out to be equal to any of these, or to
hang its worker, so it counts as a vote that has not come. Nothing here waits for a worker process: when votes are
cancelled depends on the votes alone, and not on how fast they are graded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from rzero.types import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is certain of the m votes on a question.

    ``num_valid`` votes are certainly valid, ``num_agree`` of them are in the largest certain class, and ``num_open``
    may still turn out as anything. ``leads`` says that the pseudo-label is certain too.
    """

    num_votes: int
    num_valid: int
    num_agree: int
    num_open: int
    leads: bool

    @property
    def agree_bounds(self) -> tuple[int, int]:
        """The least and the most votes that the majority can come to have."""
        return self.num_agree, self.num_agree + self.num_open

    def outcomes(self) -> Iterator[Tally]:
        """Every tally that the open votes can lead to, as far as counts go, and possibly some that they cannot."""
        for valid in range(self.num_valid, self.num_valid + self.num_open + 1):
            for agree in range(max(self.num_agree, min(valid, 1)), self.num_agree + valid - self.num_valid + 1):
                label = "" if agree else None
                yield Tally(num_votes=self.num_votes, num_valid=valid, num_agree=agree, pseudo_label=label, tied=False)


@dataclass(slots=True, kw_only=True)
class Ballot:
    """The votes on one question as they come in. ``num_votes`` is m."""

    num_votes: int
    _spellings: dict[Fraction, Counter[str]] = field(default_factory=dict[Fraction, Counter[str]])
    _num_invalid: int = 0

    def add_certain(self, value: Fraction, answer: str) -> None:
        """A vote for the number ``value``, written as ``answer``."""
        self._spellings.setdefault(value, Counter())[answer] += 1

    def add_invalid(self) -> None:
        """A vote that was cut off, or holds no answer that may be parsed."""
        self._num_invalid += 1

    def standing(self) -> Standing:
        """What is certain now; votes that were not added are open."""
        sizes = sorted((counts.total() for counts in self._spellings.values()), reverse=True)
        valid, agree = sum(sizes), max(sizes, default=0)
        left = self.num_votes - valid - self._num_invalid
        # Strictly ahead by more than what is open, as a class and as a spelling in it: no tie is left to be broken.
        leads = agree > left + (sizes[1] if len(sizes) > 1 else 0)
        if leads:
            largest = max(self._spellings.values(), key=lambda counts: counts.total())
            spelled = [count for _, count in largest.most_common(2)]
            leads = spelled[0] > left + (spelled[1] if len(spelled) > 1 else 0)
        return Standing(num_votes=self.num_votes, num_valid=valid, num_agree=agree, num_open=left, leads=leads)


def only_outcome(standing: Standing, decide: Callable[[Tally], Hashable]) -> Hashable | None:
    """What ``decide`` says of every tally that ``standing`` can lead to, or None where it says more than one thing.

    >>> eight_of_ten = Standing(num_votes=10, num_valid=8, num_agree=8, num_open=2, leads=True)
    >>> only_outcome(eight_of_ten, lambda tally: "too easy" if tally.num_agree > 7 else "kept")
    'too easy'
    """
    found = {decide(tally) for tally in standing.outcomes()}
    return found.pop() if len(found) == 1 else None
