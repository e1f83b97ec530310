"""Pseudo-labels against an oracle: are they true, are the questions answerable, and how hard are they?

The paper measures label accuracy with a language model as judge; an oracle of the domain is exact.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from rzero.domains.base import Oracle
from rzero.evaluate.metrics import Z95
from rzero.grading.grader import Grader
from rzero.types import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFigures:
    """Shares over a set of questions; None where there is nothing to share.

    ``valid_frac``: of the questions that have a true answer. ``label_accuracy``: of the pseudo-labels that equal it,
    among questions with a label; a label of a question without a true answer is wrong. ``mean_difficulty`` is in the
    domain's own unit, with its 95 % interval over the questions (none of fewer than two).
    """

    num_questions: int
    valid_frac: float | None
    label_accuracy: float | None
    mean_difficulty: float | None
    difficulty_interval: tuple[float, float] | None
    problems: dict[str, int]


def measure(votes: Sequence[Mapping[str, Any]], *, oracle: Oracle, grader: Grader) -> LabelFigures:
    """The figures of the questions in rows of ``votes.jsonl`` (``question`` and ``pseudo_label`` are read).

    A label that votes which were cancelled could have changed (``label_certain`` is false) is no label.
    """
    truths = [oracle.solve(row["question"]) for row in votes]
    labelled = [
        (row["pseudo_label"], truth)
        for row, truth in zip(votes, truths, strict=True)
        if row["pseudo_label"] and row.get("label_certain", True)
    ]
    outcomes = grader.grade_many([(label, truth.answer) for label, truth in labelled if truth.answer is not None])
    difficulties = [oracle.difficulty(row["question"]) for row in votes]
    known = [difficulty for difficulty in difficulties if difficulty is not None]
    return LabelFigures(
        num_questions=len(votes),
        valid_frac=_share(sum(truth.answer is not None for truth in truths), len(truths)),
        label_accuracy=_share(sum(outcome is Outcome.RIGHT for outcome in outcomes), len(labelled)),
        mean_difficulty=fmean(known) if known else None,
        difficulty_interval=_interval(known),
        problems=dict(sorted(Counter(truth.problem for truth in truths if truth.problem).items())),
    )


def kept(votes: Sequence[Mapping[str, Any]], ids: Collection[str]) -> list[Mapping[str, Any]]:
    """The rows whose question is in the curriculum."""
    return [row for row in votes if row["id"] in ids]


def _interval(values: Sequence[float]) -> tuple[float, float] | None:
    if len(values) < 2:
        return None
    half = Z95 * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
