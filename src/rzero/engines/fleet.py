"""Sampler processes all over a cluster as one :class:`~rzero.engines.base.Sampler`.

A call is cut into shards of fixed borders (``shards.py``). Each process works on one at a time and is given the next
when it is free, so the quick ones do more of them; what has ended comes back while the rest goes on. A process that
dies costs the shards that it was at: they are done again by others, to the same tokens, and what had come of them
already is not counted again.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rzero.engines.base import OnFinish, SamplingParams, check_prompts
from rzero.engines.ray_cluster import Call, RayCluster, Stored, StoredValueLostError, Worker
from rzero.engines.shards import Ledger, Shard, cut
from rzero.engines.streaming import Batch
from rzero.engines.tensors import pack
from rzero.errors import EngineError, WorkerLostError
from rzero.types import Completion

if TYPE_CHECKING:
    from torch import Tensor

_RETRY_S = 0.5  # between two looks at a process that is being started again


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is sampled from: a ``checkpoint`` as it is, or, where there are ``weights``, the model with those in it.

    ``replica`` numbers the copies whose weights change; a frozen checkpoint has none. ``version`` is the weights'.
    """

    checkpoint: Path
    replica: int | None = None
    version: int = 0
    weights: Stored | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One shard's work. ``ask``: each completion waits for its verdict (see ``streaming.py``)."""

    source: Source
    prompts: Sequence[Sequence[int]]
    params: SamplingParams
    ask: bool


class Fleet:
    """The sampler processes of an engine.

    Each holds an object with ``start(job) -> Batch``, ``next(verdict) -> Batch``, ``release()`` and ``hello()``.
    ``max_rows`` is how many completions each decodes side by side.
    """

    def __init__(self, cluster: RayCluster, workers: Sequence[Worker], *, max_rows: int, max_context: int) -> None:
        self.max_rows = max_rows
        self.max_context = max_context
        self.cluster = cluster
        self._idle = list(workers)
        self._dead: dict[Worker, Call] = {}  # with the call that is answered once it is back
        self._replicas = itertools.count(1)

    def new_replica(self) -> int:
        """A number for a copy of a model that has not been used."""
        return next(self._replicas)

    @property
    def size(self) -> int:
        """The number of processes, those that are being started again among them."""
        return len(self._idle) + len(self._dead)

    def release(self) -> None:
        """Let all processes drop their models."""
        calls = [worker.call("release") for worker in self._idle]
        self.cluster.wait_all(calls, timeout_s=self.cluster.timeout_s)

    def run(self, ledger: Ledger, job: Callable[[Shard], Job], receive: Callable[[Shard, Batch], bool | None]) -> None:
        """Work until ``ledger`` is done. ``receive`` is handed what has come of a shard, and returns the verdict on it.

        Raises the first error of a process's code, and EngineError if all processes are gone and none comes back.
        """
        _Run(self.cluster, self._idle, self._dead, ledger=ledger, job=job, receive=receive).run()


class _Run:
    """One call of :meth:`Fleet.run`; ``idle`` and ``dead`` are the fleet's own."""

    def __init__(
        self,
        cluster: RayCluster,
        idle: list[Worker],
        dead: dict[Worker, Call],
        *,
        ledger: Ledger,
        job: Callable[[Shard], Job],
        receive: Callable[[Shard, Batch], bool | None],
    ) -> None:
        self._cluster = cluster
        self._idle = idle
        self._dead = dead
        self._ledger = ledger
        self._job = job
        self._receive = receive
        self._busy: dict[Call, tuple[Worker, Shard]] = {}
        self._first_loss: WorkerLostError | None = None
        self._deadline: float | None = None  # while nobody works

    def run(self) -> None:
        try:
            while not self._ledger.done:
                self._hand_out()
                self._wait()
        finally:
            self._idle += [worker for worker, _ in self._busy.values()]

    def _hand_out(self) -> None:
        while self._idle and (shard := self._ledger.take()):
            worker = self._idle.pop(0)
            self._busy[worker.call("start", self._job(shard))] = worker, shard

    def _wait(self) -> None:
        back = {call: worker for worker, call in self._dead.items()}
        if self._busy:
            self._deadline = None
        elif self._deadline is None:
            self._deadline = time.monotonic() + self._cluster.timeout_s
        left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        ready = self._cluster.wait([*self._busy, *back], timeout_s=left)
        if not ready:
            raise EngineError(
                f"no sampler is left, and none came back within {self._cluster.timeout_s:g} s "
                f"({self._cluster.free()}); the first loss: {self._first_loss}. Add nodes and run this again"
            )
        for call in ready:
            if call in back:
                self._revive(back[call], call)
            else:
                self._take(call)

    def _take(self, call: Call) -> None:
        worker, shard = self._busy[call]
        try:
            batch: Batch = call.result()
        except StoredValueLostError:
            raise  # not of this worker, which is well
        except WorkerLostError as error:
            del self._busy[call]
            self._first_loss = self._first_loss or error
            self._dead[worker] = worker.call("hello")
            self._ledger.lost(shard, error)
            return
        verdict = self._receive(shard, batch)
        del self._busy[call]
        if batch.last:
            self._ledger.complete(shard)
            self._idle.append(worker)
        else:
            self._busy[worker.call("next", verdict)] = worker, shard

    def _revive(self, worker: Worker, call: Call) -> None:
        try:
            call.result()
        except WorkerLostError as error:
            self._first_loss = self._first_loss or error
            time.sleep(_RETRY_S)
            self._dead[worker] = worker.call("hello")
            return
        del self._dead[worker]
        self._idle.append(worker)


class FleetSampler:
    """A :class:`~rzero.engines.base.Sampler` over a fleet.

    ``source`` is what it samples from; or, where a learner trains it, a function that asks that learner. Unless
    ``may_cancel``, what ``on_finish`` says cancels nothing, and sampling never waits for it.
    """

    def __init__(self, fleet: Fleet, source: Source | Callable[[], Source], *, may_cancel: bool) -> None:
        self._fleet = fleet
        self._source = source
        self._may_cancel = may_cancel

    @property
    def policy_version(self) -> int:
        """The version of the weights that the next completion is drawn with."""
        return self._now().version

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams,
        *,
        on_progress: Callable[[int], None] | None = None,
        on_finish: OnFinish | None = None,
    ) -> list[list[Completion]]:
        """See :meth:`rzero.engines.base.Sampler.generate`.

        The tokens are those of one sampler alone, up to the rounding of matrix products of other sizes. Raises
        WorkerLostError if a learner's weights were lost on the way, EngineError as :meth:`Fleet.run` does.
        """
        check_prompts(prompts, max_context=self._fleet.max_context, first=params.first_prompt)
        ask = self._may_cancel and on_finish is not None
        shards = cut(
            len(prompts), params.n, samplers=self._fleet.size, max_rows=self._fleet.max_rows, whole_prompts=ask
        )
        ledger, source = Ledger(shards), self._now()

        def job(shard: Shard) -> Job:
            own = replace(
                params,
                n=shard.n,
                first_prompt=params.first_prompt + shard.first_prompt,
                first_completion=params.first_completion + shard.first_completion,
            )
            chosen = prompts[shard.first_prompt : shard.first_prompt + shard.num_prompts]
            return Job(source=source, prompts=[tuple(prompt) for prompt in chosen], params=own, ask=ask)

        def receive(shard: Shard, batch: Batch) -> bool | None:
            news = ledger.receive(shard, batch.events, on_finish)
            if news and on_progress is not None:
                on_progress(news)
            return ledger.verdict(shard, batch.events[-1]) if ask and not batch.last else None

        self._fleet.run(ledger, job, receive)
        return [[ledger.completions[i, j] for j in range(params.n)] for i in range(len(prompts))]

    def load_weights(self, source: Path | Iterable[tuple[str, Tensor]], *, policy_version: int) -> None:
        """Replace the weights in all processes, before their next shard. Raises EngineError if a learner owns them."""
        if callable(self._source):
            raise EngineError("this sampler has its weights from a learner; restore the learner instead")
        from rzero.engines.weights import read_checkpoint

        pairs = read_checkpoint(source) if isinstance(source, Path) else source
        replica = self._source.replica or self._fleet.new_replica()
        weights = self._fleet.cluster.put(pack(pairs))
        self._source = replace(self._source, replica=replica, version=policy_version, weights=weights)

    def _now(self) -> Source:
        return self._source() if callable(self._source) else self._source
