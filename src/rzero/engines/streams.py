"""One random stream for each completion, addressed by what it is for and not by when it is drawn.

Philox is a counter-based generator: streams with different keys are independent, and making one costs microseconds. So
the numbers of a completion depend on its address alone, never on batch sizes, waves or which rows finished first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WORD = (1 << 64) - 1


def uniforms(seed: int, prompt: int, completion: int, length: int) -> NDArray[np.float64]:
    """``length`` numbers in [0, 1) for completion ``completion`` of prompt ``prompt``; one draws one token.

    A longer stream starts with the shorter one:

    >>> bool((uniforms(7, 3, 0, 5)[:2] == uniforms(7, 3, 0, 2)).all())
    True
    >>> bool((uniforms(7, 3, 0, 5) == uniforms(7, 3, 1, 5)).any())
    False
    """
    key = np.array([seed & _WORD, prompt << 32 | completion], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).random(length)
