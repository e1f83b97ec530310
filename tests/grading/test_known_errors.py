"""Pairs on which graders are known to err: the verdicts of ours, and of math-verify on bare strings, as the official
evaluation calls it.
"""

from __future__ import annotations

import pytest
from math_verify import parse, verify

from rzero.grading import Grader
from rzero.types import Outcome

# gold, answer, whether they are the same in truth, math-verify's verdict on bare strings
PAIRS = [
    (r"2\sqrt{5}", r"2\sqrt{3}", False, True),
    ("3x+5", "3x+4", False, True),
    ("2^{1008}", "2^{1009}", False, True),
    (r"1+\frac1{\mathrm e}", r"1-\frac1{\mathrm e}", False, True),
    ("0.0000002", "0.0000001", False, True),
    ("18", "maybe apples 18", False, True),
    ("52_9", "52_8", False, True),
    ("6", r"\{5, 6\}", False, True),
    ("(1,2)", "(2,1)", False, False),
    (r"\text{even}", "even", True, False),
    ("p - q", "p - q", True, False),
    (r"(3, \frac{\pi}{2})", r"(3, \frac{\pi}{2})", True, False),
    (r"1\frac45", r"\frac95", True, False),
    (r"50\%", "0.5", True, False),
    ("x+1", "1+x", True, False),
    ("1,-2", "-2,1", True, False),
    (r"\$18.90", "18.90", True, False),
    (r"\text{(C)}", "C", True, False),
    (r"3 \pm 2 \sqrt{2}", r"3+2\sqrt{2},3-2\sqrt{2}", True, False),
    (r"\left[\frac{1}{2},\frac{4}{3}\right]", r"[0.5,\frac43]", True, False),
    ("73", "**73**", True, True),
    (r"90^\circ", "90", True, True),
    ("12", r"12 \text{ cm}", True, True),
]
OUR_FALSE_NEGATIVES = [
    (r"\frac{\pi}{2}", "pi/2"),  # read as p times i, halved
    ("np.arcsin(10/13)", r"\arcsin(10/13)"),
    (r"(-\infty,2)", "x<2"),  # the other way round it is right
]


@pytest.fixture(scope="module")
def verdicts() -> dict[tuple[str, str], Outcome]:
    pairs = [(gold, answer) for gold, answer, _, _ in PAIRS] + OUR_FALSE_NEGATIVES
    with Grader(timeout_s=10.0) as grader:
        outcomes = grader.grade_many([(answer, gold) for gold, answer in pairs])
    return dict(zip(pairs, outcomes, strict=True))


@pytest.mark.parametrize(("gold", "answer", "same", "bare"), PAIRS)
def test_ours_is_right_where_bare_math_verify_may_not_be(
    verdicts: dict[tuple[str, str], Outcome], gold: str, answer: str, same: bool, bare: bool
) -> None:
    assert verdicts[gold, answer] is (Outcome.RIGHT if same else Outcome.WRONG)
    assert verify(parse(gold), parse(answer)) is bare


@pytest.mark.parametrize(("gold", "answer"), OUR_FALSE_NEGATIVES)
def test_answers_that_ours_is_known_to_miss(verdicts: dict[tuple[str, str], Outcome], gold: str, answer: str) -> None:
    assert verdicts[gold, answer] is Outcome.WRONG
