"""The one averaging rule over benchmarks, and the harmonic mean over a benchmark's categories.

As in the paper's tables: ``math`` is the mean over the seven mathematics benchmarks; ``overall`` is the mean of four
figures: ``math``, SuperGPQA, MMLU-Pro and BBEH. ``general`` is the mean of the latter three. Each benchmark counts the
same however many questions it has, by its headline figure: mean@k for AMC and AIME, greedy accuracy elsewhere. An
average is given only if all its members are there.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from statistics import fmean

from rzero.evaluate.metrics import Z95

MATH = ("amc23", "minerva", "math500", "gsm8k", "olympiadbench", "aime24", "aime25")
GENERAL = ("supergpqa", "mmlu_pro", "bbeh")

Figure = tuple[float, float, float]
"""(value, low, high): a share with its 95 % interval."""

_SHIFT = 0.01
_DRAWS = 2000


def averages(headlines: Mapping[str, Figure]) -> dict[str, Figure]:
    """The averages whose members are all among ``headlines`` (benchmark name to figure).

    The benchmarks are independent, so the squares of the half intervals add up.

    >>> found = averages({"supergpqa": (0.2, 0.1, 0.3), "mmlu_pro": (0.4, 0.3, 0.5), "bbeh": (0.0, 0.0, 0.1)})
    >>> {name: [round(part, 3) for part in figure] for name, figure in found.items()}
    {'general': [0.2, 0.15, 0.25]}
    """
    found: dict[str, Figure] = {}
    if all(name in headlines for name in MATH):
        found["math"] = _mean([headlines[name] for name in MATH])
    if all(name in headlines for name in GENERAL):
        found["general"] = _mean([headlines[name] for name in GENERAL])
    if len(found) == 2:
        found["overall"] = _mean([found["math"], *(headlines[name] for name in GENERAL)])
    return found


def _mean(figures: Sequence[Figure]) -> Figure:
    value = fmean(figure[0] for figure in figures)
    half = math.sqrt(sum(((high - low) / 2) ** 2 for _, low, high in figures)) / len(figures)
    return value, max(0.0, value - half), min(1.0, value + half)


def harmonic(right_by_category: Mapping[str, Sequence[bool]]) -> Figure:
    """BBEH's figure: the harmonic mean over categories of (accuracy + 0.01), which a single hopeless one pulls down.

    The interval holds 95 % of the figures under each category's posterior (Jeffreys' prior, 2000 draws, fixed
    seed), and the value itself.

    >>> value, low, high = harmonic({"a": [True, False], "b": [False] * 10})
    >>> round(value, 3), low <= value <= high
    (0.02, True)
    """
    counts = [(sum(rows), len(rows)) for rows in right_by_category.values()]
    value = _harmonic([right / total for right, total in counts])
    rng = random.Random(0)
    drawn = sorted(
        _harmonic([rng.betavariate(right + 0.5, total - right + 0.5) for right, total in counts]) for _ in range(_DRAWS)
    )
    tail = (1 - math.erf(Z95 / math.sqrt(2))) / 2
    low, high = drawn[int(tail * _DRAWS)], drawn[int((1 - tail) * _DRAWS)]
    return value, min(low, value), max(high, value)


def _harmonic(shares: Sequence[float]) -> float:
    return len(shares) / sum(1 / (share + _SHIFT) for share in shares)
