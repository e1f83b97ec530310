"""A sampling call whose completions are taken out while it goes on, by somebody who may not wait in a callback.

:class:`Generation` runs ``generate`` in a thread. Whoever takes out what has ended does so batch by batch. Where that
decides which completions are no longer needed, the sampler stands still until it is told: then the decisions depend
on what was sampled and not on how fast messages travel.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from rzero.engines.base import Sampler, SamplingParams
from rzero.engines.shards import Event
from rzero.types import Completion, FinishReason

_GATHER_S = 0.1  # between two batches that nobody waits for, so that messages are few


class _AbandonedError(Exception):
    """Nobody wants the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Completions that have ended since the last batch. ``last``: there are no more."""

    events: Sequence[Event]
    last: bool


class Generation:
    """``sampler.generate(prompts, params)``, begun at once.

    ``ask``: each completion waits for its verdict, whether the prompt's others are no longer needed.
    """

    def __init__(
        self, sampler: Sampler, prompts: Sequence[Sequence[int]], params: SamplingParams, *, ask: bool
    ) -> None:
        self._ask = ask
        self._changed = threading.Condition()
        self._events: list[Event] = []
        self._verdict: bool | None = None
        self._ended = self._abandoned = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(sampler, prompts, params), daemon=True)
        self._thread.start()

    def next(self, verdict: bool | None = None) -> Batch:
        """Wait for the next batch; raises what ``generate`` raised.

        Where verdicts are asked for, a batch has one completion until the last, and ``verdict`` is that of the batch
        before.
        """
        with self._changed:
            self._verdict = verdict
            self._changed.notify_all()
            if not self._ask:
                self._changed.wait_for(lambda: self._ended, timeout=_GATHER_S)
            self._changed.wait_for(lambda: self._ended or self._events)
            if self._error is not None:
                raise self._error
            events, self._events = self._events, []
            return Batch(events=events, last=self._ended)

    def abandon(self) -> None:
        """End it at the next completion, and wait for that."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self, sampler: Sampler, prompts: Sequence[Sequence[int]], params: SamplingParams) -> None:
        error: BaseException | None = None
        try:
            groups = sampler.generate(prompts, params, on_finish=self._finished)
            rest = [
                (i, j, made)
                for i, group in enumerate(groups)
                for j, made in enumerate(group)
                if made.finish_reason is FinishReason.CANCELLED
            ]
        except BaseException as raised:  # it is raised again where the batches are taken out
            error, rest = raised, []
        with self._changed:
            self._events += rest
            self._error, self._ended = error, True
            self._changed.notify_all()

    def _finished(self, prompt: int, completion: int, made: Completion) -> bool:
        with self._changed:
            self._events.append((prompt, completion, made))
            self._verdict = None
            self._changed.notify_all()
            if self._ask:
                self._changed.wait_for(lambda: self._abandoned or self._verdict is not None)
            if self._abandoned:
                raise _AbandonedError
            return bool(self._verdict)
