"""Questions and their tallies in, the Solver's curriculum and its statistics out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from rzero.curriculum.band import judge
from rzero.types import CurriculumItem, Rejection, Tally, VoteStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedEarly:
    """Questions of which votes were cancelled, and what is known of the mean p̂ all the same: (least, greatest)."""

    num_questions: int
    num_votes: int
    mean_self_consistency_all: tuple[float, float]
    mean_self_consistency_kept: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What became of the questions: ``num_questions`` is ``num_kept`` plus the sum of ``rejected``.

    ``rejected`` counts questions by :class:`Rejection`, with every value as a key; ``votes`` counts the votes taken by
    :class:`VoteStatus`, with every value but CANCELLED. The means are None where there is nothing to average.
    ``agree_all`` and ``agree_kept`` are histograms [m + 1]: entry k counts the questions whose majority has k votes.

    Where votes were cancelled ``stopped_early`` says so. A mean over questions whose p̂ is not all known is then None,
    and ``num_tied`` and the histograms are of those questions that have all their votes.
    """

    num_questions: int
    num_kept: int
    num_tied: int
    rejected: dict[str, int]
    votes: dict[str, int]
    mean_self_consistency_all: float | None
    mean_self_consistency_kept: float | None
    agree_all: list[int]
    agree_kept: list[int]
    stopped_early: StoppedEarly | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; ``stopped_early`` is there if votes were cancelled."""
        values = asdict(self)
        return values if self.stopped_early else {name: values[name] for name in values if name != "stopped_early"}


def build(
    questions: Sequence[tuple[str, str]],
    tallies: Sequence[Tally],
    *,
    band_low: float,
    band_high: float,
    min_valid_frac: float,
) -> tuple[list[CurriculumItem], Statistics]:
    """Keep the ``(id, text)`` questions whose tally is in the band, in their order, and count all.

    Raises ValueError if the lengths differ.

    >>> tallies = [
    ...     Tally(num_votes=4, num_valid=4, num_agree=agree, pseudo_label="7", tied=False) for agree in (1, 2, 4)
    ... ]
    >>> items, statistics = build(
    ...     [("a", "3 + 4?"), ("b", "14 / 2?"), ("c", "7?")], tallies, band_low=0.3, band_high=0.7, min_valid_frac=0.5
    ... )
    >>> items
    [CurriculumItem(question_id='b', question='14 / 2?', pseudo_label='7', self_consistency=0.5)]
    >>> statistics.rejected
    {'invalid': 0, 'too_hard': 1, 'too_easy': 1}
    """
    if len(questions) != len(tallies):
        raise ValueError(f"each question needs its tally: {len(questions)} questions, {len(tallies)} tallies")
    items: list[CurriculumItem] = []
    kept: list[Tally] = []
    rejected = dict.fromkeys(map(str, Rejection), 0)
    for (question_id, text), tally in zip(questions, tallies, strict=True):
        rejection = judge(tally, band_low=band_low, band_high=band_high, min_valid_frac=min_valid_frac)
        if rejection is not None:
            rejected[rejection.value] += 1
            continue
        assert tally.pseudo_label is not None  # judge calls such a tally INVALID
        kept.append(tally)
        items.append(
            CurriculumItem(
                question_id=question_id,
                question=text,
                pseudo_label=tally.pseudo_label,
                self_consistency=None if tally.num_cancelled else tally.self_consistency,
            )
        )
    return items, _statistics(tallies, kept, rejected)


def _statistics(tallies: Sequence[Tally], kept: Sequence[Tally], rejected: dict[str, int]) -> Statistics:
    num_votes = max((tally.num_votes for tally in tallies), default=0)
    return Statistics(
        num_questions=len(tallies),
        num_kept=len(kept),
        num_tied=sum(tally.tied for tally in tallies if not tally.num_cancelled),
        rejected=rejected,
        votes={
            VoteStatus.VALID.value: sum(tally.num_valid for tally in tallies),
            VoteStatus.UNPARSED.value: sum(tally.num_unparsed for tally in tallies),
            VoteStatus.CUT_OFF.value: sum(tally.num_cut_off for tally in tallies),
            VoteStatus.TIMEOUT.value: sum(tally.num_timeout for tally in tallies),
        },
        mean_self_consistency_all=_mean_self_consistency(tallies),
        mean_self_consistency_kept=_mean_self_consistency(kept),
        agree_all=_agree_histogram(tallies, num_votes),
        agree_kept=_agree_histogram(kept, num_votes),
        stopped_early=_stopped_early(tallies, kept),
    )


def _stopped_early(tallies: Sequence[Tally], kept: Sequence[Tally]) -> StoppedEarly | None:
    cancelled = [tally.num_cancelled for tally in tallies if tally.num_cancelled]
    all_bounds = mean_self_consistency_bounds(tallies)
    if not cancelled or all_bounds is None:
        return None
    return StoppedEarly(
        num_questions=len(cancelled),
        num_votes=sum(cancelled),
        mean_self_consistency_all=all_bounds,
        mean_self_consistency_kept=mean_self_consistency_bounds(kept),
    )


def mean_self_consistency_bounds(tallies: Sequence[Tally]) -> tuple[float, float] | None:
    """The least and the greatest mean p̂ that are possible; None without questions.

    >>> whole = Tally(num_votes=10, num_valid=10, num_agree=5, pseudo_label="7", tied=False)
    >>> part = Tally(num_votes=10, num_valid=8, num_agree=8, pseudo_label="7", tied=False, num_cancelled=2,
    ...     agree_bounds=(8, 10))
    >>> mean_self_consistency_bounds([whole, part])
    (0.65, 0.75)
    """
    if not tallies:
        return None
    bounds = [tally.self_consistency_bounds for tally in tallies]
    return fmean(low for low, _ in bounds), fmean(high for _, high in bounds)


def _mean_self_consistency(tallies: Sequence[Tally]) -> float | None:
    known = bool(tallies) and not any(tally.num_cancelled for tally in tallies)
    return fmean(tally.self_consistency for tally in tallies) if known else None


def _agree_histogram(tallies: Iterable[Tally], num_votes: int) -> list[int]:
    counts = Counter(tally.num_agree for tally in tallies if not tally.num_cancelled)
    return [counts[agree] for agree in range(num_votes + 1)]
