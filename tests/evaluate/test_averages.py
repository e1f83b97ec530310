"""The averaging rule, and BBEH's harmonic mean."""

from __future__ import annotations

import pytest

from rzero.evaluate.averages import GENERAL, MATH, averages, harmonic


def test_the_papers_row() -> None:
    """42.58, 20.88, 37.38 and 7.57 make 27.10 (Qwen3-4B-Base in the paper's table)."""
    headlines = dict.fromkeys(MATH, (0.4258, 0.40, 0.45))
    headlines |= {"supergpqa": (0.2088, 0.2, 0.22), "mmlu_pro": (0.3738, 0.36, 0.39), "bbeh": (0.0757, 0.07, 0.08)}
    found = averages(headlines)
    assert found["math"][0] == pytest.approx(0.4258)
    assert found["overall"][0] == pytest.approx(0.2710, abs=5e-5)
    assert found["general"][0] == pytest.approx((0.2088 + 0.3738 + 0.0757) / 3)
    for value, low, high in found.values():
        assert low < value < high


def test_no_average_of_some_members() -> None:
    assert averages(dict.fromkeys((*MATH[1:], *GENERAL[1:]), (0.5, 0.4, 0.6))) == {}


def test_the_interval_of_a_mean_is_narrower_than_its_members() -> None:
    _, low, high = averages(dict.fromkeys(MATH, (0.5, 0.4, 0.6)))["math"]
    assert high - low == pytest.approx(0.2 / len(MATH) ** 0.5)


def test_one_hopeless_category_pulls_the_harmonic_mean_down() -> None:
    even = harmonic({"a": [True, False] * 50, "b": [True, False] * 50})
    uneven = harmonic({"a": [True] * 100, "b": [False] * 100})
    assert even[0] == pytest.approx(0.51)
    assert uneven[0] < 0.03
    for value, low, high in (even, uneven):
        assert low <= value <= high
    assert even == harmonic({"a": [True, False] * 50, "b": [True, False] * 50})
