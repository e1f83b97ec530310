"""Random seeds as a pure function of where in the run they are used.

No random state is carried from one step to the next, so there is none to save: a resumed step draws exactly what the
interrupted one would have drawn.
"""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *place: str | int) -> int:
    """A 63-bit seed for one place in the run, e.g. ``derive_seed(seed, iteration, phase, step, "votes")``.

    >>> derive_seed(0, 1, "vote", 3) == derive_seed(0, 1, "vote", 3)
    True
    >>> derive_seed(0, 1, "vote", 3) == derive_seed(0, 1, "vote", 4)
    False
    """
    text = "/".join([str(seed), *map(str, place)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
