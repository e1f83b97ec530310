"""How an estimate over seeds is written in a table."""

from __future__ import annotations

from rzero.analysis.seeds import Estimate


def shown(estimate: Estimate, *, sign: bool = False) -> str:
    """The mean and half its 95 % interval; small shares get three digits.

    >>> shown(Estimate(mean=41.23, half=1.5, num_seeds=3)), shown(Estimate(mean=0.5, half=None, num_seeds=1))
    ('41.2 ± 1.5', '0.500')
    >>> shown(Estimate(mean=0.25, half=2.0, num_seeds=3), sign=True)
    '+0.2 ± 2.0'
    """
    digits = 3 if abs(estimate.mean) < 1 and not sign else 1
    text = f"{estimate.mean:+.1f}" if sign else f"{estimate.mean:.{digits}f}"
    return text if estimate.half is None else f"{text} ± {estimate.half:.{digits}f}"
