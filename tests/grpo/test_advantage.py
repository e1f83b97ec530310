from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero.grpo.advantage import advantages

rewards = st.lists(st.floats(-100, 100), min_size=2, max_size=16)


@given(rewards)
def test_advantages_sum_to_zero_and_keep_the_order(values: list[float]) -> None:
    found = advantages(values)
    if len(set(values)) == 1:
        assert found is None
        return
    assert found is not None
    assert math.fsum(found) == pytest.approx(0, abs=1e-12 * len(values) * max(map(abs, values)) / 1e-6)
    assert all((found[i] <= found[j]) for i in range(len(values)) for j in range(len(values)) if values[i] <= values[j])


@given(st.lists(st.integers(-50, 50).map(float), min_size=2, max_size=16).filter(lambda v: len(set(v)) > 1))
def test_advantages_agree_with_numpy(values: list[float]) -> None:
    array = np.array(values)
    np.testing.assert_allclose(
        np.array(advantages(values)), (array - array.mean()) / (array.std(ddof=1) + 1e-6), rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(
        np.array(advantages(values, divide_by_std=False)), array - array.mean(), rtol=1e-9, atol=1e-12
    )


def test_equal_rewards_have_no_advantages_even_where_the_mean_rounds() -> None:
    assert advantages([0.1] * 3) is None  # (0.1 + 0.1 + 0.1) / 3 != 0.1 in floating point
    assert advantages([0.1] * 3, divide_by_std=False) is None
