"""Shares with intervals: every accuracy that rzero reports says how far chance alone could have moved it.

The paper and its official code report shares without intervals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

Z95 = 1.959964
"""Standard errors on either side of an estimate that make a 95 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """``right`` of ``total`` as a share, with its 95 % Wilson interval ``low``..``high``; all three in [0, 1]."""

    right: int
    total: int
    value: float
    low: float
    high: float


def accuracy(right: int, total: int) -> Accuracy:
    """The share ``right``/``total`` with its 95 % interval. Raises ValueError as :func:`wilson` does.

    >>> accuracy(3, 4).value
    0.75
    """
    low, high = wilson(right, total)
    return Accuracy(right=right, total=total, value=right / total, low=low, high=high)


def wilson(successes: int, total: int, *, z: float = 1.959964) -> tuple[float, float]:
    """Wilson score interval (Wilson 1927) of a share; the default ``z`` gives 95 %.

    It stays within [0, 1] and holds for few trials and for shares near 0 and 1. It takes the trials as independent:
    several samples of one question are not, and it is then too narrow.
    Raises ValueError unless 0 <= successes <= total and total > 0: of no trials there is no share.

    >>> [round(end, 4) for end in wilson(8, 10)]
    [0.4902, 0.9433]
    >>> [round(end, 4) for end in wilson(0, 10)]
    [0.0, 0.2775]
    """
    if total <= 0 or not 0 <= successes <= total:
        raise ValueError(f"a share needs 0 <= successes <= total and total > 0: {successes} of {total}")
    return _wilson(successes / total, total, z)


def _wilson(share: float, total: int, z: float) -> tuple[float, float]:
    centre = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # The interval holds the share itself; rounding must not say otherwise at 0 and 1.
    return max(0.0, min(share, (centre - half) / scale)), min(1.0, max(share, (centre + half) / scale))


def mean_accuracy(shares: Sequence[float], *, z: float = 1.959964) -> tuple[float, float, float]:
    """mean@k with its 95 % interval: (mean, low, high), from each question's share of right answers [questions].

    The samples of one question depend on each other, so the interval comes from the spread between questions.
    Raises ValueError if there are no questions.

    >>> [round(value, 4) for value in mean_accuracy([1.0, 0.0, 0.5, 0.5])]
    [0.5, 0.0999, 0.9001]
    """
    if not shares:
        raise ValueError("the mean accuracy of no questions is not defined")
    mean = fmean(shares)
    spread = stdev(shares) if len(shares) > 1 else 0.0
    if spread == 0.0:
        # Equal shares, all right or all wrong above all, are no proof that further questions would be equal too.
        return (mean, *_wilson(mean, len(shares), z))
    half = z * spread / math.sqrt(len(shares))
    return mean, max(0.0, mean - half), min(1.0, mean + half)


def pass_at_k(n: int, right: int, k: int) -> float:
    """The unbiased estimate (Chen et al. 2021) of the chance that k answers hold a right one, from ``right`` of n.

    1 - C(n - right, k) / C(n, k). Raises ValueError unless 0 <= right <= n and 1 <= k <= n.

    >>> pass_at_k(4, 1, 1), pass_at_k(4, 1, 2), pass_at_k(4, 0, 4), pass_at_k(4, 3, 2)
    (0.25, 0.5, 0.0, 1.0)
    """
    if not (0 <= right <= n and 1 <= k <= n):
        raise ValueError(f"pass@k needs 0 <= right <= n and 1 <= k <= n: right {right}, n {n}, k {k}")
    return 1.0 - math.comb(n - right, k) / math.comb(n, k)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """(mean, low, high) over questions: Wilson's interval if every value is 0 or 1, else that of the spread.

    Raises ValueError if there are no values.

    >>> interval([1.0, 0.0, 1.0, 1.0]) == (0.75, *wilson(3, 4))
    True
    """
    if values and set(values) <= {0.0, 1.0}:
        return (fmean(values), *wilson(int(sum(values)), len(values)))
    return mean_accuracy(values)
