"""Sampling by vLLM: tokens and log-probabilities are vLLM's, where a completion ends and its text are decided here.

So end tokens, stop strings and text are by the same code as in the embedded sampler, and vLLM needs no tokenizer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rzero.engines.base import OnFinish, SamplingParams
from rzero.engines.drafts import Results, Row, rows_of
from rzero.engines.stopping import StopRules
from rzero.engines.transfer import Transfer, differing
from rzero.engines.vllm import Vllm
from rzero.errors import EngineError
from rzero.models.language_model import LanguageModel
from rzero.models.open import open_outline
from rzero.seeds import derive_seed
from rzero.types import Completion, FinishReason

if TYPE_CHECKING:
    from torch import Tensor


class VllmSampler:
    """A :class:`~rzero.engines.base.Sampler` that starts one vLLM engine and keeps it, whatever weights it is given.

    ``checkpoint`` is a whole model; ``dtype`` is the name of a torch dtype and ``device`` cpu or cuda. At most
    ``max_rows`` completions run at a time. Their keys and values take ``kv_bytes``; with 0, a quarter of the memory
    that is free on a CPU, and on a GPU what vLLM's share of it, ``gpu_memory``, leaves beside the weights. If
    ``compiled``, vLLM compiles the model when it starts. On a GPU vLLM sleeps between calls: its weights wait in the
    host's memory, and the rest of its memory is free. The arguments can be pickled. Raises MissingExtraError without
    vLLM, ConfigError for a device that it cannot use, and EngineError if it cannot start.
    """

    def __init__(
        self,
        checkpoint: Path,
        *,
        dtype: str = "bfloat16",
        device: str = "cpu",
        max_rows: int = 256,
        kv_bytes: int = 0,
        gpu_memory: float = 0.4,
        compiled: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        self._model = open_outline(checkpoint, trust_remote_code=trust_remote_code)
        self._vllm = Vllm(
            checkpoint,
            context=self._model.max_context,
            dtype=dtype,
            device=device,
            max_rows=max_rows,
            kv_bytes=kv_bytes,
            gpu_memory=gpu_memory,
            compiled=compiled,
            trust_remote_code=trust_remote_code,
        )
        self._policy_version = 0
        self._temperature = 1.0
        self._held: dict[str, int] | None = self._vllm.bit_sums()
        self._vllm.sleep()

    @property
    def max_context(self) -> int:
        """Most tokens of a prompt and its completion: the model's context, or less where memory does not hold it."""
        return min(self._model.max_context, self._vllm.context)

    @property
    def policy_version(self) -> int:
        """The version of the weights that the next completion is drawn with."""
        return self._policy_version

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams,
        *,
        on_progress: Callable[[int], None] | None = None,
        on_finish: OnFinish | None = None,
    ) -> list[list[Completion]]:
        """See :meth:`rzero.engines.base.Sampler.generate`. An empty prompt is an EngineError, too.

        Raises EngineError as well if vLLM holds other weights than those that were loaded.
        """
        rows = rows_of(prompts, params, context=self.max_context)
        results = Results(on_progress=on_progress, on_finish=on_finish)
        if rows:
            self._vllm.wake()
            self._check_weights()
            self._set_temperature(params.temperature or 1.0)
            self._vllm.forget_prefixes()  # what is found in the cache must not depend on the calls before
            self._run(rows, params, results)
            self._vllm.sleep()
        return [[results.done[index, completion] for completion in range(params.n)] for index in range(len(prompts))]

    def load_weights(self, source: Path | Iterable[tuple[str, Tensor]], *, policy_version: int) -> None:
        """Replace the weights in place by a checkpoint directory's or by (name, tensor) pairs, without a new start.

        Raises EngineError for names or shapes that are not this model's, for weights that did not come, and if what
        vLLM then holds is not what was given; ModelError for a damaged checkpoint.
        """
        import torch

        self._vllm.wake()
        self._held = None  # a mixture, until it is known to be whole
        transfer = Transfer(self._model.module, source, dtype=getattr(torch, self._vllm.dtype))
        self._vllm.reload(iter(transfer))
        held = self._vllm.bit_sums()
        stale = differing(transfer.sums, held, joined=self._vllm.joined_layers())
        if stale:
            raise EngineError(
                f"vLLM did not take the weights of policy version {policy_version}: {len(stale)} of those that it "
                f"shows are not what was sent (first: {stale[0]}), so it would sample from another policy; start again"
            )
        self._held, self._policy_version = held, policy_version

    def _check_weights(self) -> None:
        if self._held is None:
            raise EngineError("vLLM holds no whole set of weights, because loading them failed; load them again")
        if self._vllm.bit_sums() != self._held:
            raise EngineError(
                f"vLLM's weights were changed after those of policy version {self._policy_version} had been loaded; "
                "load them again"
            )

    def _set_temperature(self, temperature: float) -> None:
        if temperature == self._temperature:
            return
        if not self._vllm.set_temperature(temperature):
            raise EngineError(
                f"temperature {temperature} cannot be used with vLLM for {type(self._model.module).__name__}, whose "
                "logits come from no layer of their own; set it to 1, or engine.sampler=embedded"
            )
        self._temperature = temperature

    def _run(self, rows: Sequence[Row], params: SamplingParams, results: Results) -> None:
        rules = StopRules(self._model, params.stop)
        live: dict[str, _Draft] = {}
        try:
            for row in rows:
                name = f"{row.prompt}-{row.completion}"
                live[name] = _Draft(row)
                self._vllm.add(
                    name,
                    row.prompt_ids,
                    max_tokens=row.limit,
                    temperature=1.0 if params.temperature else 0.0,
                    top_p=params.top_p,
                    top_k=params.top_k,
                    seed=derive_seed(
                        params.seed, params.first_prompt + row.prompt, params.first_completion + row.completion
                    ),
                    stop_token_ids=sorted(self._model.stop_ids),
                )
            while live:
                self._step(live, rules, results)
        finally:
            self._vllm.abort(live)

    def _step(self, live: dict[str, _Draft], rules: StopRules, results: Results) -> None:
        """One more token for each completion that runs; those that end by it, or are not wanted any more, leave."""
        names, ended = [], []
        for name, token_ids, logprobs, finished in self._vllm.step():
            if name in live and token_ids:
                live[name].add(token_ids, logprobs)
                names.append(name)
                ended.append(finished)
        if not names:
            return
        drafts = [live[name] for name in names]
        stopped = rules.ended(
            np.array([draft.token_ids[-1] for draft in drafts], dtype=np.int64),
            lambda row: drafts[row].token_ids[-rules.tail :],
        )
        self._vllm.abort([name for name, stop, end in zip(names, stopped, ended, strict=True) if stop and not end])
        done = []
        for name, stop, end in zip(names, stopped, ended, strict=True):
            if stop or end:
                reason = FinishReason.STOP if stop else FinishReason.LENGTH
                done.append(live.pop(name).as_done(self._model, reason))
        num_cancelled = len(results.cancelled)
        results.add(done)
        if len(results.cancelled) > num_cancelled:
            unwanted = [name for name, draft in live.items() if draft.row.prompt in results.cancelled]
            self._vllm.abort(unwanted)
            results.add([live.pop(name).as_done(self._model, FinishReason.CANCELLED) for name in unwanted])


@dataclass(slots=True)
class _Draft:
    """What a completion has so far."""

    row: Row
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def add(self, token_ids: Sequence[int], logprobs: Sequence[float]) -> None:
        """What was drawn in one step. Raises EngineError if a log-probability is not a number."""
        if any(map(math.isnan, logprobs)):
            raise EngineError("the model's logits are not numbers: its weights are damaged or training diverged")
        self.token_ids.extend(token_ids)
        self.logprobs.extend(logprobs)

    def as_done(self, model: LanguageModel, reason: FinishReason) -> tuple[Row, Completion]:
        completion = Completion(
            token_ids=tuple(self.token_ids),
            logprobs=tuple(self.logprobs),
            finish_reason=reason,
            text=model.decode(self.token_ids),
        )
        return self.row, completion
