"""A parsed problem worked out step by step in exact integers.

The order of the steps is the order in which a careful pupil would write them, so that the oracle, the difficulty
measure and the written solutions of the bundled model's corpus all follow the same road.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rzero.domains.arithmetic.parse import Expression, IllPosedError, Number, Operation, Operator, Problem, Unknown

Compute = Callable[[Operator, int, int], int]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on two whole numbers."""

    operator: Operator
    left: int
    right: int
    result: int


@dataclass(frozen=True, slots=True)
class _Linear:
    """constant + factor * x."""

    constant: int
    factor: int = 0


def exact(operator: Operator, left: int, right: int) -> int:
    """The result of one operation; ``mod`` and ``/`` need a positive ``right``.

    >>> exact("mod", -7, 3), exact("/", 12, 4)
    (2, 3)
    """
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "mod":
            return left % right
        case "/":
            return left // right


def work(problem: Problem, compute: Compute = exact) -> int:
    """The answer of ``problem``, every operation of it done by ``compute``. Raises IllPosedError."""
    left = _reduce(problem.left, problem, compute)
    if problem.right is None:
        if left.factor:
            raise IllPosedError("an unknown without an equation")
        return left.constant
    right = _reduce(problem.right, problem, compute)
    if left.factor < right.factor:
        left, right = right, left
    factor = _combine("-", left.factor, right.factor, compute)
    constant = _combine("-", right.constant, left.constant, compute)
    if factor == 0:
        raise IllPosedError("every x solves it" if constant == 0 else "no x solves it")
    if constant % factor:
        raise IllPosedError("the solution is not a whole number")
    return constant if factor == 1 else compute("/", constant, factor)


def steps(problem: Problem) -> list[Step]:
    """The operations that lead to the answer, in order. Raises IllPosedError.

    >>> from rzero.domains.arithmetic.parse import parse
    >>> [step.result for step in steps(parse("(3+4)*5"))]
    [7, 35]
    """
    done: list[Step] = []

    def compute(operator: Operator, left: int, right: int) -> int:
        result = exact(operator, left, right)
        done.append(Step(operator, left, right, result))
        return result

    work(problem, compute)
    return done


def _reduce(expression: Expression, problem: Problem, compute: Compute) -> _Linear:
    match expression:
        case Number(value):
            return _Linear(value)
        case Unknown():
            return _Linear(0, 1)
        case Operation(operator, left_side, right_side):
            left, right = _reduce(left_side, problem, compute), _reduce(right_side, problem, compute)
    if operator == "mod" and (left.factor or right.factor):
        raise IllPosedError("the remainder of an unknown")
    if operator == "mod" and right.constant <= 0:
        raise IllPosedError("a remainder by zero or less")
    if not left.factor and not right.factor:
        result = compute(operator, left.constant, right.constant)
        if problem.counts and result < 0:
            raise IllPosedError("more is taken away than there is")
        return _Linear(result)
    if operator == "*":
        if left.factor and right.factor:
            raise IllPosedError("the unknown is multiplied by itself")
        scale, other = (right.constant, left) if left.factor else (left.constant, right)
        return _Linear(_combine("*", scale, other.constant, compute), _combine("*", scale, other.factor, compute))
    return _Linear(
        _combine(operator, left.constant, right.constant, compute),
        _combine(operator, left.factor, right.factor, compute),
    )


def _combine(operator: Operator, left: int, right: int, compute: Compute) -> int:
    """Like ``compute``, but what needs no work (adding zero, multiplying by one) is not a step."""
    idle = {left, right} & ({0, 1} if operator == "*" else {0})
    return exact(operator, left, right) if idle else compute(operator, left, right)
