"""When a completion has ended: an end token, or a stop string in its text.

A stop string may lie across token borders, so text has to be decoded; but only a token that holds the last character of
a stop string can complete it. A table over the vocabulary finds those few rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rzero.models.language_model import LanguageModel

_UNDECODABLE = "\ufffd"  # a token that is only part of a character may complete any character


class StopRules:
    """The end tokens of a model together with the stop strings of one call."""

    def __init__(self, model: LanguageModel, stop: Sequence[str]) -> None:
        self._decode = model.decode
        self._stop = tuple(stop)
        vocab_size = model.head.weight.shape[0]
        self._is_end = np.zeros(vocab_size, dtype=bool)
        self._is_end[[token for token in model.stop_ids if token < vocab_size]] = True
        self._suspect = np.zeros(vocab_size, dtype=bool)
        if self._stop:
            self._suspect[:] = [self._may_complete(text) for text in model.token_texts]
        # A character has at most as many tokens as bytes; one more, because decoders may strip the text's first space.
        self.tail = max((len(text.encode()) for text in self._stop), default=0) + 1

    def ended(self, tokens: NDArray[np.int64], tail_of: Callable[[int], Sequence[int]]) -> NDArray[np.bool_]:
        """Which rows their newest token [R] ends; ``tail_of(row)`` are a row's last :attr:`tail` tokens."""
        ended = self._is_end[tokens]
        for row in np.flatnonzero(self._suspect[tokens] & ~ended):
            text = self._decode(tail_of(int(row)))
            ended[row] = any(stop in text for stop in self._stop)
        return ended

    def _may_complete(self, token_text: str) -> bool:
        # A decoder may show a lone space as nothing.
        return any(
            stop[-1] in token_text or _UNDECODABLE in token_text or (stop[-1] == " " and not token_text.strip())
            for stop in self._stop
        )
