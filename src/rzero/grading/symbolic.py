"""The symbolic comparison, as it runs inside a worker process; nothing else may import math-verify or sympy.

math-verify's own time limits are off: they are alarms, which work in the main thread alone and cannot interrupt long
integer arithmetic. The process boundary is the limit. Both sides are wrapped in a box, because math-verify reads LaTeX
only inside delimiters (on bare strings it rejects a tenth of MATH-500's golds against themselves), and only its LaTeX
reader is used: its other one falls back to the last number in the text.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

_PROBE = "0.7390851332"
_SMALL = 1e-3


@lru_cache(maxsize=8192)
def _parse(answer: str) -> Any:
    from math_verify import LatexExtractionConfig, parse

    config = [LatexExtractionConfig(boxed_match_priority=0)]
    return parse(f"\\boxed{{{answer}}}", extraction_config=config, parsing_timeout=0)


def matches(gold: str, answer: str) -> bool:
    """Whether math-verify takes ``answer`` for ``gold``; not symmetric (an inequality may answer for an interval)."""
    from math_verify import verify

    parsed_gold, parsed_answer = _parse(gold), _parse(answer)
    return verify(parsed_gold, parsed_answer, timeout_seconds=0) and not _tiny_and_apart(parsed_gold, parsed_answer)


def equivalent(a: str, b: str) -> bool:
    """Whether either answer is taken for the other."""
    return matches(a, b) or matches(b, a)


def probe(answer: str) -> bool:
    """Parses and evaluates ``answer``, always True: it comes back only if ``answer`` on its own hangs nothing."""
    matches(_PROBE, answer)
    return True


def _tiny_and_apart(gold: list[Any], answer: list[Any]) -> bool:
    """Whether both are small numbers that agree only because math-verify rounds to six decimal places."""
    from sympy import Expr

    if not (gold and answer and isinstance(gold[0], Expr) and isinstance(answer[0], Expr)):
        return False
    if not (gold[0].is_number and answer[0].is_number):
        return False
    try:
        a, b = complex(gold[0].evalf()), complex(answer[0].evalf())
    except (TypeError, ValueError, OverflowError):
        return False
    size = max(abs(a), abs(b))
    return size < _SMALL and abs(a - b) > 1e-6 * size
