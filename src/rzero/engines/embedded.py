"""The default sampler: transformers' own module, in this process, on whatever device it is.

Learner and sampler may share one module, so an update needs no transfer of weights. Speed comes from running each
distinct prompt once, what all of them begin with once, and keeping their keys and values once, a paged cache, rows that
leave as soon as they finish and are replaced by waiting ones, and drawing with one number per row. Models whose
attention does not go through transformers' attention interface are sampled from in waves of rows that start together.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from rzero.engines.base import OnFinish, SamplingParams
from rzero.engines.cache import count_layers
from rzero.engines.drafts import Drafts, Results, Row, rows_of
from rzero.engines.paged.cache import PagedCache
from rzero.engines.paged.graphs import Graphs, Recorder, recorder_for
from rzero.engines.paged.pages import Pages
from rzero.engines.paged.scheduler import Scheduler, pages_needed
from rzero.engines.paged.select import Choice, choose_kernel
from rzero.engines.prepacked import prepacked
from rzero.engines.wave import run_wave
from rzero.engines.weights import load_weights
from rzero.errors import EngineError
from rzero.memory import available_memory
from rzero.models.language_model import LanguageModel
from rzero.types import Completion


class EmbeddedSampler:
    """A :class:`~rzero.engines.base.Sampler` around an opened model.

    At most ``max_rows`` completions are generated at a time, and their keys and values take at most ``kv_bytes`` (0:
    half of the memory that is free); this changes speed and memory, not what is drawn (up to the rounding of matrix
    products of other sizes). ``policy_version`` is a number that :meth:`load_weights` replaces,
    or, where a learner trains the same module, a function that asks that learner. With ``plain``, attention is
    PyTorch's basic operations. ``recorder`` makes what records decoding steps on a device, or None where each step is
    to be launched anew. Raises EngineError if the architecture's cache is not one of keys and values.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        max_rows: int = 256,
        kv_bytes: int = 0,
        policy_version: int | Callable[[], int] = 0,
        plain: bool = False,
        recorder: Callable[[torch.device], Recorder | None] = recorder_for,
    ) -> None:
        self.replayed = 0
        """How many decoding steps of the last call were replayed."""
        self._model = model
        self._recorder = recorder
        self._max_rows = max_rows
        self._policy_version = policy_version
        self._kv_bytes = kv_bytes
        self._num_layers = count_layers(model.module)
        self._paged = choose_kernel(model, plain=plain)
        if self._paged is None:
            warnings.warn(
                f"{type(model.module).__name__} keeps its keys and values in a way of its own: it is sampled from "
                "without paging, correctly but slower",
                RuntimeWarning,
                stacklevel=2,
            )

    @property
    def kernel(self) -> str:
        """The name of the attention kernel; empty without paging."""
        return type(self._paged.kernel).__name__ if self._paged else ""

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
        rows = rows_of(prompts, params, context=self._model.max_context)
        rows.sort(key=lambda row: (-len(row.prompt_ids), row.prompt_ids, row.prompt))
        results = Results(on_progress=on_progress, on_finish=on_finish)
        if rows:
            drafts = Drafts(self._model, params, slots=min(self._max_rows, len(rows)))
            with torch.inference_mode(), _evaluating(self._model.module), prepacked(self._model):
                if self._paged is None:
                    self._run_waves(rows, drafts, results)
                else:
                    self._run_paged(rows, drafts, results, self._paged)
        return [[results.done[index, completion] for completion in range(params.n)] for index in range(len(prompts))]

    def _run_paged(self, rows: Sequence[Row], drafts: Drafts, results: Results, paged: Choice) -> None:
        size = paged.bytes_per_token * paged.kernel.page_size
        budget = self._kv_bytes or available_memory(self._model.device) // 2
        limit, slots = budget // size, min(self._max_rows, len(rows))
        needed = max(pages_needed(row, paged.kernel.page_size) for row in rows)
        if needed > limit:
            raise EngineError(
                f"one completion of up to {max(row.limit for row in rows)} tokens needs {needed * size / 2**30:.3f} "
                f"GiB for its keys and values, and there are {budget / 2**30:.3f} for them; raise engine.kv_gib to "
                f"{needed * size / 2**30:.3f} if there is so much memory, or lower max_new_tokens"
            )
        self.replayed = 0
        # One page is scratch.
        recorder = self._recorder(self._model.device) if paged.kernel.wide_tables and limit > needed else None
        if recorder is None:
            cache = PagedCache(self._model, paged.kernel, Pages(limit))
            Scheduler(cache, drafts, results, rows=rows, slots=slots, decode=cache.decode).run()
            return
        # All of these exist from the start, so no more than can be used: one more than a row needs lets the next start.
        cache = PagedCache(self._model, paged.kernel, Pages(min(limit, slots * (needed + 1) + 1)))
        with Graphs(cache, recorder, width=needed, slots=slots) as graphs:
            Scheduler(cache, drafts, results, rows=rows, slots=slots, decode=graphs.decode).run()
        self.replayed = graphs.replayed
        if graphs.failed:
            self._recorder = lambda device: None

    def _run_waves(self, rows: Sequence[Row], drafts: Drafts, results: Results) -> None:
        while rows:
            wave, rows = rows[: self._max_rows], rows[self._max_rows :]
            run_wave(self._model, wave, drafts, results, num_layers=self._num_layers)
            rows = results.wanted(rows)

    def load_weights(self, source: Path | Iterable[tuple[str, Tensor]], *, policy_version: int) -> None:
        """Replace the weights in place by a checkpoint directory's or by (name, tensor) pairs.

        Those that training changes must all come; of an adapter, that is the adapter alone. Raises EngineError for
        names or shapes that are not this model's, for weights that did not come, and if a learner owns the weights;
        ModelError for a damaged checkpoint.
        """
        if callable(self._policy_version):
            raise EngineError("this sampler shares its weights with a learner; restore the learner instead")
        load_weights(self._model.module, source, required=self._model.trained)
        self._policy_version = policy_version


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """No dropout and no gradient checkpointing while sampling, even in the middle of training."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
