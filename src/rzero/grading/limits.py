"""What is never handed to the symbolic parser: answers that a glance shows to be hopeless or hostile.

These limits save time; they are not the defence. That is the killable worker (:mod:`rzero.grading.pool`), since no list
of patterns catches every expression that computer algebra can hang on.
"""

from __future__ import annotations

import re
import unicodedata

MAX_CHARS = 512
MAX_DIGITS = 64
MAX_NESTING = 12
MAX_POWERS = 32
MAX_POWER_DEPTH = 3
MAX_EXPONENT_DIGITS = 6
MAX_FACTORIALS = 4
MAX_FACTORIAL_DIGITS = 4
MAX_COMMAS = 128

_DIGITS = re.compile(rf"\d{{{MAX_DIGITS + 1},}}")
_EXPONENT = re.compile(rf"(?:\^|\*\*)[\s{{(+-]*\d{{{MAX_EXPONENT_DIGITS + 1},}}")
_FACTORIAL = re.compile(rf"\d{{{MAX_FACTORIAL_DIGITS + 1},}}[\s)}}\]]*!|![\s)}}\]]+!|!!!")
_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|\d+|\S", re.DOTALL)


def refusal(answer: str) -> str | None:
    """Why ``answer`` may not be parsed, or None if it may.

    >>> refusal("2^{1009}")
    >>> refusal("5^{5^{5^{5^5}}}")
    'powers nested deeper than 3'
    """
    if len(answer) > MAX_CHARS:
        return f"longer than {MAX_CHARS} characters"
    if any(unicodedata.category(char) in ("Cc", "Cs") and char not in "\t\n\r" for char in answer):
        return "control characters"
    if _DIGITS.search(answer):
        return f"a number of more than {MAX_DIGITS} digits"
    if _EXPONENT.search(answer):
        return f"an exponent of more than {MAX_EXPONENT_DIGITS} digits"
    if answer.count("!") > MAX_FACTORIALS or _FACTORIAL.search(answer):
        return "too many, too large or nested factorials"
    if answer.count(",") > MAX_COMMAS:
        return f"more than {MAX_COMMAS} commas"
    if not _balanced(answer):
        return "braces that do not match"
    nesting, powers, depth = _shape(answer.replace("**", "^"))
    if nesting > MAX_NESTING:
        return f"brackets nested deeper than {MAX_NESTING}"
    if powers > MAX_POWERS:
        return f"more than {MAX_POWERS} powers"
    if depth > MAX_POWER_DEPTH:
        return f"powers nested deeper than {MAX_POWER_DEPTH}"
    return None


def _balanced(text: str) -> bool:
    """Whether every brace has its partner, so that the text cannot break out of the box that it is parsed in."""
    level = 0
    for token in _TOKEN.findall(text):
        level += (token == "{") - (token == "}")
        if level < 0:
            return False
    return level == 0


def _shape(text: str) -> tuple[int, int, int]:
    """Deepest bracket nesting, number of powers, and deepest power in a power (``a^b^c`` counts as ``a^{b^c}``)."""
    nesting = powers = deepest = 0
    outer: list[tuple[int, int, int]] = []
    # Depth of the enclosing exponents, length of this chain of powers, tokens since its last ^.
    base_depth, chain, tokens = 0, 0, 2
    for token in _TOKEN.findall(text):
        if token in ("{", "(", "["):
            outer.append((base_depth, chain, tokens))
            nesting = max(nesting, len(outer))
            base_depth, chain, tokens = base_depth + (chain if tokens == 0 else 0), 0, 2
        elif token in ("}", ")", "]"):
            if outer:
                base_depth, chain, tokens = outer.pop()
            tokens += 1
        elif token == "^":
            chain, tokens = (chain + 1 if tokens == 1 else 1), 0
            powers += 1
            deepest = max(deepest, base_depth + chain)
        elif not (tokens == 0 and token in "+-"):
            tokens += 1
    return nesting, powers, deepest
