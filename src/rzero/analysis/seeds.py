"""Means over seeds, and differences between two settings that share their seeds, with 95 % intervals.

Seeds are few, so the intervals are Student's t; of a single seed there is none. They speak of the spread between seeds
on one test set and one base model, and not of other test sets or models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over ``num_seeds`` seeds; ``half`` is half its 95 % interval, None for a single seed."""

    mean: float
    half: float | None
    num_seeds: int


def over_seeds(values: Sequence[float]) -> Estimate:
    """The mean of one value for each seed. Raises ValueError if there are none.

    >>> estimate = over_seeds([1.0, 2.0, 3.0])
    >>> estimate.mean, round(estimate.half, 3)
    (2.0, 2.484)
    """
    if not values:
        raise ValueError("there is no mean over no seeds")
    half = None
    if len(values) > 1:
        from scipy.stats import t

        half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return Estimate(mean=fmean(values), half=half, num_seeds=len(values))


def paired(values: Mapping[int, float], baseline: Mapping[int, float]) -> Estimate | None:
    """The mean difference over the seeds that both have (seed to value), each seed against itself; None if none.

    >>> paired({0: 5.0, 1: 7.0, 2: 1.0}, {0: 4.0, 1: 6.0}).mean
    1.0
    """
    shared = [seed for seed in values if seed in baseline]
    return over_seeds([values[seed] - baseline[seed] for seed in shared]) if shared else None
