"""What the phases ask of an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rzero.config import RoleConfig
from rzero.engines.base import Learner, Sampler
from rzero.types import Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A model in training: the learner that updates it, and a sampler that always speaks for its latest weights."""

    learner: Learner
    sampler: Sampler


class Engine(Protocol):
    """Opens checkpoints for sampling or for training. Both roles share the base model's tokenizer."""

    @property
    def max_context(self) -> int:
        """Most tokens of a prompt and its completion together."""
        ...

    @property
    def machine(self) -> Mapping[str, str]:
        """What the options that are ``auto`` came to."""
        ...

    def render(self, prompt: Prompt) -> Sequence[int]:
        """The model's input for a prompt, as token ids."""
        ...

    def sampler(self, checkpoint: Path) -> Sampler:
        """A frozen model."""
        ...

    def policy(self, checkpoint: Path, *, reference: Path, role: RoleConfig) -> Policy:
        """A model to be trained, with a frozen reference for the KL term where that is on."""
        ...

    def release(self) -> None:
        """Let go of all models; called after each phase."""
        ...

    def recover(self) -> None:
        """After a WorkerLostError of a policy: let go of what is left of it."""
        ...

    def close(self) -> None:
        """End what runs outside this process."""
        ...
