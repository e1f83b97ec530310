"""The GRPO learner of several processes, each with a part of the weights and a share of every update's tokens.

It is :class:`rzero.grpo.learner.GrpoLearner` in all that it computes. Each token carries its share of the whole
update's denominator, so the processes' gradients only add up; each makes the same number of passes, some of them empty
where rows are few, since layers are gathered by all together. Saves are the same files whatever the number of
processes: what two saved, one or three restore.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from rzero.config import GrpoConfig
from rzero.errors import EngineError
from rzero.grpo.batch import Row, even_parts
from rzero.grpo.learner import GrpoLearner
from rzero.grpo.masters import MasterWeights
from rzero.grpo.metrics import StepMetrics
from rzero.grpo.passes import Passes
from rzero.grpo.process_group import explained_loss
from rzero.grpo.ranks import Ranks
from rzero.grpo.sharded_passes import ShardedPasses
from rzero.grpo.sharding import ShardedMasters, shard_frozen
from rzero.models.language_model import LanguageModel
from rzero.models.save import save_model
from rzero.models.skeleton import fill, skeleton
from rzero.types import Group


class ShardedLearner(GrpoLearner):
    """Improves one model from all processes of the default group (:func:`rzero.grpo.process_group.join`) together.

    Every process makes one, of the same model opened as a whole, and calls the same methods at the same time. From here
    on ``model`` is this learner's alone: its module is sharded in place, and so is that of a ``reference`` of which
    all weights are its own. An adapter's base model stays whole in every process. Under NCCL whole models may be opened
    on the CPU: layer by layer they move to the process's CUDA device; adapters must be on it with their base.

    Raises EngineError if there is no group or the processes' models differ, and ConfigError as GrpoLearner does, or if
    weights of several precisions would have to be sharded.
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
        if not dist.is_initialized():
            raise EngineError("a sharded learner needs a process group; call rzero.grpo.process_group.join first")
        with explained_loss():
            on_cuda = dist.get_backend() == "nccl"
            self._device = torch.device("cuda", torch.cuda.current_device()) if on_cuda else model.device
            self._ranks = Ranks(self._device)
            self._num_sharing = self._ranks.num_sharing()
            super().__init__(
                model,
                reference=reference,
                options=options,
                learning_rate=learning_rate,
                updates_per_step=updates_per_step,
                temperature=temperature,
                max_new_tokens=max_new_tokens,
            )
            if self._reference is not None and self._reference.base is None and model.base is None:
                shard_frozen(self._reference, device=self._device)

    def step(self, groups: Sequence[Group]) -> dict[str, float]:
        """Update the policy on one batch of rollouts, the same in every process; the metrics are the same too.

        Raises EngineError as GrpoLearner does, in every process; if the batches differ; and if a process is lost.
        """
        with explained_loss():
            if not self._ranks.same(_checksum(groups)):
                raise EngineError(
                    "the processes of the sharded learner were given different batches; give all the same"
                )
            return super().step(groups)

    @torch.no_grad()
    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """The weights that are trained, in compute precision, by parameter name; each is whole, one at a time."""
        with explained_loss():
            for name, master in self._masters.by_name.items():
                yield name, self._masters.whole(name, master.to(self._dtype))

    def save(self, path: Path) -> None:
        """Write what GrpoLearner writes into the existing directory ``path``, which process 0 must reach.

        Of the optimiser and the masters, one tensor at a time is put together. Of the policy, process 0 holds a whole
        copy in the host's memory while it writes. If that fails all raise, process 0 the error itself.
        """
        with explained_loss():
            super().save(path)

    def restore(self, path: Path) -> None:
        """Continue from what a learner of any number of processes saved in ``path``, which all of them must reach.

        Each reads only the rows that it keeps; an fp32 policy, which is its own master, each reads as a whole and lets
        go of the rest. Raises ModelError where it is missing, damaged or another model's, and EngineError elsewhere.
        """
        failure = None
        try:
            super().restore(path)
        except Exception as error:  # raised again, in all processes
            failure = error
        with explained_loss():
            self._ranks.agree(failure)

    def _prepare(self, model: LanguageModel) -> tuple[Passes, MasterWeights]:
        for parameter in model.trained.values():
            parameter.requires_grad_(True)
        passes = ShardedPasses(model, temperature=self._temperature)
        self._skeleton = skeleton(model)
        return passes, ShardedMasters(model, device=self._device, ranks=self._ranks)

    def _save_policy(self, path: Path) -> None:
        names = list(self._masters.by_name)

        def write(tensors: Iterator[Tensor]) -> None:
            save_model(fill(self._skeleton, {name: t.cpu() for name, t in zip(names, tensors, strict=True)}), path)

        self._masters.hand_over((tensor for _, tensor in self.weights()), write)

    def _parts(self, rows: Sequence[Row]) -> list[list[Row]]:
        parts = even_parts(
            lambda limit: self._passes.parts(rows, limit),
            tokens_per_microbatch=self._options.tokens_per_microbatch,
            count=self._ranks.size,
        )
        return parts[self._ranks.rank :: self._ranks.size]

    def _plan_memory(self, num_tokens: int, longest: int) -> None:
        (largest,) = self._ranks.largest([num_tokens])
        super()._plan_memory(int(largest), longest)

    def _available(self) -> int:
        (least,) = self._ranks.smallest([super()._available() / self._num_sharing])
        return int(least)

    def _combine(self, metrics: StepMetrics) -> None:
        metrics.combine(self._ranks.total, self._ranks.largest)

    def _total(self, loss: float) -> float:
        (total,) = self._ranks.total([loss])
        return total


def _checksum(groups: Sequence[Group]) -> int:
    contents = [(g.prompt_ids, [(r.completion.token_ids, r.reward) for r in g.rollouts]) for g in groups]
    return zlib.crc32(repr(contents).encode())
