r"""Question text to a tree, strictly: what is not in this grammar is ill-posed, and nothing is ever evaluated as code.

::

    question   = sum | sum "=" sum | story
    sum        = ["-"] term {("+" | "-") term}
    term       = factor {("*" | " mod ") factor}           from left to right
    factor     = number | "x" | "(" sum ")"                number: 1 to 9 digits
    story      = name " has " amount item {", " verb amount} ". How many now?"
               | name " has " amount item ". A friend has " amount compared ". How many together?"
               | name " packs " amount item " in boxes of " number ". How many are left over?"
    compared   = " more" | " fewer" | " times as many"
    amount     = number | number " bags of " number

The grammar is closed on purpose: an item or a name is said once, so nearly every well-formed string has an answer and a
Challenger finds few unanswerable questions in it by chance. A sign belongs to the number behind it: ``-7 mod 3`` is 2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

MAX_CHARACTERS = 120
MAX_DEPTH = 8

Operator = Literal["+", "-", "*", "/", "mod"]

NAMES = ("Tom", "Ann", "Sam", "Eva")
ITEMS = ("apples", "books", "coins", "cards")
GAINS = ("buys", "finds", "gets")
LOSSES = ("loses", "sells", "gives away")


class IllPosedError(ValueError):
    """The question has no answer; the message says why."""


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number, as written."""

    value: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """The x of an equation."""


@dataclass(frozen=True, slots=True)
class Operation:
    """Two expressions and what is done with them."""

    operator: Operator
    left: Expression
    right: Expression


Expression = Number | Unknown | Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A parsed question: the value of ``left``, or the x for which ``left`` equals ``right``.

    ``counts`` is true of stories, where a partial result below zero makes the question ill-posed.
    """

    left: Expression
    right: Expression | None = None
    counts: bool = False


def parse(question: str) -> Problem:
    """The tree of ``question``. Raises IllPosedError; takes time linear in the length.

    >>> parse("3+4")
    Problem(left=Operation(operator='+', left=Number(value=3), right=Number(value=4)), right=None, counts=False)
    """
    if len(question) > MAX_CHARACTERS:
        raise IllPosedError(f"longer than {MAX_CHARACTERS} characters")
    if question[:1].isalpha() and question[0] != "x":
        return _parse_story(question)
    sides = [_Reader(side).read() for side in question.split("=")]
    if len(sides) > 2:
        raise IllPosedError("more than one equals sign")
    return Problem(left=sides[0], right=sides[1] if len(sides) == 2 else None)


_TOKEN = re.compile(r"[0-9]+| mod |[-+*()x]")


class _Reader:
    """Recursive descent over the tokens of one side of an equation."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        if sum(map(len, self._tokens)) != len(text):
            raise IllPosedError("holds a sign that the grammar does not know")
        self._position = 0

    def read(self) -> Expression:
        result = self._sum(depth=0)
        if self._position < len(self._tokens):
            raise IllPosedError(f"cannot be read from {self._tokens[self._position].strip()!r} on")
        return result

    def _sum(self, *, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise IllPosedError(f"brackets nested deeper than {MAX_DEPTH}")
        negative = self._accept("-") is not None
        result = self._term(depth=depth, negative=negative)
        while operator := self._accept("+", "-"):
            result = Operation("+" if operator == "+" else "-", result, self._term(depth=depth))
        return result

    def _term(self, *, depth: int, negative: bool = False) -> Expression:
        result = self._factor(depth=depth)
        if negative:
            is_number = isinstance(result, Number)
            result = Number(-result.value) if is_number else Operation("*", Number(-1), result)
        while operator := self._accept("*", " mod "):
            result = Operation("*" if operator == "*" else "mod", result, self._factor(depth=depth))
        return result

    def _factor(self, *, depth: int) -> Expression:
        if self._accept("("):
            result = self._sum(depth=depth + 1)
            if not self._accept(")"):
                raise IllPosedError("a bracket is not closed")
            return result
        if self._accept("x"):
            return Unknown()
        token = self._tokens[self._position] if self._position < len(self._tokens) else ""
        if not token.isdecimal():
            place = f"before {token.strip()!r}" if token else "at the end"
            raise IllPosedError(f"a number is missing {place}")
        self._position += 1
        return _number(token)

    def _accept(self, *choices: str) -> str | None:
        if self._position < len(self._tokens) and self._tokens[self._position] in choices:
            self._position += 1
            return self._tokens[self._position - 1]
        return None


def _number(digits: str) -> Number:
    if len(digits) > 9:
        raise IllPosedError("a number of more than nine digits")
    return Number(int(digits))


_AMOUNT = r"([0-9]+)(?: bags of ([0-9]+))?"
_NAME, _ITEM = f"(?:{'|'.join(NAMES)})", f"(?:{'|'.join(ITEMS)})"
_CHANGE = re.compile(rf", ({'|'.join(GAINS + LOSSES)}) {_AMOUNT}")
_CHANGES = re.compile(
    rf"{_NAME} has {_AMOUNT} {_ITEM}((?:, (?:{'|'.join(GAINS + LOSSES)}) [0-9]+(?: bags of [0-9]+)?)*)\. How many now\?"
)
_FRIEND = re.compile(
    rf"{_NAME} has {_AMOUNT} {_ITEM}\. A friend has {_AMOUNT} (more|fewer|times as many)\. How many together\?"
)
_PACKS = re.compile(rf"{_NAME} packs {_AMOUNT} {_ITEM} in boxes of ([0-9]+)\. How many are left over\?")


def _parse_story(question: str) -> Problem:
    if match := _CHANGES.fullmatch(question):
        have = _amount(match[1], match[2])
        for verb, number, size in _CHANGE.findall(match[3]):
            have = Operation("+" if verb in GAINS else "-", have, _amount(number, size))
        return Problem(left=have, counts=True)
    if match := _FRIEND.fullmatch(question):
        have, other = _amount(match[1], match[2]), _amount(match[3], match[4])
        operators: dict[str, Operator] = {"more": "+", "fewer": "-", "times as many": "*"}
        return Problem(left=Operation("+", have, Operation(operators[match[5]], have, other)), counts=True)
    if match := _PACKS.fullmatch(question):
        return Problem(left=Operation("mod", _amount(match[1], match[2]), _number(match[3])), counts=True)
    raise IllPosedError("a story that the grammar does not know")


def _amount(number: str, size: str | None) -> Expression:
    return Operation("*", _number(number), _number(size)) if size else _number(number)
