"""True answers and difficulty, from the question text alone. Only measured with, never trained on."""

from __future__ import annotations

import hashlib

from rzero.domains.arithmetic.parse import IllPosedError, parse
from rzero.domains.arithmetic.work import Step, steps, work
from rzero.domains.base import Truth

LEVEL_CEILINGS = (2, 3, 5, 8)
"""The largest digit-operation index of levels 1 to 4; what is above is level 5."""


class ArithmeticOracle:
    """Exact: whole numbers of any size, no floats."""

    def solve(self, question: str) -> Truth:
        """The true answer to ``question``, or why there is none.

        >>> ArithmeticOracle().solve("(12+30)*4-7").answer
        '161'
        >>> ArithmeticOracle().solve("Tom has 3 apples, loses 5. How many now?").problem
        'more is taken away than there is'
        """
        try:
            return Truth(answer=str(work(parse(question))))
        except IllPosedError as error:
            return Truth(answer=None, problem=str(error))

    def difficulty(self, question: str) -> float | None:
        """The digit-operation index: how many digits are worked on, by hand, until the answer stands there.

        A sum or difference costs the digits of its longer number, a product the product of both lengths, a remainder or
        quotient the divisor's length for each digit of the quotient. None for an ill-posed question.

        >>> [ArithmeticOracle().difficulty(question) for question in ("12+7", "47*36", "357 mod 12", "12+")]
        [2.0, 4.0, 4.0, None]
        """
        try:
            return float(sum(_cost(step) for step in steps(parse(question))))
        except IllPosedError:
            return None


def level(question: str) -> int | None:
    """1 (easy) to 5 (hard), by the digit-operation index; None for an ill-posed question.

    >>> level("12+7"), level("47*28+55")
    (1, 4)
    """
    index = ArithmeticOracle().difficulty(question)
    return None if index is None else 1 + sum(index > ceiling for ceiling in LEVEL_CEILINGS)


def is_held_out(question: str) -> bool:
    """Whether ``question`` is among the tenth of all questions that the bundled model's pretraining never showed.

    The rule looks at the text alone, so that anyone can check it.
    """
    return hashlib.blake2b(question.encode(), digest_size=4, person=b"rzero-held-out").digest()[0] < 26


def _cost(step: Step) -> int:
    left, right = len(str(abs(step.left))), len(str(abs(step.right)))
    match step.operator:
        case "+" | "-":
            return max(left, right)
        case "*":
            return left * right
        case "mod" | "/":
            return right * max(1, left - right + 1)
