"""Does p̂ mean what it seems to? The share of true pseudo-labels among questions of equal self-consistency.

A perfectly calibrated label is true with probability p̂. Nothing in the method makes it so: votes that agree on the same
mistake have a large p̂ too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from rzero.evaluate.metrics import Accuracy, accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The labelled questions of one self-consistency: how many of their labels are true."""

    self_consistency: float
    label_accuracy: Accuracy


def levels(labels: Sequence[tuple[int, int, bool]]) -> list[Level]:
    """One level for each p̂ that occurs, from (num_agree, num_votes, whether the label is true), in rising order.

    >>> [(level.self_consistency, level.label_accuracy.value) for level in levels([(1, 2, False), (2, 4, True)])]
    [(0.5, 0.5)]
    """
    found: dict[Fraction, list[bool]] = {}
    for agree, votes, true in labels:
        found.setdefault(Fraction(agree, votes), []).append(true)
    return [
        Level(self_consistency=float(p), label_accuracy=accuracy(sum(trues), len(trues)))
        for p, trues in sorted(found.items())
    ]


def calibration_error(labels: Sequence[tuple[int, int, bool]]) -> float | None:
    """The mean over labels of abs(p̂ - share of true labels at that p̂), in [0, 1]; None without labels.

    >>> calibration_error([(1, 2, False), (1, 2, True), (4, 4, False)])
    0.3333333333333333
    """
    if not labels:
        return None
    gaps = [
        abs(level.self_consistency - level.label_accuracy.value) * level.label_accuracy.total
        for level in levels(labels)
    ]
    return sum(gaps) / len(labels)
