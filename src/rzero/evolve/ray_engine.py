"""The engine on a Ray cluster: samplers and learners in processes of their own, none of the models in this one.

The processes start once and stay for the whole run. A sampler that dies is started again by Ray where there is room,
and its work is done by the others meanwhile (``engines/fleet.py``). A learner that dies takes the policy with it: the
step loop opens it anew from the last save (``training.py``), in new processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rzero import __version__
from rzero.config import Config, RoleConfig, change
from rzero.engines.base import Sampler
from rzero.engines.fleet import Fleet, FleetSampler, Source
from rzero.engines.placement import Placement, Share, place
from rzero.engines.ray_cluster import Call, RayCluster, Worker
from rzero.errors import ConfigError, EngineError, WorkerLostError
from rzero.evolve.engine import Policy
from rzero.evolve.hosts import Host, LearnerHost, SamplerHost
from rzero.evolve.ray_learner import RemoteLearner
from rzero.models.checkpoint import weight_files
from rzero.models.open import open_tokenizer
from rzero.models.rendering import Renderer
from rzero.types import Prompt

_T = TypeVar("_T")
_LOOK_S = 0.5  # between two looks at what is still starting
_STORE_BYTES = 2**29  # of a local cluster's object store, beside room for weights


class RayEngine:
    """See :class:`~rzero.evolve.engine.Engine`. Raises ConfigError for a cluster that cannot be joined or is too
    small, ModelError if the model is not on every node, MissingExtraError without Ray.
    """

    def __init__(self, config: Config, base: Path) -> None:
        options = config.engine
        self._config = config
        self._base = base.absolute()
        weights = sum(file.stat().st_size for file in weight_files(base))
        self._cluster = RayCluster(
            options.ray_address, timeout_s=options.ray_timeout_s, object_store_bytes=_STORE_BYTES + 4 * weights
        )
        try:
            self._placement = self._place()
            workers = self._start(SamplerHost, options.num_samplers, self._placement.sampler, name="sampler")
            self._learners = self._steadily(self._new_learners)
            self._steadily(lambda: self._greet(workers))
            max_context, machine = self._steadily(lambda: workers[0].call("describe").result())
        except BaseException:
            self._cluster.close()
            raise
        self._fleet = Fleet(self._cluster, workers, max_rows=options.max_rows, max_context=max_context)
        self._machine = {**machine, "cluster": f"{options.num_samplers} samplers, {options.num_learners} learners"}
        self._renderer = Renderer(open_tokenizer(base, trust_remote_code=config.model.trust_remote_code))

    @property
    def max_context(self) -> int:
        """Most tokens of a prompt and its completion together."""
        return self._fleet.max_context

    @property
    def machine(self) -> Mapping[str, str]:
        """What the options that are ``auto`` came to."""
        return self._machine

    def render(self, prompt: Prompt) -> Sequence[int]:
        """The model's input for a prompt, as token ids."""
        return self._renderer.render(prompt)

    def sampler(self, checkpoint: Path) -> Sampler:
        """All samplers, over a frozen checkpoint."""
        return self._sampler(Source(checkpoint=checkpoint.absolute()))

    def policy(self, checkpoint: Path, *, reference: Path, role: RoleConfig) -> Policy:
        """The learners over ``checkpoint``, and all samplers, each with a copy of the policy."""
        if not self._learners:
            self._learners = self._steadily(self._new_learners)
        learner = RemoteLearner(
            self._cluster,
            self._learners,
            checkpoint.absolute(),
            reference=reference.absolute(),
            role=role,
            replica=self._fleet.new_replica(),
        )
        return Policy(learner=learner, sampler=self._sampler(learner.source))

    def recover(self) -> None:
        """After a learner was lost: end what is left of the learners. The next policy gets new ones."""
        for worker in self._learners:
            worker.kill()
        self._learners = []
        self._fleet.release()

    def release(self) -> None:
        """Have all processes drop their models."""
        self._fleet.release()
        self._cluster.wait_all([worker.call("close") for worker in self._learners], timeout_s=self._cluster.timeout_s)

    def close(self) -> None:
        """End the processes, and the cluster if it was started here."""
        self._cluster.close()

    def _sampler(self, source: Source | Callable[[], Source]) -> Sampler:
        return FleetSampler(self._fleet, source, may_cancel=self._config.vote.stop_early)

    def _place(self) -> Placement:
        """Waits for nodes: a cluster may still be starting, or grow when it is asked to."""
        options = self._config.engine
        deadline = time.monotonic() + (self._cluster.timeout_s if options.ray_address else 0)
        while True:
            try:
                return place(
                    self._cluster.nodes(),
                    samplers=options.num_samplers,
                    learners=options.num_learners,
                    threads=options.threads,
                    device=self._config.model.device,
                )
            except ConfigError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_S)

    def _steadily(self, come_up: Callable[[], _T]) -> _T:
        """``come_up``, and once more where a process was lost on the way, for as long as a start may take."""
        deadline = time.monotonic() + self._cluster.timeout_s
        while True:
            try:
                return come_up()
            except WorkerLostError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_S)

    def _new_learners(self) -> list[Worker]:
        learners = self._start(LearnerHost, self._config.engine.num_learners, self._placement.learner, name="learner")
        try:
            self._greet(learners)
            self._join(learners)
        except WorkerLostError:
            for worker in learners:
                worker.kill()
            raise
        return learners

    @staticmethod
    def _join(learners: Sequence[Worker]) -> None:
        """Make several learners one."""
        if len(learners) > 1:
            address, port = learners[0].call("meeting_place").result()
            calls = [worker.call("join", rank, len(learners), address, port) for rank, worker in enumerate(learners)]
            for call in calls:
                call.result()

    def _start(self, kind: type[Host], number: int, share: Share, *, name: str) -> list[Worker]:
        changes: dict[str, Any] = {"engine.threads": share.threads}
        if not share.gpus:
            changes["model.device"] = "cpu"
        config = change(self._config, changes)
        cpus = share.threads if kind is SamplerHost else 0
        return [
            self._cluster.start(
                kind,
                config,
                self._base,
                name=f"{name} {rank + 1} of {number}",
                cpus=cpus,
                gpus=share.gpus,
                restarts=kind is SamplerHost,
            )
            for rank in range(number)
        ]

    def _greet(self, workers: Sequence[Worker]) -> None:
        """Wait for processes to come up, and see that they fit."""
        limit = self._cluster.timeout_s
        calls = [worker.call("hello") for worker in workers]
        up: list[Call] = self._cluster.wait_all(calls, timeout_s=limit)
        for call in up:
            answer = call.result()
            if answer["rzero"] != __version__:
                raise EngineError(
                    f"node {answer['node']} has rzero {answer['rzero']}, this one {__version__}; install one version"
                )
        if len(up) < len(calls):
            missing = ", ".join(call.who for call in calls if call not in up)
            raise EngineError(
                f"{missing} did not start within {limit:g} s; {self._cluster.free()}. End what else runs on the "
                "cluster, ask for fewer samplers or threads, or raise engine.ray_timeout_s"
            )
