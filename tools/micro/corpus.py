r"""Pretraining documents: a prompt and its response as text, drawn at random.

A Solver document answers a question in one of two styles, directly (``\boxed{53}``) or step by step
(``7*8=56;56-3=6-3=3,5-0=5=53;\boxed{53}``), whatever the question: so the base model mixes them, and which of them
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

    challenger_share: float = 0.2
    direct_share: float = 0.6
    damaged_share: float = 0.06
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
    return Document(f"<bos><solver>{question}<assistant>", f"{solution(rng, question, options)}<eos>")


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


def solution(rng: Random, question: str, options: CorpusOptions) -> str:
    """A response to ``question`` in one of the styles, or ``none`` where it is ill-posed."""
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
        """Write one operation down and return what was written as its result."""
        result = exact(operator, left, right)
        if operator in "+-":
            operator, left, right = _plain_signs(operator, left, right)
        detail = _detail(operator, left, right)
        if self._rng.random() < self._slip_rate:
            result = _slip(self._rng, result)
        sign = " mod " if operator == "mod" else operator
        self.text += f"{left}{sign}{right}={detail}{result};"
        return result


def _plain_signs(operator: Operator, left: int, right: int) -> tuple[Operator, int, int]:
    """The same sum or difference with ``right`` not below zero, and ``left`` below it only in ``-8-5``."""
    added = right if operator == "+" else -right
    if left < 0 <= added:
        left, added = added, left
    return ("+", left, added) if added >= 0 else ("-", left, -added)


def _detail(operator: Operator, left: int, right: int) -> str:
    """The written work between a longer operation and its result, e.g. ``8+6=14,7+5+1=13,4+3+1=8=``."""
    upper, lower = max(abs(left), abs(right)), min(abs(left), abs(right))
    if upper < 10:
        return ""
    match operator:
        case "+" | "-":
            return _columns("+" if operator == "+" or left < 0 else "-", upper, lower)
        case "*":
            return _digit_products(upper, lower) if lower < 10 else _partial_products(upper, lower)
        case "mod":
            return _long_division(left, right) if left >= right else ""
        case "/":
            return ""


def _columns(operator: str, upper: int, lower: int) -> str:
    """Digit by digit from the right, with what is carried or borrowed; the longer number stands first."""
    columns, carry = [], 0
    while upper:
        first, second = upper % 10, lower % 10
        suffix = f"{operator}1" if carry else ""
        if operator == "-" and first - carry < second:
            first += 10
        total = first + second + carry if operator == "+" else first - second - carry
        columns.append(f"{first}{operator}{second}{suffix}={total}")
        carry = total // 10 if operator == "+" else first // 10
        upper, lower = upper // 10, lower // 10
    return ",".join(columns) + "="


def _digit_products(longer: int, digit: int) -> str:
    """A product with one digit, from the right, with what is carried: ``7*6=42,4*6+4=28,3*6+2=20=``."""
    products, carry = [], 0
    for place in reversed(str(longer)):
        total = int(place) * digit + carry
        products.append(f"{place}*{digit}{f'+{carry}' if carry else ''}={total}")
        carry = total // 10
    return ",".join(products) + "="


def _partial_products(longer: int, shorter: int) -> str:
    """One product for each digit of the shorter factor, then their sum: ``282+1410=``."""
    products = [f"{longer * int(digit) * 10**place}" for place, digit in enumerate(reversed(str(shorter)))]
    return "+".join(products) + "="


def _long_division(left: int, right: int) -> str:
    """What is taken away at each digit of the quotient: ``35-24=11,117-108=9=``."""
    rest, lines = 0, []
    for digit in str(left):
        rest = rest * 10 + int(digit)
        if rest >= right:
            lines.append(f"{rest}-{rest // right * right}={rest % right}")
            rest %= right
    return ",".join(lines) + "="
