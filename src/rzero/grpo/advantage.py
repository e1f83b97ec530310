"""Group-relative advantages (the GRPO baseline of the paper's both roles).

The standard deviation is the unbiased one (n - 1), as in the official code. Unlike there, a group whose rewards are all
equal has no advantages at all, instead of zeros that would still count in the loss's denominator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def advantages(rewards: Sequence[float], *, divide_by_std: bool = True, eps: float = 1e-6) -> list[float] | None:
    """(r - mean) / (std + eps) for the rewards of one group; None for a group without variance (all rewards equal).

    ``divide_by_std=False`` gives r - mean, the unscaled form of Dr. GRPO.

    >>> advantages([0.0, 1.0, 1.0], divide_by_std=False)
    [-0.6666666666666666, 0.33333333333333337, 0.33333333333333337]
    >>> [round(a, 3) for a in advantages([0.0, 1.0, 1.0])]
    [-1.155, 0.577, 0.577]
    >>> advantages([1.0, 1.0, 1.0]) is None
    True
    """
    if len(set(rewards)) < 2:
        return None
    mean = math.fsum(rewards) / len(rewards)
    centred = [reward - mean for reward in rewards]
    if not divide_by_std:
        return centred
    std = math.sqrt(math.fsum(c * c for c in centred) / (len(rewards) - 1))
    return [c / (std + eps) for c in centred]
