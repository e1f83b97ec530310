"""Which completions run: rows that finish leave at once and waiting ones take their places.

The whole pages of what all prompts begin with are filled at first and stay; the rest of a prompt is run when its first
completion starts, and its pages stay until its last one has ended. Completions share its whole pages; the last, partly
filled one is copied for each. When the cache is full, the completions that
started last give up their pages and wait again: since a completion draws from a random stream of its own, it goes on
later as if nothing had happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rzero.engines.drafts import Drafts, Results, Row
from rzero.engines.paged.cache import PagedCache
from rzero.engines.paged.pages import OutOfPagesError
from rzero.types import Completion, TokenIds

_PREFILL_TOKENS = 4096  # in one forward pass: bounds the memory of activations


@dataclass(slots=True, kw_only=True)
class _Prompt:
    """``unfinished`` completions still need it; its ``pages`` and last ``hidden`` state [d] are there once it ran.

    The first of its pages are those of the common beginning.
    """

    ids: TokenIds
    unfinished: int = 0
    live: int = 0
    pages: list[int] = field(default_factory=list)
    hidden: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    row: Row
    prompt: _Prompt
    written: Completion | None = None


class Scheduler:
    """Runs ``rows`` to their end. Equal prompts must be neighbours, the longest prompt first.

    ``decode`` does what :meth:`PagedCache.decode` does.
    """

    def __init__(
        self,
        cache: PagedCache,
        drafts: Drafts,
        results: Results,
        *,
        rows: Sequence[Row],
        slots: int,
        decode: Callable[[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]], Tensor],
    ) -> None:
        self._cache = cache
        self._step = decode
        self._drafts = drafts
        self._results = results
        self._slots = slots
        self._free = list(range(slots - 1, -1, -1))
        self._waiting = deque(_queue(rows))
        self._beginning = _beginning(rows, cache.page_size)
        self._common: list[int] = []  # its pages
        self._live = np.zeros(0, dtype=np.int64)  # slots, in the order in which their rows started
        self._prompts: list[_Prompt | None] = [None] * slots
        self._pages: list[list[int]] = [[] for _ in range(slots)]  # each slot's own, behind its prompt's
        self._positions = np.zeros(slots, dtype=np.int32)  # where the next token of each slot will stand
        self._table = np.zeros((slots, 1), dtype=np.int32)

    def run(self) -> None:
        """Until every row has a completion among the results."""
        if self._beginning:
            self._common = self._cache.pages.take(len(self._beginning) // self._cache.page_size)
            self._cache.prefill([self._beginning], [self._common])
        hidden: Tensor | None = None
        while True:
            if self._has_room():
                new = self._admit()
                hidden = torch.cat([part for part in (hidden, *new) if part is not None]) if new else hidden
            if hidden is None:
                return
            tokens, finished = self._drafts.write(self._live, hidden)
            stay = self._leave(finished)
            hidden = self._decode(tokens[stay]) if len(self._live) else None

    def _has_room(self) -> bool:
        """Refilling a few slots at a time keeps the batch near full without a small prefill at every step."""
        return bool(self._waiting) and len(self._free) >= (max(1, self._slots // 8) if len(self._live) else 1)

    def _admit(self) -> list[Tensor]:
        """Start waiting rows, as slots and pages allow; their prompts' last hidden states, [1, d] each."""
        started: list[tuple[int, _Waiting]] = []
        copies: list[tuple[int, int]] = []
        new: dict[int, _Prompt] = {}
        while self._waiting and self._free:
            waiting = self._waiting[0]
            if not self._results.wanted([waiting.row]):
                self._waiting.popleft()
                self._release(waiting.prompt)
                continue
            prompt, shared = waiting.prompt, len(waiting.prompt.ids) // self._cache.page_size
            partly = len(prompt.ids) % self._cache.page_size > 0
            own = 0 if prompt.pages else shared + partly - len(self._common)
            # Each live row will want one more page soon; starting another now would only take it away again.
            if own + partly + len(self._live) + len(started) > self._cache.pages.available:
                if len(self._live) or started:
                    break
                if self._forget_idle_prompts():
                    continue
            self._waiting.popleft()
            slot = self._free.pop()
            if not prompt.pages:
                prompt.pages = [*self._common, *self._cache.pages.take(own)]
                new[id(prompt)] = prompt
            self._pages[slot] = self._cache.pages.take(int(partly))
            copies += [(prompt.pages[shared], page) for page in self._pages[slot]]
            self._place(slot, waiting, shared)
            started.append((slot, waiting))
        self._prefill(list(new.values()))
        self._cache.copy([source for source, _ in copies], [target for _, target in copies])
        self._live = np.concatenate([self._live, np.array([slot for slot, _ in started], dtype=np.int64)])
        return [waiting.prompt.hidden[None] for _, waiting in started if waiting.prompt.hidden is not None]

    def _place(self, slot: int, waiting: _Waiting, shared: int) -> None:
        prompt = waiting.prompt
        prompt.live += 1
        self._prompts[slot] = prompt
        self._positions[slot] = len(prompt.ids)
        pages = prompt.pages[:shared] + self._pages[slot]
        self._widen(len(pages))
        self._table[slot, : len(pages)] = pages
        self._drafts.start(slot, waiting.row, waiting.written)

    def _prefill(self, prompts: list[_Prompt]) -> None:
        prompts.sort(key=lambda prompt: -len(prompt.ids))
        start = len(self._beginning)
        while prompts:
            size = max(1, _PREFILL_TOKENS // (len(prompts[0].ids) - start))
            batch, prompts = prompts[:size], prompts[size:]
            hidden = self._cache.prefill([prompt.ids for prompt in batch], [prompt.pages for prompt in batch], start)
            for prompt, last in zip(batch, hidden, strict=True):
                prompt.hidden = last

    def _leave(self, finished: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Take out the ``finished`` rows and those whose prompts want no more; the places of those that stay."""
        gone = self._results.leave(self._drafts, self._live, finished)
        for slot in self._live[gone].tolist():
            self._vacate(slot)
        self._live = self._live[~gone]
        return np.flatnonzero(~gone)

    def _vacate(self, slot: int) -> None:
        """Free ``slot`` and its pages."""
        prompt = self._prompts[slot]
        assert prompt is not None
        self._cache.pages.give_back(self._pages[slot])
        self._pages[slot] = []
        self._prompts[slot] = None
        self._free.append(slot)
        prompt.live -= 1
        self._release(prompt)

    def _release(self, prompt: _Prompt) -> None:
        prompt.unfinished -= 1
        if prompt.unfinished == 0:
            self._forget(prompt)

    def _forget(self, prompt: _Prompt) -> None:
        self._cache.pages.give_back(prompt.pages[len(self._common) :])
        prompt.pages, prompt.hidden = [], None

    def _decode(self, tokens: NDArray[np.int64]) -> Tensor:
        """Run ``tokens`` [R] of the live rows; hidden states of those that are live afterwards."""
        self._take_pages()
        live, size = self._live, self._cache.page_size
        positions = self._positions[live]
        table = np.ascontiguousarray(self._table[live, : int(positions.max()) // size + 1])
        hidden = self._step(tokens[: len(live)], positions, table)
        self._positions[live] += 1
        return hidden

    def _take_pages(self) -> None:
        """A page for each live row whose next token starts one; where there are none, the last rows wait again."""
        while True:
            starting = self._live[self._positions[self._live] % self._cache.page_size == 0]
            try:
                pages = self._cache.pages.take(len(starting))
                break
            except OutOfPagesError:
                if not self._forget_idle_prompts():
                    self._suspend()
        places = self._positions[starting] // self._cache.page_size
        if len(starting):
            self._widen(int(places.max()) + 1)
            self._table[starting, places] = pages
        for slot, page in zip(starting.tolist(), pages, strict=True):
            self._pages[slot].append(page)

    def _forget_idle_prompts(self) -> bool:
        """Give up the pages of a prompt all of whose completions wait; it is prefilled again when one starts."""
        for waiting in reversed(self._waiting):
            if waiting.prompt.pages and not waiting.prompt.live:
                self._forget(waiting.prompt)
                return True
        return False

    def _suspend(self) -> None:
        """The live row that started last waits again, what it has written being part of its prompt."""
        slot = int(self._live[-1])
        self._live = self._live[:-1]
        row, written = self._drafts.row(slot), self._drafts.completion(slot, cancelled=True)
        self._vacate(slot)
        prompt = _Prompt(ids=(*row.prompt_ids, *written.token_ids), unfinished=1)
        self._waiting.appendleft(_Waiting(row=row, prompt=prompt, written=written))

    def _widen(self, columns: int) -> None:
        have = self._table.shape[1]
        if columns > have:
            self._table = np.pad(self._table, ((0, 0), (0, max(columns, 2 * have) - have)))


def pages_needed(row: Row, page_size: int) -> int:
    """Most pages that one completion needs when it runs alone."""
    prompt, total = len(row.prompt_ids), len(row.prompt_ids) + row.limit
    return -(-total // page_size) + (prompt % page_size > 0)


def _queue(rows: Iterable[Row]) -> list[_Waiting]:
    queue: list[_Waiting] = []
    for row in rows:
        prompt = (
            queue[-1].prompt if queue and queue[-1].row.prompt_ids == row.prompt_ids else _Prompt(ids=row.prompt_ids)
        )
        prompt.unfinished += 1
        queue.append(_Waiting(row=row, prompt=prompt))
    return queue


def _beginning(rows: Sequence[Row], page_size: int) -> TokenIds:
    """What all prompts begin with, of each prompt less than all, in whole pages; nothing if there is but one prompt."""
    prompts = {row.prompt_ids for row in rows}
    if len(prompts) == 1:
        return ()
    most = min(map(len, prompts)) - 1
    alike = next((i for i, tokens in enumerate(zip(*prompts, strict=False)) if len(set(tokens)) > 1), most)
    return rows[0].prompt_ids[: min(alike, most) // page_size * page_size]
