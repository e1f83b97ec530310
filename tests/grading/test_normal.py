from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero.grading.normal import as_number, normal_form, same_number

PLAIN = "0123456789abexyE+-*/=^_(){}[],.!$%\\ ~°−"
COMMANDS = [r"\frac", r"\dfrac", r"\left", r"\right", r"\text{", r"\mathrm{", r"\times", r"\circ", r"\,", r"\!", r"\("]
ALPHABET = st.sampled_from([*PLAIN, *COMMANDS, r"\)", "**", "word"])
SOUP = st.lists(ALPHABET, max_size=25).map("".join)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("$5$", "5"),
        (r"\(5\)", "5"),
        ("$$ 5 $$.", "5"),
        ("**73**", "73"),
        (r"\dfrac{1}{2}", r"\frac12"),
        (r"\left( 1 , 2 \right)", "(1,2)"),
        ("10,080", "10080"),
        (r"10,\!080", "10080"),
        (r"11,\! 111,\! 100", "11111100"),
        ("10{,}080", "10080"),
        (r"10\,080", "10080"),
        (r"30^{\circ}", "30°"),
        (r"30^\circ", "30°"),
        (r"\mbox{yes}", r"\text{yes}"),
        (r"\text{Noor}", "Noor"),
        ("x^{2}+E_{1}", "x^2+E_1"),
        ("−3", "-3"),
        ("4.5e33", "4.5E33"),
    ],
)
def test_spellings_of_one_answer(a: str, b: str) -> None:
    assert normal_form(a) == normal_form(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("1, 234", "1234"),
        ("1,23", "123"),
        ("0,123", "0123"),
        ("(1,234)", "(1234)"),
        ("1 2", "12"),
        ("2 e3", "2000"),
        (r"\pi r", r"\pir"),
        ("0.333...", "0.333"),
        ("52_8", "52_9"),
        ("5 cm", "5 m"),
        (r"50\%", "50"),
        (r"1\frac{4}{5}", r"\frac{14}{5}"),
        ("x^{23}", "x^23"),
        ("$1$, $2$", "1$,$2"),
        (r"5\\,6", "56"),
        ("tea", "eat"),
    ],
)
def test_different_answers_stay_different(a: str, b: str) -> None:
    assert normal_form(a) != normal_form(b)


@given(SOUP | st.text(max_size=30))
def test_normal_form_is_idempotent(text: str) -> None:
    once = normal_form(text)
    assert normal_form(once) == once


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
def test_integers_keep_their_value_in_every_spelling(a: int, b: int) -> None:
    for spelling in (f"{a}", f"${a}$", f"{a:,}", f" {a}.", f"\\({a}\\)", f"{a}.0", f"{a}e0"):
        assert as_number(normal_form(spelling)) == a
    assert (normal_form(f"{a:,}") == normal_form(f"{b:,}")) == (a == b)


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**6))
def test_fractions(top: int, bottom: int) -> None:
    value = Fraction(top, bottom)
    assert as_number(normal_form(f"{top}/{bottom}")) == value
    assert as_number(normal_form(rf"\dfrac{{{top}}}{{{bottom}}}")) == value
    assert as_number(normal_form(rf"-\frac{{{top}}}{{{bottom}}}")) == -value


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=7))
def test_decimals_are_exact(value: object) -> None:
    assert as_number(normal_form(f"{value:f}")) == Fraction(f"{value:f}")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (".5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("+2", Fraction(2)),
        ("007", Fraction(7)),
        ("-1./3", Fraction(-1, 3)),
        (r"\frac43", Fraction(4, 3)),
        ("1e-5", Fraction(1, 10**5)),
        (r"4.5 \times 10^{3}", Fraction(4500)),
        (r"2\cdot10^2", Fraction(200)),
        ("1/0", None),
        (r"\frac{1}{0}", None),
        ("1e9999", None),
        ("9" * 600, None),
        ("2^3", None),
        ("", None),
        ("-", None),
        ("٣", None),
    ],
)
def test_as_number(text: str, value: Fraction | None) -> None:
    assert as_number(normal_form(text)) == value


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("1/3", "0.333333", True),
        ("2/3", "0.6666666666666666", True),
        ("2/3", "0.666667", True),
        ("-2/3", "-0.666666", True),
        ("-2/3", "0.666666", False),
        ("1/3", "0.333", False),
        ("1/3", "0.333334", False),
        ("1/999999", "0.000001", False),
        ("300001/3", "100000", False),
        ("0.0000001", "0.0000002", False),
        ("0.50", "1/2", True),
    ],
)
def test_same_number(a: str, b: str, same: bool) -> None:
    first, second = as_number(a), as_number(b)
    assert first is not None and second is not None
    assert same_number(first, second) == same_number(second, first) == same
