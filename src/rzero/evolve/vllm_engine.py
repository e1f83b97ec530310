"""The engine whose sampler is vLLM: learners as in the embedded engine, and one vLLM that speaks for every policy.

vLLM is started once and lives as long as the engine. Both roles share it: whoever samples has it given its own weights
first, unless it holds them already. A policy in training has others after each step.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rzero.config import Config, RoleConfig
from rzero.engines.base import OnFinish, Sampler, SamplingParams
from rzero.errors import EngineError
from rzero.evolve.embedded_engine import EmbeddedEngine, to_bytes
from rzero.evolve.engine import Policy
from rzero.models.checkpoint import is_adapter
from rzero.models.lora import merged_weights
from rzero.types import Completion, Prompt

if TYPE_CHECKING:
    from torch import Tensor

    from rzero.engines.vllm_sampler import VllmSampler

Weights: TypeAlias = "Path | Iterable[tuple[str, Tensor]]"


class VllmEngine:
    """vLLM and the learners' PyTorch in one process, on one device.

    An adapter is added to the base model's weights on the way to vLLM.
    """

    def __init__(self, config: Config, base: Path) -> None:
        self._config = config
        self._base = base
        self._embedded = EmbeddedEngine(config, base)
        self._shared: SharedSampler | None = None

    @property
    def shared(self) -> SharedSampler:
        """vLLM, started when it is needed for the first time."""
        if self._shared is None:
            gc.collect()  # where runs follow each other in one process, the last one's vLLM may still be there
            self._shared = SharedSampler(self._start())
        return self._shared

    @property
    def max_context(self) -> int:
        """Most tokens of a prompt and its completion together."""
        return self.shared.max_context

    @property
    def machine(self) -> Mapping[str, str]:
        """What the options that are ``auto`` came to, and which vLLM it is."""
        from rzero.engines.vllm import vllm_version

        return {**self._embedded.machine, "sampler": vllm_version()}

    def render(self, prompt: Prompt) -> Sequence[int]:
        """The model's input for a prompt, as token ids."""
        return self._embedded.render(prompt)

    def sampler(self, checkpoint: Path) -> Sampler:
        """A sampler that speaks for a frozen checkpoint."""
        return RoleSampler(self.shared, checkpoint, weights=lambda: self._weights_of(checkpoint))

    def replica(self, checkpoint: Path) -> Sampler:
        """A sampler to load weights into, like those of ``checkpoint``. Its version is -1 until some are."""
        return ReplicaSampler(self.shared, checkpoint)

    def policy(self, checkpoint: Path, *, reference: Path, role: RoleConfig) -> Policy:
        """A learner over ``checkpoint``, and a sampler that speaks for its latest weights."""
        learner, model = self._embedded.open_learner(checkpoint, reference=reference, role=role)
        sampler = RoleSampler(
            self.shared,
            learner,
            weights=learner.weights if model.base is None else lambda: merged_weights(model),
            policy_version=lambda: learner.policy_version,
        )
        return Policy(learner=learner, sampler=sampler)

    def release(self) -> None:
        """Drop the frozen models; vLLM stays, and takes whatever weights are asked for next."""
        if self._shared is not None:
            self._shared.forget()
        self._embedded.release()

    def recover(self) -> None:
        """Nothing is ever lost inside one process."""

    def close(self) -> None:
        """Nothing runs outside this process."""

    def _start(self) -> VllmSampler:
        from rzero.engines.vllm_sampler import VllmSampler

        options, machine = self._config.engine, self._embedded.machine
        compiled = machine["device"] != "cpu" if options.vllm_compile == "auto" else options.vllm_compile == "on"
        return VllmSampler(
            self._base,
            dtype=machine["dtype"],
            device=machine["device"],
            max_rows=options.max_rows,
            kv_bytes=to_bytes(options.kv_gib),
            gpu_memory=options.vllm_memory,
            compiled=compiled,
            trust_remote_code=self._config.model.trust_remote_code,
        )

    def _weights_of(self, checkpoint: Path) -> Weights:
        return merged_weights(self._embedded.open_frozen(checkpoint)) if is_adapter(checkpoint) else checkpoint


class SharedSampler:
    """One sampler for several policies; it knows whose weights it holds."""

    def __init__(self, sampler: VllmSampler) -> None:
        self._sampler = sampler
        self._held: tuple[object, int] | None = None

    @property
    def max_context(self) -> int:
        """Most tokens of a prompt and its completion together."""
        return self._sampler.max_context

    def holding(self, owner: object, policy_version: int, weights: Callable[[], Weights]) -> Sampler:
        """The sampler with the weights of ``owner`` in that version, which are loaded if it holds others."""
        if self._held != (owner, policy_version):
            self._held = None
            self._sampler.load_weights(weights(), policy_version=policy_version)
            self._held = owner, policy_version
        return self._sampler

    def forget(self) -> None:
        """Load weights again even for the owner of those that are there."""
        self._held = None


class RoleSampler:
    """The :class:`~rzero.engines.base.Sampler` of one policy among those that share a sampler.

    ``owner`` tells it from the others: a learner, or the path of a frozen checkpoint, whose version is always 0.
    """

    def __init__(
        self,
        shared: SharedSampler,
        owner: object,
        *,
        weights: Callable[[], Weights],
        policy_version: Callable[[], int] = lambda: 0,
    ) -> None:
        self._shared = shared
        self._owner = owner
        self._weights = weights
        self._policy_version = policy_version

    @property
    def policy_version(self) -> int:
        """The version of the weights that the next completion is drawn with."""
        return self._policy_version()

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams,
        *,
        on_progress: Callable[[int], None] | None = None,
        on_finish: OnFinish | None = None,
    ) -> list[list[Completion]]:
        """See :meth:`rzero.engines.base.Sampler.generate`; the policy's own weights are loaded first."""
        sampler = self._shared.holding(self._owner, self.policy_version, self._weights)
        return sampler.generate(prompts, params, on_progress=on_progress, on_finish=on_finish)

    def load_weights(self, source: Weights, *, policy_version: int) -> None:
        """Not for a sampler that speaks for a checkpoint or a learner: raises EngineError."""
        raise EngineError("this sampler speaks for a learner or a checkpoint; restore the one, or open another")


class ReplicaSampler(RoleSampler):
    """One that is given its weights by whoever has the learner, and keeps them for when another policy sampled last."""

    def __init__(self, shared: SharedSampler, checkpoint: Path) -> None:
        self._kept: Weights = checkpoint
        self._version = -1
        super().__init__(shared, self, weights=lambda: self._kept, policy_version=lambda: self._version)

    def load_weights(self, source: Weights, *, policy_version: int) -> None:
        """Replace the policy's weights; vLLM takes them at the next call."""
        self._kept = source if isinstance(source, Path) else list(source)
        self._version = policy_version
