"""A sampling call cut into shards for several samplers, and the book that is kept of them.

Borders follow from the sizes alone, never from who is fast or who died. So a shard that is done again, wherever that
is, is the same batch with the same random streams.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from rzero.engines.base import OnFinish
from rzero.errors import EngineError, WorkerLostError
from rzero.types import Completion, FinishReason

_MOST_FILLS = 4  # of a sampler's slots, by one shard
MOST_LOSSES = 10
"""A shard that has been lost so often is taken to be what kills its samplers."""

Event: TypeAlias = tuple[int, int, Completion]
"""Prompt index, completion index, and the completion that ended; in a shard's own numbers where it comes from one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Completions ``first_completion`` .. + ``n`` of each of the prompts ``first_prompt`` .. + ``num_prompts``."""

    number: int
    first_prompt: int
    num_prompts: int
    first_completion: int
    n: int


def cut(num_prompts: int, n: int, *, samplers: int, max_rows: int, whole_prompts: bool) -> list[Shard]:
    """The shards of ``n`` completions for each of ``num_prompts`` prompts.

    There is one for each of the ``samplers``, or two, three, ..., so that none holds more than four times the
    ``max_rows`` that a sampler decodes side by side: each shard ends with slots that run empty, and each is lost as a
    whole with a sampler that dies. Prompts stay whole where they are enough, or where ``whole_prompts`` says so; else
    each one's completions are divided.

    >>> [(s.first_prompt, s.num_prompts) for s in cut(5, 4, samplers=2, max_rows=64, whole_prompts=False)]
    [(0, 2), (2, 3)]
    >>> [(s.first_completion, s.n) for s in cut(1, 24, samplers=2, max_rows=4, whole_prompts=False)]
    [(0, 12), (12, 12)]
    """
    if not num_prompts * n:
        return []
    wanted = samplers * -(-num_prompts * n // (samplers * _MOST_FILLS * max_rows))
    if whole_prompts or num_prompts >= wanted:
        prompts, completions = _borders(num_prompts, wanted), [(0, n)]
    else:
        prompts, completions = _borders(num_prompts, num_prompts), _borders(n, -(-wanted // num_prompts))
    rectangles = [(*rows, *columns) for rows in prompts for columns in completions]
    return [
        Shard(number=number, first_prompt=row, num_prompts=rows, first_completion=column, n=columns)
        for number, (row, rows, column, columns) in enumerate(rectangles)
    ]


def _borders(total: int, parts: int) -> list[tuple[int, int]]:
    """(start, length) of at most ``parts`` contiguous parts, none empty, whose lengths differ by at most one."""
    parts = min(parts, total)
    starts = [part * total // parts for part in range(parts + 1)]
    return [(start, end - start) for start, end in pairwise(starts)]


class Ledger:
    """Which shards wait, which are out, and the completions that have come: each of them counts once.

    What a lost sampler had already delivered stays; when its shard is done again, those completions are not news.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.completions: dict[tuple[int, int], Completion] = {}
        self._verdicts: dict[tuple[int, int], bool] = {}
        self._waiting = deque(shards)
        self._out: set[int] = set()
        self._losses = dict.fromkeys((shard.number for shard in shards), 0)

    @property
    def done(self) -> bool:
        """Whether every shard is complete."""
        return not self._waiting and not self._out

    def take(self) -> Shard | None:
        """The next shard that somebody should work on, if there is one."""
        if not self._waiting:
            return None
        shard = self._waiting.popleft()
        self._out.add(shard.number)
        return shard

    def receive(self, shard: Shard, events: Sequence[Event], on_finish: OnFinish | None) -> int:
        """Write down what came of ``shard``, tell ``on_finish`` what is news of it; returns how much that is."""
        news = 0
        for i, j, made in events:
            cell = shard.first_prompt + i, shard.first_completion + j
            if cell in self.completions:
                continue
            news += 1
            self.completions[cell] = made
            if on_finish is not None and made.finish_reason is not FinishReason.CANCELLED:
                self._verdicts[cell] = on_finish(*cell, made)
        return news

    def verdict(self, shard: Shard, event: Event) -> bool:
        """What ``on_finish`` said of an event of ``shard`` when it was news."""
        return self._verdicts[shard.first_prompt + event[0], shard.first_completion + event[1]]

    def complete(self, shard: Shard) -> None:
        """``shard`` is finished. Raises EngineError if completions of it did not come."""
        cells = [
            (shard.first_prompt + i, shard.first_completion + j)
            for i in range(shard.num_prompts)
            for j in range(shard.n)
        ]
        missing = [cell for cell in cells if cell not in self.completions]
        if missing:
            raise EngineError(f"a sampler left out {len(missing)} of {len(cells)} completions (first: {missing[0]})")
        self._out.discard(shard.number)

    def lost(self, shard: Shard, error: WorkerLostError) -> None:
        """Who worked on ``shard`` is gone: it is next. Raises EngineError if that happened too often."""
        self._losses[shard.number] += 1
        if self._losses[shard.number] == MOST_LOSSES:
            raise EngineError(f"one batch lost its sampler {MOST_LOSSES} times, so the run stops; the last: {error}")
        self._out.discard(shard.number)
        self._waiting.appendleft(shard)
