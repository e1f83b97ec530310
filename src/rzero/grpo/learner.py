"""The embedded GRPO learner: one policy, its master weights and its optimiser, in this process.

A step is a batch of groups. Those without variance are left out and counted; the others are split into
``updates_per_step`` contiguous, nearly equal shares, each the whole batch of one optimiser step. Log-probabilities are
those of softmax(logits / temperature), the distribution that was sampled from (before top-k and top-p).

Where this differs from the official code (EasyR1/verl):

- Groups without variance are left out of the loss's denominator, and their share of the KL term with them.
- The first update of a step has a ratio of 1 by definition, so its old log-probabilities are not computed separately.
- Dropout is off while gradients flow: the policy that learns is the one that sampled.

As there, weight decay applies to every parameter, and the reference is read at the policy's temperature.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rzero.config import GrpoConfig
from rzero.errors import ConfigError, EngineError
from rzero.grpo import checkpoint
from rzero.grpo.advantage import advantages
from rzero.grpo.batch import MicroBatch, Row, weighted_rows
from rzero.grpo.loss import TokenLoss, token_loss
from rzero.grpo.masters import MasterWeights
from rzero.grpo.memory import explained_shortage, plan_checkpointing
from rzero.grpo.metrics import StepMetrics
from rzero.grpo.passes import Passes
from rzero.memory import available_memory
from rzero.models.language_model import LanguageModel
from rzero.models.save import save_model
from rzero.types import Group


class GrpoLearner:
    """Improves ``model`` in place by GRPO; the :class:`rzero.engines.base.Learner` of the embedded engine.

    Where an earlier phase left fp32 masters beside the policy, the learner continues from those.
    ``reference`` is the frozen model of the KL term, needed unless ``options.kl_weight`` is 0. ``temperature`` is the
    sampler's (0, greedy, is read as 1, as for the sampler's log-probabilities). ``max_new_tokens`` matters to dr_grpo.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        reference: LanguageModel | None,
        options: GrpoConfig,
        learning_rate: float,
        updates_per_step: int,
        temperature: float,
        max_new_tokens: int,
    ) -> None:
        if options.kl_weight and reference is None:
            raise ConfigError(
                f"grpo.kl_weight={options.kl_weight} needs a reference model, but there is none; give it one, or 0"
            )
        self._model = model
        self._reference = reference if options.kl_weight else None
        self._options = options
        self._learning_rate = learning_rate
        self._updates_per_step = updates_per_step
        self._temperature = temperature or 1.0
        self._max_new_tokens = max_new_tokens
        model.module.eval()
        self._dtype = model.dtype
        self._passes, self._masters = self._prepare(model)
        checkpoint.continue_masters(model, self._masters)
        self._optimizer = torch.optim.AdamW(
            self._masters.by_name.values(),
            lr=learning_rate,
            betas=(options.adam_beta1, options.adam_beta2),
            weight_decay=options.weight_decay,
            fused=True,
        )
        self._progress = checkpoint.Progress(num_updates=0, policy_version=0)

    @property
    def policy_version(self) -> int:
        """The number of steps that this policy has taken."""
        return self._progress.policy_version

    @torch.enable_grad()
    def step(self, groups: Sequence[Group]) -> dict[str, float]:
        """Update the policy on one batch of rollouts; returns the step's metrics.

        Without any variance in the rewards there is no update, and the metrics that would describe one are absent.
        Raises EngineError, before anything is changed, if the batch would not fit into memory; and if a loss or
        gradient is not finite or memory runs out all the same, when the weights are those of the last good update.
        """
        scored = [(group, self._advantages(group)) for group in groups]
        kept = [(group, advantage) for group, advantage in scored if advantage is not None]
        shares = [self._microbatches(share) for share in _shares(kept, self._updates_per_step)]
        longest = max((len(g.prompt_ids) + len(r.completion.token_ids) for g, _ in kept for r in g.rollouts), default=0)
        num_tokens = max((batch.input_ids.numel() for share in shares for batch in share), default=0)
        if num_tokens:
            self._plan_memory(num_tokens, longest)
        metrics = StepMetrics()
        with explained_shortage(num_tokens, longest=longest, checkpointing=self._passes.checkpointing):
            self._update_all(shares, metrics)
        self._progress = checkpoint.Progress(
            num_updates=self._progress.num_updates + len(shares), policy_version=self._progress.policy_version + 1
        )
        self._combine(metrics)
        return metrics.means() | self._counts(groups, kept, num_updates=len(shares))

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """The weights that are trained, in compute precision, by parameter name; tied ones once."""
        for name, parameter in self._model.trained.items():
            yield name, parameter.detach()

    @property
    def save_bytes(self) -> int:
        """Bytes of one save: the weights that are trained, their fp32 masters and AdamW's two fp32 moments."""
        return sum(tensor.numel() * (tensor.element_size() + 12) for _, tensor in self.weights())

    def save(self, path: Path) -> None:
        """Write the policy and the learner's state into the existing directory ``path`` (see ``checkpoint.py``)."""
        self._save_policy(path)
        checkpoint.save(
            path,
            masters=self._masters,
            optimizer=self._optimizer,
            dtype=self._dtype,
            progress=self._progress,
            options={
                **self._options.model_dump(mode="json"),
                "learning_rate": self._learning_rate,
                "updates_per_step": self._updates_per_step,
                "temperature": self._temperature,
                "max_new_tokens": self._max_new_tokens,
            },
        )

    def restore(self, path: Path) -> None:
        """Continue from what :meth:`save` wrote. Raises ModelError if it is missing, damaged or another model's."""
        self._progress = checkpoint.restore(
            path, model=self._model, masters=self._masters, optimizer=self._optimizer, dtype=self._dtype
        )

    def _prepare(self, model: LanguageModel) -> tuple[Passes, MasterWeights]:
        return Passes(model, temperature=self._temperature), MasterWeights(model.trained)

    def _save_policy(self, path: Path) -> None:
        save_model(self._model, path)

    def _combine(self, metrics: StepMetrics) -> None:
        """Nothing is to be combined: this process has read all tokens."""

    def _total(self, loss: float) -> float:
        """The loss of all tokens, from that of those that this process has read."""
        return loss

    def _plan_memory(self, num_tokens: int, longest: int) -> None:
        choices = {"auto": (False, True), "on": (True,), "off": (False,)}[self._options.checkpointing]
        moments = not self._optimizer.state
        self._passes.checkpointing = plan_checkpointing(
            {c: self._passes.memory(self._masters, moments=moments, checkpointing=c) for c in choices},
            num_tokens=num_tokens,
            longest=longest,
            available=self._available(),
        )

    def _available(self) -> int:
        """Bytes that a step may take."""
        return available_memory(self._model.device)

    def _update_all(self, shares: Sequence[Sequence[MicroBatch]], metrics: StepMetrics) -> None:
        # Later updates need the log-probabilities from before the first one; the first one's own are those.
        old = [[self._passes.logprobs(batch) if i else None for batch in share] for i, share in enumerate(shares)]
        for share, old_logprobs in zip(shares, old, strict=True):
            self._update(share, old_logprobs, metrics)

    def _advantages(self, group: Group) -> list[float] | None:
        rewards = [rollout.reward for rollout in group.rollouts]
        return advantages(rewards, divide_by_std=self._options.normalization != "dr_grpo")

    def _microbatches(self, share: Sequence[tuple[Group, Sequence[float]]]) -> list[MicroBatch]:
        rows = weighted_rows(share, normalization=self._options.normalization, max_new_tokens=self._max_new_tokens)
        return [self._passes.microbatch(part) for part in self._parts(rows)]

    def _parts(self, rows: Sequence[Row]) -> list[list[Row]]:
        """The rows of each pass that this process makes."""
        return self._passes.parts(rows, self._options.tokens_per_microbatch)

    def _update(self, share: Sequence[MicroBatch], old_logprobs: Sequence[Tensor | None], metrics: StepMetrics) -> None:
        with self._masters.gradients():
            parts = [self._backward(batch, old, metrics) for batch, old in zip(share, old_logprobs, strict=True)]
            loss = self._total(sum(parts))
            grad_norm = self._masters.clip_gradients(self._options.max_grad_norm)
            if not (math.isfinite(loss) and math.isfinite(grad_norm)):
                raise EngineError(
                    f"step {self.policy_version + 1}, update {self._progress.num_updates + metrics.num_updates + 1}: "
                    f"loss {loss} or gradient norm {grad_norm} is not finite, so this update was not applied; "
                    f"check the rewards that went in, lower the learning rate, or go back to an earlier save"
                )
            self._optimizer.step()
        self._masters.publish()
        metrics.add_update(loss=loss, grad_norm=grad_norm)

    def _backward(self, batch: MicroBatch, old_logprobs: Tensor | None, metrics: StepMetrics) -> float:
        ref_logprobs = self._reference and self._passes.logprobs(batch, model=self._reference)

        def tokens_of(logprobs: Tensor, rows: slice) -> TokenLoss:
            return token_loss(
                logprobs,
                logprobs.detach() if old_logprobs is None else old_logprobs[rows],
                None if ref_logprobs is None else ref_logprobs[rows],
                batch.advantages[rows],
                clip_low=self._options.clip_low,
                clip_high=self._options.clip_high,
                kl_weight=self._options.kl_weight,
            )

        def loss(logprobs: Tensor, rows: slice) -> Tensor:
            return (batch.weights[rows] * tokens_of(logprobs, rows).loss).sum()

        logprobs = self._passes.backward(batch, self._masters, loss)
        everything = slice(0, len(logprobs))
        metrics.add_tokens(
            tokens_of(logprobs, everything),
            old_logprobs=logprobs if old_logprobs is None else old_logprobs,
            sampler_logprobs=batch.sampler_logprobs,
        )
        return loss(logprobs, everything).item()

    def _counts(
        self, groups: Sequence[Group], kept: Sequence[tuple[Group, list[float]]], *, num_updates: int
    ) -> dict[str, float]:
        rewards = [rollout.reward for group in groups for rollout in group.rollouts]
        num_zero = len(groups) - len(kept)
        scaled = [a for _, advantage in kept for a in advantage]
        return {
            "num_groups": len(groups),
            "num_zero_variance_groups": num_zero,
            "zero_variance_frac": num_zero / len(groups),
            "num_updates": num_updates,
            "num_tokens": sum(len(r.completion.token_ids) for group, _ in kept for r in group.rollouts),
            "mean_reward": math.fsum(rewards) / len(rewards),
            "advantage_std": math.sqrt(math.fsum(a * a for a in scaled) / max(1, len(scaled))),
        }


def _shares(items: Sequence[Any], count: int) -> list[Sequence[Any]]:
    """``items`` in order, in at most ``count`` contiguous parts, none empty, whose sizes differ by at most one.

    >>> _shares("abcde", 2), _shares("ab", 4)
    (['ab', 'cde'], ['a', 'b'])
    """
    count = min(count, len(items))
    return [items[i * len(items) // count : (i + 1) * len(items) // count] for i in range(count)]
