"""Five numbers that tell early whether an iteration went well, each with what is healthy and what to do otherwise.

The limits are rules of thumb, the same as in ``docs/running.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rzero.report.data import Figure, Health


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    name: str
    figure: str
    limit: float
    above: bool
    sentence: str


_RULES = (
    _Rule(
        name="Votes that count",
        figure="votes.valid_frac",
        limit=0.8,
        above=True,
        sentence="Healthy above 80 %: the Solver ends with an answer in the asked form. Below, read the votes; "
        "vote.max_new_tokens may be too low.",
    ),
    _Rule(
        name="Questions in the band",
        figure="curriculum.kept_frac",
        limit=0.2,
        above=True,
        sentence="Healthy above 20 %: the Challenger writes at the edge of what the Solver can do. Below, train it "
        "longer, or look at whether questions are too hard or too easy.",
    ),
    _Rule(
        name="Distinct questions",
        figure="pool.distinct_frac",
        limit=0.9,
        above=True,
        sentence="Healthy above 90 %: few questions are written twice. Below, the Challenger repeats itself; raise "
        "challenger.repetition_weight or generate.temperature.",
    ),
    _Rule(
        name="Solver groups that teach nothing",
        figure="solver.zero_variance_frac",
        limit=0.5,
        above=False,
        sentence="Healthy below 50 %: in most groups some answers earn more than others. Above, raise "
        "solver.group_size or narrow the band.",
    ),
    _Rule(
        name="Solver answers cut off",
        figure="solver.cut_off_frac",
        limit=0.1,
        above=False,
        sentence="Healthy below 10 %: answers have room to end. Above, raise solver.max_new_tokens, or read whether "
        "the Solver rambles.",
    ),
)


def health(figures: Mapping[str, Figure]) -> list[Health]:
    """The strip of an iteration with these ``figures``.

    >>> strip = health({"votes.valid_frac": Figure(value=0.95), "solver.cut_off_frac": Figure(value=0.4)})
    >>> [entry.status for entry in strip]
    ['healthy', 'unknown', 'unknown', 'unknown', 'watch']
    """
    return [_judged(rule, figures.get(rule.figure)) for rule in _RULES]


def _judged(rule: _Rule, figure: Figure | None) -> Health:
    if figure is None:
        return Health(name=rule.name, value=None, status="unknown", sentence=rule.sentence)
    good = figure.value >= rule.limit if rule.above else figure.value <= rule.limit
    return Health(name=rule.name, value=figure.value, status="healthy" if good else "watch", sentence=rule.sentence)
