from __future__ import annotations

import pytest

from rzero.grading.limits import refusal

HARMLESS = [
    "5",
    r"\{1,2\}",
    r"\left\{1",
    r"\frac{\pi}{2}",
    r"2^{1009}",
    r"x^8+x^7+x^6+x^5+x^4+x^3+x^2+x+1",
    r"\frac{100!}{2^{50}}",
    r"e^{-x^{2}}",
    "2^{2^{n}}",
    "x^2y^3z^4w^5",
    r"\left(\frac{1}{\sqrt{3}}, \frac{1}{\sqrt{3}}\right)",
    r"\omega_{n}^{2} e^{-\zeta \omega_{n} t} \cos \left(\omega_{n} \sqrt{1-\zeta^{2}} t\right)",
    ",".join("(2,3,4)" for _ in range(16)),
    r"\begin{pmatrix} -1 & 0 \\ 0 & -1 \end{pmatrix}",
]
HOSTILE = [
    ("9" * 65, "digits"),
    ("x" * 513, "characters"),
    ("5\x00", "control"),
    ("2^{12345678}", "exponent"),
    ("2**12345678", "exponent"),
    (r"\dfrac{5^{(5^{(5^{(5^5)})}-4)}-5}{16}", "nested deeper"),
    ("9^9^9^9^9", "nested deeper"),
    ("9**9**9**9**9", "nested deeper"),
    ("+".join(["x^2"] * 40), "powers"),
    ("(" * 20 + ")" * 20, "brackets"),
    (r"5} and \boxed{6", "braces"),
    (r"\frac{1}{2", "braces"),
    ("100000!", "factorials"),
    ("(9!)!", "factorials"),
    ("3!!!", "factorials"),
    ("1," * 200, "commas"),
]


@pytest.mark.parametrize("answer", HARMLESS)
def test_real_answers_pass(answer: str) -> None:
    assert refusal(answer) is None


@pytest.mark.parametrize(("answer", "reason"), HOSTILE)
def test_hostile_answers_are_refused_with_a_reason(answer: str, reason: str) -> None:
    found = refusal(answer)
    assert found is not None and reason in found
