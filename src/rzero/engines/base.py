"""The two protocols through which the loop sees every engine.

Weights cross between a learner and a sampler as a checkpoint path or as (name, tensor) pairs; token ids cross as they
are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from rzero.errors import EngineError
from rzero.types import Completion, Group

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How completions are drawn.

    ``n`` completions per prompt; ``temperature`` 0 is greedy; ``top_k`` 0 and ``top_p`` 1 switch those cuts off.
    ``stop`` strings end a completion (they stay in its tokens and text). Completion j of prompt i draws from a random
    stream of its own, made of (``seed``, ``first_prompt`` + i, ``first_completion`` + j), so neither batching nor
    scheduling changes which numbers it uses, nor does cutting a call into several.
    """

    n: int = 1
    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    seed: int = 0
    first_prompt: int = 0
    first_completion: int = 0


OnFinish: TypeAlias = Callable[[int, int, Completion], bool]
"""(prompt index, completion index, completion) -> whether the prompt's unfinished completions are no longer needed."""


def check_prompts(prompts: Sequence[Sequence[int]], *, max_context: int, first: int = 0) -> None:
    """Raises EngineError for an empty prompt and for one that leaves no room; ``first`` is the number of the first."""
    for index, prompt in enumerate(prompts, start=first):
        if not prompt:
            raise EngineError(f"prompt {index} is empty; a model continues at least one token")
        if len(prompt) >= max_context:
            raise EngineError(
                f"prompt {index} has {len(prompt)} tokens, the model's context is {max_context}: no room for a "
                "completion; shorten the prompt"
            )


class Sampler(Protocol):
    """Generates completions under one policy."""

    @property
    def policy_version(self) -> int:
        """Raised by every weight update; written into each rollout."""
        ...

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams,
        *,
        on_progress: Callable[[int], None] | None = None,
        on_finish: OnFinish | None = None,
    ) -> list[list[Completion]]:
        """``params.n`` completions for each prompt (token ids), in the order of ``prompts``.

        ``on_progress`` is called with the number of completions that finished, or were cancelled, since its last call.
        ``on_finish`` is called once for each completion, as soon as it finishes, in the thread of the caller. What it
        says cancels completions, whose ``finish_reason`` is then ``CANCELLED``; they hold what was drawn of them so
        far, which may be nothing. Completions that finish in one decoding step are all finished: of those, none is
        cancelled.
        Raises EngineError if a prompt leaves no room in the model's context, naming the prompt's length and the limit.
        """
        ...

    def load_weights(self, source: Path | Iterable[tuple[str, Tensor]], *, policy_version: int) -> None:
        """Replace the policy's weights in place."""
        ...


class Learner(Protocol):
    """Improves one policy by GRPO."""

    @property
    def policy_version(self) -> int:
        """Raised by every :meth:`step`."""
        ...

    def step(self, groups: Sequence[Group]) -> Mapping[str, float]:
        """Update the policy on one batch of rollouts; returns the step's metrics."""
        ...

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """The policy's weights in compute precision."""
        ...

    @property
    def save_bytes(self) -> int:
        """About how many bytes :meth:`save` writes."""
        ...

    def save(self, path: Path) -> None:
        """Write the policy (Hugging Face layout) and what :meth:`restore` needs into the existing directory
        ``path``.
        """
        ...

    def restore(self, path: Path) -> None:
        """Continue from what :meth:`save` wrote, to the same bytes as if there had been no interruption."""
        ...
