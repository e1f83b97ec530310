"""What lives in the processes of a cluster: a sampler's models, or a learner's policy.

Nothing here knows how the calls come in. Each process opens models by itself, from paths that mean the same on every
node.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from rzero import __version__
from rzero.config import Config, RoleConfig
from rzero.engines.base import Learner, Sampler
from rzero.engines.fleet import Job, Source
from rzero.engines.ray_cluster import Stored, own_address
from rzero.engines.streaming import Batch, Generation
from rzero.engines.tensors import PackedTensor, pack, unpack
from rzero.errors import EngineError, ModelError
from rzero.evolve.embedded_engine import EmbeddedEngine
from rzero.evolve.vllm_engine import VllmEngine

_SHARED_FOLDER_S = 10.0  # in which a folder that another node made must show


class Host:
    """What both kinds of process have: the options as they are for it, and the embedded engine."""

    def __init__(self, config: Config, base: Path) -> None:
        self._config = config
        self._base = base
        # Before torch is loaded; it holds for every thread of the process, and calls come in on several.
        os.environ["OMP_NUM_THREADS"] = str(config.engine.threads)

    def hello(self) -> dict[str, Any]:
        """Who and where this process is. Raises ModelError if the base model is not on its node."""
        self._require(self._base)
        return {"pid": os.getpid(), "node": socket.gethostname(), "rzero": __version__}

    def describe(self) -> tuple[int, Mapping[str, str]]:
        """Open the base model; its context in tokens, and what the options that are ``auto`` came to."""
        return self._samplers_engine.max_context, self._samplers_engine.machine

    @cached_property
    def _engine(self) -> EmbeddedEngine:
        return EmbeddedEngine(self._config, self._base)

    @cached_property
    def _samplers_engine(self) -> EmbeddedEngine | VllmEngine:
        return VllmEngine(self._config, self._base) if self._config.engine.sampler == "vllm" else self._engine

    def _require(self, directory: Path) -> None:
        """A folder of a shared file system may show a little later than where it was made."""
        deadline = time.monotonic() + _SHARED_FOLDER_S
        while not directory.is_dir():
            if directory == self._base or time.monotonic() > deadline:
                raise ModelError(
                    f"node {socket.gethostname()} has no directory {directory}; models and --out must have the same "
                    "path on every node, so put them on a file system that all nodes share (for --out at a URL: let "
                    "RZERO_CACHE name a directory there)"
                )
            time.sleep(0.1)


class SamplerHost(Host):
    """Any number of models, each opened when it is first sampled from; one call of ``generate`` at a time."""

    def __init__(self, config: Config, base: Path) -> None:
        super().__init__(config, base)
        self._samplers: dict[tuple[Path, int | None], Sampler] = {}
        self._generation: Generation | None = None

    def start(self, job: Job) -> Batch:
        """Begin a job and wait for its first batch. What was going on before is given up."""
        self._abandon()
        sampler = self._sampler(job.source)
        self._generation = Generation(sampler, job.prompts, job.params, ask=job.ask)
        return self._generation.next()

    def next(self, verdict: bool | None) -> Batch:
        """Wait for the next batch of the job."""
        assert self._generation is not None
        return self._generation.next(verdict)

    def release(self) -> None:
        """Give up what is going on, and drop all models but the base of adapters."""
        self._abandon()
        self._samplers.clear()
        self._samplers_engine.release()

    def _abandon(self) -> None:
        if self._generation is not None:
            self._generation.abandon()
            self._generation = None

    def _sampler(self, source: Source) -> Sampler:
        key = source.checkpoint, source.replica
        if key not in self._samplers:
            self._require(source.checkpoint)
            engine = self._samplers_engine
            opened = engine.sampler if source.replica is None else engine.replica
            self._samplers[key] = opened(source.checkpoint)
        sampler = self._samplers[key]
        if sampler.policy_version != source.version:
            if source.weights is None:
                raise EngineError(
                    f"policy version {source.version} was asked for, but the sampler has {sampler.policy_version} and "
                    "there are no weights to load; that is a fault of rzero's"
                )
            sampler.load_weights(unpack(source.weights.get()), policy_version=source.version)
        return sampler


class LearnerHost(Host):
    """A learner, or one of several that make one together."""

    def __init__(self, config: Config, base: Path) -> None:
        super().__init__(config, base)
        self._learner: Learner | None = None
        self._sharded = False

    def meeting_place(self) -> tuple[str, int]:
        """An address and a free port on this node, for all to :meth:`join`."""
        from rzero.grpo.process_group import free_port

        address = own_address()
        return address, free_port(address)

    def join(self, rank: int, number: int, address: str, port: int) -> None:
        """Become learner ``rank`` of ``number``; from then on all have to be asked the same at the same time."""
        from rzero.grpo.process_group import join

        join(rank=rank, world_size=number, address=address, port=port, device=self._engine.machine["device"])
        self._sharded = True

    def open(self, checkpoint: Path, reference: Path, role: RoleConfig) -> tuple[int, int]:
        """Start on ``checkpoint``; its policy version, and about how many bytes a save will have."""
        self._learner = None
        self._engine.release()
        self._require(checkpoint)
        self._learner, _ = self._engine.open_learner(checkpoint, reference=reference, role=role, sharded=self._sharded)
        return self._learner.policy_version, self._learner.save_bytes

    def step(self, groups: Stored) -> tuple[Mapping[str, float], int]:
        """One step on the stored groups; its metrics and the policy version."""
        return self._policy.step(groups.get()), self._policy.policy_version

    def weights(self) -> Sequence[PackedTensor]:
        """The policy's weights."""
        return pack(self._policy.weights())

    def save(self, path: Path) -> None:
        """See :meth:`rzero.engines.base.Learner.save`."""
        self._require(path)
        self._policy.save(path)

    def restore(self, path: Path) -> int:
        """See :meth:`rzero.engines.base.Learner.restore`; returns the policy version."""
        self._require(path)
        self._policy.restore(path)
        return self._policy.policy_version

    def close(self) -> None:
        """Drop the policy and its reference."""
        self._learner = None
        self._engine.release()

    @property
    def _policy(self) -> Learner:
        assert self._learner is not None
        return self._learner
