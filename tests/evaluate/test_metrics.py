from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from rzero.evaluate.metrics import accuracy, mean_accuracy, wilson

trials = st.integers(1, 10_000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


@given(trials)
def test_wilson_equals_scipy(counts: tuple[int, int]) -> None:
    successes, total = counts
    interval = binomtest(successes, total).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(successes, total) == pytest.approx((interval.low, interval.high), abs=1e-7)


@given(trials)
def test_interval_holds_the_share_and_mirrors(counts: tuple[int, int]) -> None:
    right, total = counts
    result = accuracy(right, total)
    assert (result.right, result.total, result.value) == (right, total, right / total)
    assert 0.0 <= result.low <= result.value <= result.high <= 1.0
    low, high = wilson(total - right, total)
    assert (1 - high, 1 - low) == pytest.approx((result.low, result.high), abs=1e-12)


def test_more_trials_and_smaller_z_narrow_the_interval() -> None:
    def width(interval: tuple[float, float]) -> float:
        return interval[1] - interval[0]

    assert width(wilson(50, 100)) < width(wilson(5, 10))
    assert width(wilson(5, 10, z=1.0)) < width(wilson(5, 10))


@pytest.mark.parametrize(("successes", "total"), [(0, 0), (5, 4), (-1, 4), (0, -1)])
def test_counts_without_a_share_are_refused(successes: int, total: int) -> None:
    with pytest.raises(ValueError, match=f"{successes} of {total}"):
        wilson(successes, total)


@pytest.mark.parametrize("shares", [[1.0], [1.0] * 20, [0.0] * 20, [0.5] * 20])
def test_equal_shares_are_no_certainty(shares: list[float]) -> None:
    mean, low, high = mean_accuracy(shares)
    assert mean == shares[0] and low <= mean <= high and high - low > 0.1


def test_mean_accuracy_is_the_normal_interval_of_the_mean() -> None:
    shares = [0.0, 0.25, 0.5, 1.0] * 25
    mean, low, high = mean_accuracy(shares)
    error = float(np.std(shares, ddof=1)) / 10
    assert (mean, low, high) == pytest.approx((0.4375, 0.4375 - 1.959964 * error, 0.4375 + 1.959964 * error))
    with pytest.raises(ValueError, match="no questions"):
        mean_accuracy([])
