r"""Cheap text forms of answers: what can be decided without a parser is decided here.

:func:`normal_form` only undoes differences of spelling, so answers with one normal form mean the same; the reverse need
not hold. Units, degrees and percent signs are kept: whether ``90^\circ`` is 90 is for the symbolic comparison. Numbers
are compared exactly (:func:`same_number`), where math-verify rounds to six places and so takes 1e-7 for 2e-7.
"""

from __future__ import annotations

import re
from fractions import Fraction

MAX_CHARS = 2048
MAX_NUMBER_CHARS = 512
MIN_PLACES = 6

_WRAPPERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"))
_COMMANDS = re.compile(
    r"(?P<keep>\\\\)"
    r"|(?P<space>\\(?:left|right)\s*\.|\\(?:left|right|[bB]igg?[lr]?|displaystyle|q?quad)(?![a-zA-Z])|\\[!,;: ]|~)"
    r"|(?P<frac>\\[dtc]frac(?![a-zA-Z]))"
    r"|(?P<text>\\(?:mbox|mathrm|text(?:rm|bf|it|normal))(?=\s*\{))"
    r"|(?P<degree>\\degree(?![a-zA-Z])|°)"
    r"|(?P<minus>−)"
)
_SPELLINGS = {"keep": "\\\\", "space": " ", "frac": "\\frac", "text": "\\text", "degree": "^\\circ", "minus": "-"}
_GROUP_SPACE = re.compile(r"(?<=\d)(?:,\s*\\!|\{,\})\s*(?=\d{3}(?!\d))", re.ASCII)
_THIN_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}(?:\\,\s*\d{3})+", re.ASCII)
_COMMA_GROUPS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?", re.ASCII)
# A space before three digits is kept: "1, 234" is a list, "1,234" a number.
_IDLE_SPACE = re.compile(r"(?<![^\W_])(?<!,) |(?<=,) (?!\d{3}(?!\d))| (?![^\W_])")
_COMMAND_SPACE = re.compile(r"((?<!\\)\\[a-zA-Z]+) (?=\d)")
_SHORT_FRAC = re.compile(r"\\frac ?(\d) ?(\d)", re.ASCII)
_BRACED_CIRCLE = re.compile(r"\^\{\\circ\}")
_BARE_SCRIPT = re.compile(r"([_^])(\d(?!\.?\d)|[A-Za-z](?![A-Za-z0-9]))", re.ASCII)
_SCIENTIFIC = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)e[+-]?\d+", re.ASCII)
_WORDS = re.compile(r"(?=.*[A-Za-z]{4})[A-Za-z]+(?:[ '-][A-Za-z]+)*")

_UNSIGNED = r"(?:\d+\.?\d*|\.\d+)"
_NUMBER = re.compile(
    rf"(?P<sign>[+-]?)(?:"
    rf"(?P<top>{_UNSIGNED})(?:/(?P<bottom>{_UNSIGNED}))?"
    rf"|\\frac\{{(?P<ftop>[+-]?{_UNSIGNED})\}}\{{(?P<fbottom>{_UNSIGNED})\}}"
    rf"|(?P<mantissa>{_UNSIGNED})(?:E|(?:\\times|\\cdot)10\^)(?P<exponent>[+-]?\d{{1,3}}|\{{[+-]?\d{{1,3}}\}}))",
    re.ASCII,
)
_BASED = re.compile(r"(?P<digits>[+-]?\d[0-9A-Za-z]*)_(?:(?P<base>\d{2,})|\{(?P<braced>\d+)\})", re.ASCII)


def normal_form(answer: str) -> str:
    r"""``answer`` in one canonical spelling; applying it again changes nothing.

    Text of more than :data:`MAX_CHARS` characters is only stripped (no parser will see it).

    >>> normal_form(r"$\left( \dfrac12 , -3 \right)$."), normal_form("10,080"), normal_form("1, 234")
    ('(\\frac{1}{2},-3)', '10080', '1, 234')
    """
    text = answer.strip()
    if (text.isascii() and text.isdigit()) or len(text) > MAX_CHARS:
        return text
    while (simpler := _simplify(text)) != text:
        text = simpler
    return text


def _simplify(text: str) -> str:
    text = _unwrap(text)
    text = _GROUP_SPACE.sub("", text)
    if _THIN_GROUPS.fullmatch(text):
        text = "".join(text.replace("\\,", "").split())
    text = _COMMANDS.sub(lambda match: _SPELLINGS[match.lastgroup or "keep"], text)
    text = " ".join(text.split())
    text = _IDLE_SPACE.sub("", text)
    text = _COMMAND_SPACE.sub(r"\1", text)
    text = _SHORT_FRAC.sub(r"\\frac{\1}{\2}", text)
    text = _BRACED_CIRCLE.sub(r"^\\circ", text)
    text = _BARE_SCRIPT.sub(r"\1{\2}", text)
    if _COMMA_GROUPS.fullmatch(text):
        return text.replace(",", "")
    if _SCIENTIFIC.fullmatch(text):
        return text.upper()
    if _WORDS.fullmatch(text):
        return f"\\text{{{text}}}"  # a bare word would be parsed as a product of its letters
    return text


def _unwrap(text: str) -> str:
    """``text`` without one pair of mathematics or emphasis delimiters around the whole, and without one full stop."""
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1].rstrip()
    for left, right in _WRAPPERS:
        inner = text[len(left) : -len(right)]
        if (
            len(text) > len(left) + len(right)
            and text.startswith(left)
            and text.endswith(right)
            and left not in inner
            and right not in inner
            and not inner.endswith("\\")
        ):
            return inner.strip()
    return text


def as_number(normal: str) -> Fraction | None:
    r"""The exact value of a normal form that is an integer, decimal, quotient of two such, or m E n; else None.

    At most :data:`MAX_NUMBER_CHARS` characters and a three-digit exponent of ten.

    >>> as_number("-0.50"), as_number(r"\frac{3}{6}"), as_number("1.5E3"), as_number("x"), as_number("1/0")
    (Fraction(-1, 2), Fraction(1, 2), Fraction(1500, 1), None, None)
    """
    if len(normal) > MAX_NUMBER_CHARS:
        return None
    if normal.isascii() and normal.isdigit():
        return Fraction(int(normal))
    match = _NUMBER.fullmatch(normal)
    if match is None:
        return None
    if match["mantissa"] is not None:
        value = Fraction(match["mantissa"]) * Fraction(10) ** int(match["exponent"].strip("{}"))
    else:
        bottom = Fraction(match["bottom"] or match["fbottom"] or 1)
        if bottom == 0:
            return None
        value = Fraction(match["top"] or match["ftop"]) / bottom
    return -value if match["sign"] == "-" else value


def same_number(a: Fraction, b: Fraction) -> bool:
    """Whether two numbers are the same answer: equal, or one is the other's decimal expansion to six places or more.

    Two terminating decimals must be equal; 1/3 also equals 0.333333 (rounded or cut off, at least six significant
    digits), as math-verify has it, but neither 0.333 nor 0.333334.

    >>> same_number(Fraction(2, 3), Fraction("0.666667")), same_number(Fraction(2, 3), Fraction("0.6667"))
    (True, False)
    """
    if a == b:
        return True
    if is_decimal(a) == is_decimal(b):
        return False
    decimal, exact = (a, b) if is_decimal(a) else (b, a)
    places = 0
    while (decimal * 10**places).denominator != 1:
        places += 1
    digits = abs(decimal.numerator * 10**places // decimal.denominator)
    if places < MIN_PLACES or digits < 100_000 or (decimal < 0) != (exact < 0):
        return False
    scaled = abs(exact) * 10**places
    return digits in (int(scaled), round(scaled))


def is_decimal(value: Fraction) -> bool:
    """Whether the decimal expansion of ``value`` ends.

    >>> is_decimal(Fraction(3, 40)), is_decimal(Fraction(1, 3))
    (True, False)
    """
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def stands_alone(number: Fraction) -> bool:
    """Whether no number of another value can be the same answer: it is whole, or a decimal of few places.

    1/3 and 0.333333 are the same (:func:`same_number`), so neither of them stands alone.

    >>> [stands_alone(Fraction(text)) for text in ("7", "-0.50", "1/3", "0.333333")]
    [True, True, False, False]
    """
    return (number * 10 ** (MIN_PLACES - 1)).denominator == 1


def based_numeral(normal: str) -> tuple[str, str] | None:
    r"""The digits and the base of a normal form such as ``52_{8}``, else None; math-verify ignores the base.

    >>> based_numeral("52_{8}"), based_numeral("1f_16"), based_numeral("52"), based_numeral("x_{1}")
    (('52', '8'), ('1F', '16'), None, None)
    """
    match = _BASED.fullmatch(normal)
    return None if match is None else (match["digits"].upper(), match["base"] or match["braced"])
