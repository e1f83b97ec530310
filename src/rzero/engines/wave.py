"""Generate one wave of completions: prefill, then a token for every live row at each step, until no row is left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rzero.engines.cache import KVCache, cache_argument, vacate
from rzero.engines.drafts import Drafts, Results, Row
from rzero.engines.prefill import prefill
from rzero.models.head import hidden_states
from rzero.models.language_model import LanguageModel

_FIRST_COLUMNS = 256  # room for new tokens before the cache grows for the first time


def run_wave(model: LanguageModel, rows: Sequence[Row], drafts: Drafts, results: Results, *, num_layers: int) -> None:
    """Run ``rows`` to their end. Equal prompts must be neighbours, the longest prompt first.

    Raises EngineError if the model computes something that is not a number.
    """
    # Where nothing is padded transformers drops the mask, and then SDPA groups the heads itself: on a CPU, four times
    # slower. One column of padding keeps the mask.
    width = len(rows[0].prompt_ids) + (model.device.type == "cpu")
    most = max(row.limit for row in rows)
    cache = KVCache(num_layers, rows=len(rows), columns=width + min(most, _FIRST_COLUMNS), most_columns=width + most)
    hidden = prefill(model, [row.prompt_ids for row in rows], cache, width=width)
    live = _LiveRows(rows, width=width, columns=width + most, device=hidden.device)
    for slot, row in enumerate(rows):
        drafts.start(slot, row)
    for step in range(most):
        drawn, finished = drafts.write(live.index, hidden)
        finished = results.leave(drafts, live.index, finished)
        if finished.all():
            return
        tokens = torch.from_numpy(drawn).to(hidden.device)
        if finished.any():
            tokens = tokens[live.drop(finished, cache)]
        hidden = _advance(model, tokens, live, cache, column=width + step)


def _advance(model: LanguageModel, tokens: Tensor, live: _LiveRows, cache: KVCache, *, column: int) -> Tensor:
    """Write ``tokens`` [R] into ``column``; returns hidden states [R, d]."""
    hidden = hidden_states(
        model.module,
        input_ids=tokens[:, None],
        attention_mask=live.mask[:, : column + 1],
        position_ids=(column - live.padding)[:, None],
        **{cache_argument(model.module): cache},
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
