r"""Pretraining documents: a prompt and its response as text, drawn at random.

A Solver document answers a question in one of two styles, directly (``\boxed{161}``) or step by step
(``12+30=42;42*4=168;168-7=161;\boxed{161}``), whatever the question: so the base model mixes them, and which of them
pays is for the co-evolution to find out. Like text of human hand the corpus has slips: a wrong digit now and then, in a
step or in a direct answer, with everything after it following from it. Ill-posed questions, drawn or made by damaging a
good one, are answered ``none`` without a box. A Challenger document is a well-posed question in tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from rzero.domains.arithmetic.families import FAMILIES, draw
from rzero.domains.arithmetic.oracle import is_held_out, level
from rzero.domains.arithmetic.parse import IllPosedError, Operator, parse
from rzero.domains.arithmetic.work import exact, work


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusOptions:
    """What the corpus is made of, as shares."""

    challenger_share: float = 0.15
    direct_share: float = 0.6
    damaged_share: float = 0.04
    slip_rate: float = 0.03
    direct_slip_rate: float = 0.08


LEVEL_SHARES: Mapping[int | None, float] = {None: 1.0, 1: 1.0, 2: 1.0, 3: 0.8, 4: 0.5, 5: 0.5}
"""How many of the questions that the families draw are used, by level (None: ill-posed)."""

EASY_SHARES: Mapping[int | None, float] = {None: 0.2, 1: 1.0, 2: 1.0, 3: 0.0, 4: 0.0, 5: 0.0}


@dataclass(frozen=True, slots=True)
class Document:
    """``prompt`` holds the role and the question; the loss is on ``response`` alone."""

    prompt: str
    response: str


def document(rng: Random, options: CorpusOptions, *, easy: bool = False) -> Document:
    """One document; its question is never one of those held out. ``easy`` ones have questions of level 1 or 2."""
    shares = EASY_SHARES if easy else LEVEL_SHARES
    if rng.random() < options.challenger_share:
        question = _question(rng, {**shares, None: 0.0})
        return Document("<bos><challenger><assistant>", f"<question>{question}</question><eos>")
    question = _question(rng, shares)
    if rng.random() < options.damaged_share:
        question = damage(rng, question)
    return Document(f"<bos><solver>{question}<assistant>", f"{_solution(rng, question, options)}<eos>")


def _question(rng: Random, shares: Mapping[int | None, float]) -> str:
    while True:
        question = draw(rng, rng.choice(tuple(FAMILIES)))
        if rng.random() < shares[level(question)] and not is_held_out(question):
            return question


def _answer(question: str) -> int | None:
    try:
        return work(parse(question))
    except IllPosedError:
        return None


def damage(rng: Random, question: str) -> str:
    """``question`` with one or two characters lost, doubled, replaced, or its tail cut off."""
    while True:
        damaged = question
        for _ in range(rng.randint(1, 2)):
            position = rng.randrange(len(damaged))
            match rng.randrange(4):
                case 0:
                    damaged = damaged[:position] + damaged[position + 1 :]
                case 1:
                    damaged = damaged[:position] + damaged[position] + damaged[position:]
                case 2:
                    damaged = damaged[:position] + rng.choice("0123456789+-*()=x") + damaged[position + 1 :]
                case _:
                    damaged = damaged[: position + 1]
            damaged = damaged or question
        if not is_held_out(damaged):
            return damaged


def _solution(rng: Random, question: str, options: CorpusOptions) -> str:
    if rng.random() < options.direct_share:
        answer = _answer(question)
        if answer is not None and rng.random() < options.direct_slip_rate:
            answer = _slip(rng, answer)
        return "none" if answer is None else f"\\boxed{{{answer}}}"
    scribe = _Scribe(rng, options.slip_rate)
    try:
        answer = work(parse(question), scribe.compute)
    except IllPosedError:
        return scribe.text + "none"
    return f"{scribe.text}\\boxed{{{answer}}}"


def _slip(rng: Random, value: int) -> int:
    """``value`` with one digit changed."""
    digits = str(abs(value))
    position = rng.randrange(len(digits))
    changed = int(digits[:position] + rng.choice("0123456789".replace(digits[position], "")) + digits[position + 1 :])
    return -changed if value < 0 else changed


class _Scribe:
    """Computes like :func:`exact`, writes down each step, and slips at times."""

    def __init__(self, rng: Random, slip_rate: float) -> None:
        self._rng, self._slip_rate = rng, slip_rate
        self.text = ""

    def compute(self, operator: Operator, left: int, right: int) -> int:
        result = exact(operator, left, right)
        if self._rng.random() < self._slip_rate:
            result = _slip(self._rng, result)
        sign = " mod " if operator == "mod" else operator
        self.text += f"{left}{sign}{right}={_detail(operator, left, right)}{result};"
        return result


def _detail(operator: Operator, left: int, right: int) -> str:
    """The written work between a hard operation and its result, e.g. ``8+6,7+5+1,4+3+1=``; empty for an easy one."""
    if operator in "+-" and max(left, right) > 99 and min(left, right) >= 0:
        return _columns(operator, max(left, right), min(left, right))
    if operator == "*" and min(abs(left), abs(right)) > 9:
        return _partial_products(abs(left), abs(right))
    if operator == "mod" and left > 99:
        return _long_division(left, right)
    return ""


def _columns(operator: str, upper: int, lower: int) -> str:
    """Digit by digit from the right, with what is carried or borrowed: ``8+6=14,7+5+1=13,4+3+1=8=``."""
    columns, carry = [], 0
    while upper:
        first, second = upper % 10, lower % 10
        suffix = f"{operator}1" if carry else ""
        if operator == "-" and first - carry < second:
            first += 10
        total = exact("+" if operator == "+" else "-", first, second) + (carry if operator == "+" else -carry)
        columns.append(f"{first}{operator}{second}{suffix}={total}")
        carry = total // 10 if operator == "+" else first // 10
        upper, lower = upper // 10, lower // 10
    return ",".join(columns) + "="


def _partial_products(left: int, right: int) -> str:
    """One product for each digit of the shorter factor, then their sum: ``282+1410=``."""
    longer, shorter = max(left, right), str(min(left, right))
    products = [f"{longer * int(digit) * 10**place}" for place, digit in enumerate(reversed(shorter))]
    return "+".join(products) + "="


def _long_division(left: int, right: int) -> str:
    """What is taken away at each digit of the quotient: ``35-24=11,117-108=``."""
    rest, lines = 0, []
    for digit in str(left):
        rest = rest * 10 + int(digit)
        if rest >= right:
            lines.append(f"{rest}-{rest // right * right}")
            rest %= right
            lines[-1] += f"={rest}"
    return ",".join(lines) + "=" if lines else ""
