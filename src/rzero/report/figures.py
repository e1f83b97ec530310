"""Numbers with intervals, from what the run directory holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev

from rzero.evaluate.metrics import accuracy
from rzero.report.data import Figure


def share(part: int, whole: int) -> Figure | None:
    """``part`` of ``whole`` with its Wilson interval; None of nothing.

    >>> share(3, 4).value, share(0, 0)
    (0.75, None)
    """
    if whole == 0:
        return None
    found = accuracy(part, whole)
    return Figure(value=found.value, low=found.low, high=found.high)


def mean(values: Iterable[float], *, bounded: bool = False) -> Figure | None:
    """The mean of independent values with its t interval; None of no values, no interval of a single one.

    ``bounded`` keeps the interval within [0, 1].

    >>> mean([1.0, 2.0, 3.0]) # doctest: +ELLIPSIS
    Figure(value=2.0, low=-0.48..., high=4.48...)
    >>> mean([2.0])
    Figure(value=2.0, low=None, high=None)
    """
    found = [value for value in values if math.isfinite(value)]
    if not found:
        return None
    value = fmean(found)
    if len(found) == 1:
        return Figure(value=value)
    half = _t_quantile(len(found) - 1) * stdev(found) / math.sqrt(len(found))
    low, high = value - half, value + half
    return (
        Figure(value=value, low=max(0.0, low), high=min(1.0, high))
        if bounded
        else Figure(value=value, low=low, high=high)
    )


def present(figures: Sequence[tuple[str, Figure | None]]) -> dict[str, Figure]:
    """The figures that there are, by name."""
    return {name: figure for name, figure in figures if figure is not None}


def _t_quantile(degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))
