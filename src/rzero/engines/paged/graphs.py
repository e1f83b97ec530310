"""Decoding steps that are recorded once and replayed: on a GPU, one launch instead of one for each operation.

A recording has a fixed number of rows, so there is one for each of a few sizes; what a step lacks is filled up with
rows that read and write a scratch page. A size is recorded when it has been used for a while. Tables are as wide as the
call's longest completion needs, and the pools may not grow, so all pages exist from the start.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rzero.engines.paged.cache import PagedCache, packed
from rzero.engines.sending import send

_PATIENCE = 16  # steps of a size before it is recorded, which takes about as long


class Recorder(Protocol):
    """Makes replays of work that reads and writes the same memory every time."""

    def record(self, work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """What does ``work`` again; its result is valid until the next replay. May raise RuntimeError."""
        ...

    def close(self) -> None:
        """No replay is used any more."""
        ...


class CudaRecorder:
    """A :class:`Recorder` of CUDA graphs, which share one pool of memory: only one is under way at a time."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """See :class:`Recorder`; ``work`` may not wait for the device."""
        here = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            work()  # libraries set themselves up at a first use, which cannot be recorded
        here.wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads of the process may go on using the device.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            result = work()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay

    def close(self) -> None:
        """The memory of graphs that are gone is nobody else's before the allocator is told to look."""
        torch.cuda.empty_cache()


def recorder_for(device: torch.device) -> Recorder | None:
    """CUDA graphs on CUDA, elsewhere nothing."""
    return CudaRecorder(device) if device.type == "cuda" else None


class Graphs:
    """The decoding steps of one call, of at most ``slots`` rows with at most ``width`` pages each.

    The first replay of each size is compared with the same step as it runs without. If they differ, or if recording
    fails, there is one RuntimeWarning, :attr:`failed` is set, and all further steps run without. As a context, it lets
    go of the recordings at the end.
    """

    def __init__(self, cache: PagedCache, recorder: Recorder, *, width: int, slots: int) -> None:
        self.failed = False
        self.replayed = 0
        self._cache = cache
        self._recorder = recorder
        self._width = width
        self._sizes = _sizes(slots)
        self._used: Counter[int] = Counter()
        self._recorded: dict[int, tuple[Tensor, Callable[[], Tensor]]] = {}  # the input, and what replays
        cache.pages.reserve()
        (self._scratch,) = cache.pages.take(1)

    def __enter__(self) -> Graphs:
        return self

    def __exit__(self, *raised: object) -> None:
        self._recorded.clear()
        self._recorder.close()

    def decode(self, tokens: NDArray[np.int64], positions: NDArray[np.int32], table: NDArray[np.int32]) -> Tensor:
        """:meth:`PagedCache.decode`; the result is valid until the next step."""
        rows = len(positions)
        size = next(size for size in self._sizes if size >= rows)
        self._used[size] += 1
        if self.failed or self._used[size] <= _PATIENCE:
            return self._cache.decode(tokens, positions, table)
        step = self._filled_up(size, tokens, positions, table)
        if size not in self._recorded and not self._record(size, step):
            return self._cache.decode(tokens, positions, table)
        inputs, replay = self._recorded[size]
        inputs.copy_(step)
        self.replayed += 1
        return replay()[:rows]

    def _filled_up(
        self, size: int, tokens: NDArray[np.int64], positions: NDArray[np.int32], table: NDArray[np.int32]
    ) -> Tensor:
        """The input of a step of ``size`` rows: those given, and rows of one token in the scratch page."""
        rows, more = len(positions), size - len(positions)
        wide = np.full((size, self._width), self._scratch, dtype=np.int32)
        wide[:rows, : table.shape[1]] = table
        owners = np.arange(size, dtype=np.int32)
        numbers = packed(np.pad(tokens, (0, more)), np.pad(positions, (0, more)), owners, wide, self._cache.page_size)
        return send(numbers, self._cache.device)

    def _record(self, size: int, step: Tensor) -> bool:
        """Record steps of ``size`` rows if a replay of ``step`` gives what the step gives."""
        # The scratch page alone: a number that is fixed in the recording by mistake is not that of the step, and shows.
        nothing = np.zeros(0, dtype=np.int32)
        inputs = self._filled_up(size, nothing.astype(np.int64), nothing, nothing[:, None])
        try:
            replay = self._recorder.record(lambda: self._cache.step(inputs, tokens=size, rows=size))
            inputs.copy_(step)
            if not _same(self._cache.step(inputs, tokens=size, rows=size), replay()):
                raise RuntimeError("a replayed step computes something else")
        except RuntimeError as error:
            self.failed = True
            self._recorded.clear()
            warnings.warn(f"decoding goes on without CUDA graphs, slower: {error}", RuntimeWarning, stacklevel=2)
            return False
        self._recorded[size] = inputs, replay
        return True


def _sizes(slots: int) -> list[int]:
    """Powers of two and, from 16 on, one between each and the next; the last is ``slots``."""
    powers = [1 << power for power in range(slots.bit_length())]
    between = [power + power // 2 for power in powers if power >= 16]
    return [*(size for size in sorted([*powers, *between]) if size < slots), slots]


def _same(expected: Tensor, found: Tensor) -> bool:
    """Up to rounding: the operations are the same, but some may add up in another order. Damaged weights are equal."""
    distance = (found.float() - expected.float()).norm()
    close = distance <= 16 * torch.finfo(expected.dtype).eps * expected.float().norm()
    return bool(close | ~expected.isfinite().all())
