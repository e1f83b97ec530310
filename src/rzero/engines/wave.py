"""Generate one wave of completions: prefill, then a token for every live row at each step, until no row is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rzero.engines.base import OnFinish, SamplingParams
from rzero.engines.cache import KVCache, vacate
from rzero.engines.draw import draw
from rzero.engines.prefill import prefill
from rzero.engines.stopping import StopRules
from rzero.engines.streams import uniforms
from rzero.errors import EngineError
from rzero.models.head import hidden_states
from rzero.models.language_model import LanguageModel
from rzero.types import Completion, FinishReason, TokenIds

_FIRST_COLUMNS = 256  # room for new tokens before the cache grows for the first time


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Completion ``completion`` of prompt ``prompt``; at most ``limit`` new tokens."""

    prompt: int
    completion: int
    prompt_ids: TokenIds
    limit: int


def run_wave(
    model: LanguageModel,
    rows: Sequence[Row],
    params: SamplingParams,
    rules: StopRules,
    *,
    num_layers: int,
    on_progress: Callable[[int], None],
    on_finish: OnFinish,
    cancelled: set[int],
) -> list[Completion]:
    """One completion for each row, in their order. Equal prompts must be neighbours, the longest prompt first.

    Prompts that ``on_finish`` cancels are put into ``cancelled``.
    Raises EngineError if the model computes something that is not a number.
    """
    # Where nothing is padded transformers drops the mask, and then SDPA groups the heads itself: on a CPU, four times
    # slower. One column of padding keeps the mask.
    width = len(rows[0].prompt_ids) + (model.device.type == "cpu")
    most = max(row.limit for row in rows)
    cache = KVCache(num_layers, rows=len(rows), columns=width + min(most, _FIRST_COLUMNS), most_columns=width + most)
    hidden = prefill(model, [row.prompt_ids for row in rows], cache, width=width)
    live = _LiveRows(rows, width=width, columns=width + most, device=hidden.device)
    streams = np.stack([uniforms(params.seed, row.prompt, row.completion, most) for row in rows])
    written = _Written(rows)
    for step in range(most):
        tokens, logprobs = draw(
            model.head.logits(hidden),
            torch.from_numpy(streams[live.index, step]).to(hidden.device),
            temperature=params.temperature,
            top_k=params.top_k,
            top_p=params.top_p,
        )
        finished = written.add(step, live.index, tokens, logprobs, rules)
        if finished.any():
            for row in live.index[finished].tolist():
                if on_finish(rows[row].prompt, rows[row].completion, written.completion(model, row)):
                    cancelled.add(rows[row].prompt)
            if cancelled:
                unneeded = np.array([rows[row].prompt in cancelled for row in live.index.tolist()])
                finished |= written.cancel(live.index, unneeded & ~finished)
            on_progress(int(finished.sum()))
            if finished.all():
                break
            tokens = tokens[live.drop(finished, cache)]
        hidden = _advance(model, tokens, live, cache, column=width + step)
    return [written.completion(model, row) for row in range(len(rows))]


def _advance(model: LanguageModel, tokens: Tensor, live: _LiveRows, cache: KVCache, *, column: int) -> Tensor:
    """Write ``tokens`` [R] into ``column``; returns hidden states [R, d]."""
    hidden = hidden_states(
        model.module,
        input_ids=tokens[:, None],
        attention_mask=live.mask[:, : column + 1],
        position_ids=(column - live.padding)[:, None],
        past_key_values=cache,
        use_cache=True,
    )
    return hidden[:, 0]


class _LiveRows:
    """The rows that still run, in the order in which they lie in the cache.

    ``index`` [R] is each one's place in the wave, ``padding`` [R] the columns left of its prompt, ``mask`` [R, columns]
    False there.
    """

    def __init__(self, rows: Sequence[Row], *, width: int, columns: int, device: torch.device) -> None:
        self.index = np.arange(len(rows))
        self.padding = torch.tensor([width - len(row.prompt_ids) for row in rows], device=device)
        self.mask = torch.arange(columns, device=device) >= self.padding[:, None]

    def drop(self, finished: np.ndarray, cache: KVCache) -> Tensor:
        """Take ``finished`` rows [R] out of here and of ``cache``; returns the old places of those that stay."""
        order, movers, holes = vacate(torch.from_numpy(~finished))
        self.index = self.index[order.numpy()]
        device = self.mask.device
        cache.keep(len(order), movers.to(device), holes.to(device))
        order = order.to(device)
        self.padding, self.mask = self.padding[order], self.mask[order]
        return order


class _Written:
    """What all rows of a wave have generated so far."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._limits = np.array([row.limit for row in rows])
        self._tokens = np.zeros((len(rows), self._limits.max()), dtype=np.int64)
        self._logprobs = np.zeros(self._tokens.shape, dtype=np.float32)
        self._lengths = np.zeros(len(rows), dtype=np.int64)
        self._stopped = np.zeros(len(rows), dtype=bool)
        self._cancelled = np.zeros(len(rows), dtype=bool)

    def add(self, step: int, index: np.ndarray, tokens: Tensor, logprobs: Tensor, rules: StopRules) -> np.ndarray:
        """Append one token and log-probability [R] to the rows ``index`` [R]; returns which of them finish by it."""
        self._tokens[index, step] = new = tokens.cpu().numpy()
        self._logprobs[index, step] = new_logprobs = logprobs.cpu().numpy()
        if np.isnan(new_logprobs).any():
            raise EngineError("the model's logits are not numbers: its weights are damaged or training diverged")
        first = max(0, step + 1 - rules.tail)
        stopped = rules.ended(new, lambda row: self._tokens[index[row], first : step + 1].tolist())
        self._stopped[index] = stopped
        self._lengths[index] = step + 1
        return stopped | (step + 1 == self._limits[index])

    def cancel(self, index: np.ndarray, which: np.ndarray) -> np.ndarray:
        """End those of the rows ``index`` [R] that ``which`` [R] marks; returns ``which``."""
        self._cancelled[index[which]] = True
        return which

    def completion(self, model: LanguageModel, row: int) -> Completion:
        """A row of the wave as it is now."""
        length = self._lengths[row]
        token_ids = tuple(self._tokens[row, :length].tolist())
        ended = FinishReason.STOP if self._stopped[row] else FinishReason.LENGTH
        return Completion(
            token_ids=token_ids,
            logprobs=tuple(self._logprobs[row, :length].tolist()),
            finish_reason=FinishReason.CANCELLED if self._cancelled[row] else ended,
            text=model.decode(token_ids),
        )
