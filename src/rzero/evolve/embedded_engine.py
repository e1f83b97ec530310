"""The engine that lives in this process.

This is where ``grpo``, ``engines`` and ``models`` meet; none of them knows another beyond the protocols.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rzero.config import Config, RoleConfig
from rzero.engines.base import Learner, Sampler
from rzero.engines.process import prepare
from rzero.evolve.engine import Policy
from rzero.models.checkpoint import is_adapter
from rzero.models.lora import check_targets, new_adapter, open_adapter
from rzero.seeds import derive_seed
from rzero.types import Prompt

if TYPE_CHECKING:
    from rzero.models.language_model import LanguageModel


class EmbeddedEngine:
    """PyTorch in this process. Learner and sampler share one module; a frozen checkpoint is opened once a phase.

    With LoRA the base model is opened once, and every checkpoint is an adapter that shares its weights.
    """

    def __init__(self, config: Config, base: Path) -> None:
        prepare(config.engine.threads)
        import torch

        self._config = config
        self._base = base
        self._frozen: dict[Path, LanguageModel] = {}
        model = self.open_frozen(self._base)
        if config.lora.rank:
            check_targets(model.module, config.lora.target_modules)
        self._renderer = model.renderer
        self._max_context = model.max_context
        self._machine = {
            "device": model.device.type,
            "dtype": str(model.dtype).removeprefix("torch."),
            "threads": str(torch.get_num_threads()),
        }

    @property
    def max_context(self) -> int:
        """Most tokens of a prompt and its completion together."""
        return self._max_context

    @property
    def machine(self) -> Mapping[str, str]:
        """What the options that are ``auto`` came to."""
        return self._machine

    def render(self, prompt: Prompt) -> Sequence[int]:
        """The model's input for a prompt, as token ids."""
        return self._renderer.render(prompt)

    def sampler(self, checkpoint: Path) -> Sampler:
        """A sampler over a frozen checkpoint."""
        return self._sampler(self.open_frozen(checkpoint), 0)

    def replica(self, checkpoint: Path) -> Sampler:
        """A sampler over a model of its own, like the one that :meth:`policy` trains, to load weights into.

        Its version is -1 until some are.
        """
        return self._sampler(self._open_trainable(checkpoint), -1)

    def policy(self, checkpoint: Path, *, reference: Path, role: RoleConfig) -> Policy:
        """A learner over ``checkpoint`` and a sampler over the same weights."""
        learner, model = self.open_learner(checkpoint, reference=reference, role=role)
        return Policy(learner=learner, sampler=self._sampler(model, lambda: learner.policy_version))

    def release(self) -> None:
        """Drop the frozen models, but not the base of adapters; the trained one goes with its :class:`Policy`."""
        kept = {self._base} if self._config.lora.rank else set()
        self._frozen = {path: model for path, model in self._frozen.items() if path in kept}
        gc.collect()

    def recover(self) -> None:
        """Nothing is ever lost inside one process."""

    def close(self) -> None:
        """Nothing runs outside this process."""

    def _sampler(self, model: LanguageModel, policy_version: int | Callable[[], int]) -> Sampler:
        from rzero.engines.embedded import EmbeddedSampler

        options = self._config.engine
        return EmbeddedSampler(
            model,
            max_rows=options.max_rows,
            kv_bytes=to_bytes(options.kv_gib),
            policy_version=policy_version,
            plain=options.attention == "plain",
        )

    def open_learner(
        self, checkpoint: Path, *, reference: Path, role: RoleConfig, sharded: bool = False
    ) -> tuple[Learner, LanguageModel]:
        """A learner over ``checkpoint``, and the model that it trains.

        ``sharded``: this process's part of a learner, in the group that the process joined.
        """
        from rzero.grpo.learner import GrpoLearner

        kind = GrpoLearner
        if sharded:
            from rzero.grpo.sharded import ShardedLearner

            kind = ShardedLearner
        options = self._config.grpo
        model = self._open_trainable(checkpoint)
        learner = kind(
            model,
            reference=self.open_frozen(reference) if options.kl_weight > 0 else None,
            options=options,
            learning_rate=role.learning_rate,
            updates_per_step=role.updates_per_step,
            temperature=role.temperature,
            max_new_tokens=role.max_new_tokens,
        )
        return learner, model

    def open_frozen(self, checkpoint: Path) -> LanguageModel:
        """A model that is not trained; opened once until the next :meth:`release`."""
        if checkpoint not in self._frozen:
            model = self._open(checkpoint)
            model.module.requires_grad_(False)
            self._frozen[checkpoint] = model
        return self._frozen[checkpoint]

    def _open_trainable(self, checkpoint: Path) -> LanguageModel:
        if not self._config.lora.rank or is_adapter(checkpoint):
            return self._open(checkpoint)
        seed = derive_seed(self._config.seed, "lora")
        return new_adapter(self.open_frozen(self._base), self._config.lora, seed=seed)

    def _open(self, checkpoint: Path) -> LanguageModel:
        from rzero.models.open import open_model

        if is_adapter(checkpoint):
            return open_adapter(checkpoint, base=self.open_frozen(self._base))

        options = self._config.model
        return open_model(
            checkpoint, dtype=options.dtype, device=options.device, trust_remote_code=options.trust_remote_code
        )


def to_bytes(gib: float) -> int:
    """GiB in bytes."""
    return int(gib * 2**30)
