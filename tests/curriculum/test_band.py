from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero.curriculum.band import judge
from rzero.types import Rejection, Tally


def voted(agree: int, *, of: int = 10, valid: int | None = None) -> Tally:
    num_valid = of if valid is None else valid
    return Tally(
        num_votes=of,
        num_valid=num_valid,
        num_agree=agree,
        pseudo_label="7" if agree else None,
        tied=False,
        num_cut_off=of - num_valid,
    )


def test_three_to_seven_of_ten_are_kept() -> None:
    verdicts = [judge(voted(agree), band_low=0.25, band_high=0.75, min_valid_frac=0.5) for agree in range(1, 11)]
    assert verdicts == [Rejection.TOO_HARD] * 2 + [None] * 5 + [Rejection.TOO_EASY] * 3


@pytest.mark.parametrize(
    ("low", "high", "kept"),
    [
        (0.3, 0.7, [3, 4, 5, 6, 7]),
        (0.1, 0.1, [1]),
        (0.6, 0.6, [6]),
        (0.30000000000000004, 0.6999999999999999, [4, 5, 6]),
        (0.0, 1.0, list(range(1, 11))),
    ],
)
def test_edges_are_the_decimals_as_written(low: float, high: float, kept: list[int]) -> None:
    verdicts = {agree: judge(voted(agree), band_low=low, band_high=high, min_valid_frac=0.0) for agree in range(1, 11)}
    assert [agree for agree, verdict in verdicts.items() if verdict is None] == kept


def test_invalid_comes_first() -> None:
    assert judge(voted(1, valid=4), band_low=0.25, band_high=0.75, min_valid_frac=0.5) is Rejection.INVALID
    assert judge(voted(4, valid=4), band_low=0.25, band_high=0.75, min_valid_frac=0.5) is Rejection.INVALID
    assert judge(voted(4, valid=5), band_low=0.25, band_high=0.75, min_valid_frac=0.5) is None


def test_no_label_is_invalid_even_with_the_filter_off() -> None:
    assert judge(voted(0, valid=0), band_low=0.0, band_high=1.0, min_valid_frac=0.0) is Rejection.INVALID


@given(st.integers(1, 64).flatmap(lambda m: st.tuples(st.integers(1, m), st.just(m))), st.integers(0, 100))
def test_symmetric_band_is_the_papers_delta(votes: tuple[int, int], percent: int) -> None:
    agree, num_votes = votes
    delta = Fraction(percent, 200)
    verdict = judge(
        voted(agree, of=num_votes),
        band_low=float(Fraction(1, 2) - delta),
        band_high=float(Fraction(1, 2) + delta),
        min_valid_frac=0.5,
    )
    assert (verdict is None) == (abs(Fraction(agree, num_votes) - Fraction(1, 2)) <= delta)
