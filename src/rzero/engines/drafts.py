"""Completions while they are being written, each in a slot, and those that are done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rzero.engines.base import OnFinish, SamplingParams, check_prompts
from rzero.engines.draw import draw
from rzero.engines.sending import send
from rzero.engines.stopping import StopRules
from rzero.engines.streams import uniforms
from rzero.errors import EngineError
from rzero.models.language_model import LanguageModel
from rzero.types import Completion, FinishReason, TokenIds

_FIRST_COLUMNS = 64  # room for new tokens before the buffers grow for the first time


_NOTHING = Completion(token_ids=(), logprobs=(), finish_reason=FinishReason.CANCELLED, text="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Completion ``completion`` of prompt ``prompt``; at most ``limit`` new tokens."""

    prompt: int
    completion: int
    prompt_ids: TokenIds
    limit: int


def rows_of(prompts: Sequence[Sequence[int]], params: SamplingParams, *, context: int) -> list[Row]:
    """The completions that a call asks for, ``params.n`` of each prompt, in order.

    Raises EngineError for an empty prompt, and for one that leaves no room in ``context`` tokens.
    """
    check_prompts(prompts, max_context=context, first=params.first_prompt)
    return [
        Row(
            prompt=index,
            completion=completion,
            prompt_ids=ids,
            limit=min(params.max_new_tokens, context - len(ids)),
        )
        for index, ids in enumerate(map(tuple, prompts))
        for completion in range(params.n)
    ]


class Results:
    """The completions that are done, by (prompt, completion), and the prompts that want no more of them."""

    def __init__(
        self,
        *,
        on_progress: Callable[[int], None] | None,
        on_finish: OnFinish | None,
    ) -> None:
        self.done: dict[tuple[int, int], Completion] = {}
        self.cancelled: set[int] = set()
        self._on_progress = on_progress
        self._on_finish = on_finish

    def leave(self, drafts: Drafts, slots: NDArray[np.int64], finished: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Take the drafts in those of ``slots`` [R] that are ``finished`` [R], and what that cancels.

        Returns which of them run no longer [R].
        """
        if not finished.any():
            return finished
        self.add([(drafts.row(slot), drafts.completion(slot)) for slot in slots[finished].tolist()])
        gone = finished.copy()
        for index in np.flatnonzero(~finished) if self.cancelled else ():
            row = drafts.row(slots[index])
            if row.prompt in self.cancelled:
                self.add([(row, drafts.completion(slots[index], cancelled=True))])
                gone[index] = True
        return gone

    def wanted(self, rows: Sequence[Row]) -> list[Row]:
        """Those of ``rows`` that are still to run; the others, which have not begun, are done with that."""
        self.add([(row, _NOTHING) for row in rows if row.prompt in self.cancelled])
        return [row for row in rows if row.prompt not in self.cancelled]

    def add(self, rows: Sequence[tuple[Row, Completion]]) -> None:
        """Completions that have ended; those that were cancelled are told to nobody."""
        for row, completion in rows:
            self.done[row.prompt, row.completion] = completion
            told = self._on_finish is not None and completion.finish_reason is not FinishReason.CANCELLED
            if told and self._on_finish(row.prompt, row.completion, completion):  # pyright: ignore[reportOptionalCall]
                self.cancelled.add(row.prompt)
        if rows and self._on_progress is not None:
            self._on_progress(len(rows))


class Drafts:
    """What ``slots`` completions have written so far: tokens, log-probabilities, and the numbers that draw them."""

    def __init__(self, model: LanguageModel, params: SamplingParams, *, slots: int) -> None:
        self._model = model
        self._params = params
        self._rules = StopRules(model, params.stop)
        self._rows: list[Row | None] = [None] * slots
        self._limits = np.zeros(slots, dtype=np.int64)
        self._lengths = np.zeros(slots, dtype=np.int64)
        self._stopped = np.zeros(slots, dtype=bool)
        self._tokens = np.zeros((slots, _FIRST_COLUMNS), dtype=np.int64)
        self._logprobs = np.zeros(self._tokens.shape, dtype=np.float32)
        self._uniforms = np.zeros(self._tokens.shape, dtype=np.float64)

    def start(self, slot: int, row: Row, written: Completion | None = None) -> None:
        """Give ``slot`` to ``row``, which goes on behind what it had ``written`` before."""
        self._rows[slot] = row
        self._limits[slot], self._stopped[slot] = row.limit, False
        self._lengths[slot] = length = len(written.token_ids) if written else 0
        self._reserve(length + 1)
        if written:
            self._tokens[slot, :length] = written.token_ids
            self._logprobs[slot, :length] = written.logprobs
        self._uniforms[slot] = self._stream(row)

    def row(self, slot: int) -> Row:
        """Whose draft it is."""
        row = self._rows[slot]
        assert row is not None
        return row

    def write(self, slots: NDArray[np.int64], hidden: Tensor) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Draw one more token for each of ``slots`` [R] from ``hidden`` [R, d].

        Returns the tokens [R] and which of the completions end by them. Raises EngineError if the model computes
        something that is not a number.
        """
        at = self._lengths[slots]
        self._reserve(int(at.max()) + 1)
        tokens, logprobs = draw(
            self._model.head.logits(hidden),
            send(self._uniforms[slots, at], hidden.device),
            temperature=self._params.temperature,
            top_k=self._params.top_k,
            top_p=self._params.top_p,
        )
        # The host waits for the device here: once a step for all rows, both results in one piece, exact in fp64.
        drawn = torch.stack([tokens.double(), logprobs.double()]).cpu().numpy()
        self._tokens[slots, at] = new = drawn[0].astype(np.int64)
        self._logprobs[slots, at] = new_logprobs = drawn[1].astype(np.float32)
        if np.isnan(new_logprobs).any():
            raise EngineError("the model's logits are not numbers: its weights are damaged or training diverged")
        self._lengths[slots] = at + 1
        stopped = self._rules.ended(new, lambda index: self._tail(slots[index]))
        self._stopped[slots] = stopped
        return new, stopped | (at + 1 == self._limits[slots])

    def completion(self, slot: int, *, cancelled: bool = False) -> Completion:
        """What is written in ``slot``."""
        length = self._lengths[slot]
        token_ids = tuple(self._tokens[slot, :length].tolist())
        reason = FinishReason.STOP if self._stopped[slot] else FinishReason.LENGTH
        return Completion(
            token_ids=token_ids,
            logprobs=tuple(self._logprobs[slot, :length].tolist()),
            finish_reason=FinishReason.CANCELLED if cancelled else reason,
            text=self._model.decode(token_ids),
        )

    def _tail(self, slot: int) -> list[int]:
        length = self._lengths[slot]
        return self._tokens[slot, max(0, length - self._rules.tail) : length].tolist()

    def _stream(self, row: Row) -> NDArray[np.float64]:
        width: int = self._uniforms.shape[-1]
        prompt, completion = self._params.first_prompt + row.prompt, self._params.first_completion + row.completion
        return uniforms(self._params.seed, prompt, completion, width)

    def _reserve(self, columns: int) -> None:
        have = self._tokens.shape[1]
        if columns <= have:
            return
        wide = max(columns, 2 * have)
        grow = ((0, 0), (0, wide - have))
        self._tokens, self._logprobs = np.pad(self._tokens, grow), np.pad(self._logprobs, grow)
        self._uniforms = np.zeros((len(self._rows), wide), dtype=np.float64)
        for slot, row in enumerate(self._rows):
            if row is not None:
                self._uniforms[slot] = self._stream(row)
