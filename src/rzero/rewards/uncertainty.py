"""The uncertainty reward: a question is worth most where the Solver is torn (paper: r_unc = 1 - 2·|p̂ - ½|).

The official code pays min(p̂, 1 - p̂) instead, half as much, which doubles the weight of its repetition penalty.
"""

from __future__ import annotations


def uncertainty(self_consistency: float, *, target: float = 0.5) -> float:
    """1 - 2·abs(p̂ - ½) in [0, 1], for the share p̂ in [0, 1] of all votes that agree with the majority.

    With another ``target`` in (0, 1), an ablation, it rises from 0 at p̂ = 0 to 1 at the target and falls to 0 at p̂ = 1.

    >>> [uncertainty(votes / 10) for votes in (0, 2, 3, 5, 7, 10)]
    [0.0, 0.4, 0.6, 1.0, 0.6, 0.0]
    >>> [uncertainty(votes / 10, target=0.8) for votes in (0, 4, 8, 9, 10)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    # Rounded, so that 3 of 10 and 7 of 10 earn the very same reward: a group of such questions has no variance,
    # and a difference in the last bit must not make it look as if it had.
    side = target if self_consistency < target else 1 - target
    return round(1 - abs(self_consistency - target) / side, 12)
