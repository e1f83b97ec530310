"""The default sampler: transformers' own module, in this process, on whatever device it is.

Learner and sampler may share one module, so an update needs no transfer of weights. Speed comes from prefilling each
distinct prompt once, an in-place cache, rows that leave as soon as they finish, and drawing with one number per row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from rzero.engines.base import OnFinish, SamplingParams
from rzero.engines.cache import count_layers
from rzero.engines.stopping import StopRules
from rzero.engines.wave import Row, run_wave
from rzero.engines.weights import load_weights
from rzero.errors import EngineError
from rzero.models.language_model import LanguageModel
from rzero.types import Completion, FinishReason


class EmbeddedSampler:
    """A :class:`~rzero.engines.base.Sampler` around an opened model.

    At most ``max_rows`` completions are generated at a time; this changes speed and memory, not what is drawn (up to
    the rounding of matrix products of other sizes). ``policy_version`` is a number that :meth:`load_weights` replaces,
    or, where a learner trains the same module, a function that asks that learner. Raises EngineError if the
    architecture's cache is not one of keys and values.
    """

    def __init__(
        self, model: LanguageModel, *, max_rows: int = 256, policy_version: int | Callable[[], int] = 0
    ) -> None:
        self._model = model
        self._max_rows = max_rows
        self._policy_version = policy_version
        self._num_layers = count_layers(model.module)

    @property
    def policy_version(self) -> int:
        """The version of the weights that the next completion is drawn with."""
        return self._policy_version() if callable(self._policy_version) else self._policy_version

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams,
        *,
        on_progress: Callable[[int], None] | None = None,
        on_finish: OnFinish | None = None,
    ) -> list[list[Completion]]:
        """See :meth:`rzero.engines.base.Sampler.generate`. An empty prompt is an EngineError, too."""
        rows = self._rows(prompts, params)
        rules = StopRules(self._model, params.stop)
        report = on_progress or (lambda finished: None)
        never_begun = Completion(token_ids=(), logprobs=(), finish_reason=FinishReason.CANCELLED, text="")
        done = {(row.prompt, row.completion): never_begun for row in rows}
        cancelled: set[int] = set()
        with torch.inference_mode(), _evaluating(self._model.module):
            while rows:
                wave, waiting = rows[: self._max_rows], rows[self._max_rows :]
                completions = run_wave(
                    self._model,
                    wave,
                    params,
                    rules,
                    num_layers=self._num_layers,
                    on_progress=report,
                    on_finish=on_finish or (lambda prompt, completion, made: False),
                    cancelled=cancelled,
                )
                done.update(((row.prompt, row.completion), c) for row, c in zip(wave, completions, strict=True))
                rows = [row for row in waiting if row.prompt not in cancelled]
                if len(rows) < len(waiting):
                    report(len(waiting) - len(rows))
        return [[done[prompt, completion] for completion in range(params.n)] for prompt in range(len(prompts))]

    def load_weights(self, source: Path | Iterable[tuple[str, Tensor]], *, policy_version: int) -> None:
        """Replace the weights in place by a checkpoint directory's or by (name, tensor) pairs.

        Raises EngineError for names or shapes that are not this model's, for weights that did not come, and if a
        learner owns the weights; ModelError for a damaged checkpoint.
        """
        if callable(self._policy_version):
            raise EngineError("this sampler shares its weights with a learner; restore the learner instead")
        load_weights(self._model.module, source)
        self._policy_version = policy_version

    def _rows(self, prompts: Sequence[Sequence[int]], params: SamplingParams) -> list[Row]:
        """All rows, long prompts first and equal ones together, after checking that each has room."""
        context = self._model.max_context
        for index, prompt in enumerate(prompts):
            if not prompt:
                raise EngineError(f"prompt {index} is empty; a model continues at least one token")
            if len(prompt) >= context:
                raise EngineError(
                    f"prompt {index} has {len(prompt)} tokens, the model's context is {context}: no room for a "
                    "completion; shorten the prompt"
                )
        ids = [tuple(prompt) for prompt in prompts]
        order = sorted(range(len(ids)), key=lambda index: (-len(ids[index]), ids[index], index))
        return [
            Row(
                prompt=index,
                completion=completion,
                prompt_ids=ids[index],
                limit=min(params.max_new_tokens, context - len(ids[index])),
            )
            for index in order
            for completion in range(params.n)
        ]


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """No dropout and no gradient checkpointing while sampling, even in the middle of training."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
