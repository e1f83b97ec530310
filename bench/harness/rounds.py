"""Repeats that take turns, and what is made of them.

A machine that slows down for a while slows down whatever runs then. So engines are measured in rounds, each once a
round, in an order that rotates, and a ratio is the median of the ratios within the rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


def interleave(runs: Mapping[str, Callable[[], T]], *, rounds: Mapping[str, int]) -> dict[str, list[T]]:
    """Call each run as often as ``rounds`` says, in turns; results in the order of their rounds.

    >>> calls = []
    >>> found = interleave(
    ...     {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds={"a": 2, "b": 1}
    ... )
    >>> calls, found
    (['a', 'b', 'a'], {'a': [None, None], 'b': [None]})
    """
    results: dict[str, list[T]] = {name: [] for name in runs}
    names = list(runs)
    for number in range(max(rounds[name] for name in names)):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            if number < rounds[name]:
                results[name].append(runs[name]())
    return results


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median of ours / theirs over the rounds that both took part in.

    >>> paired_ratio([4.0, 8.0, 9.0], [2.0, 2.0])
    3.0
    """
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=False))


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median, with the smallest and the largest where there are several.

    >>> spread([1.0]), spread([3.0, 1.0, 2.0])
    ('1', '2 (1 to 3)')
    """
    middle = f"{statistics.median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"
