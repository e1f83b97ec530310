"""Run prompts through the model, each distinct prompt once, and hand their keys and values to all rows that share it.

Prompts are padded on the right, so causal attention alone keeps a prompt's tokens from its padding and no mask is
needed; the copy into the wave's cache then lets all prompts end at the same column.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from rzero.engines.cache import KVCache, cache_argument
from rzero.models.head import hidden_states
from rzero.models.language_model import LanguageModel
from rzero.types import TokenIds

_TOKENS = 4096  # in one forward pass, padding included: bounds the memory of activations


def prefill(model: LanguageModel, prompts: Sequence[TokenIds], cache: KVCache, *, width: int) -> Tensor:
    """Fill ``cache`` with one prompt per row, all ending at column ``width``.

    Equal prompts have to be neighbours, and the longest comes first. Returns the last token's hidden state of each
    row, [rows, d].
    """
    starts = [row for row, prompt in enumerate(prompts) if row == 0 or prompt != prompts[row - 1]]
    spans = [slice(start, stop) for start, stop in pairwise([*starts, len(prompts)])]
    cache.start_at(width)
    last: list[Tensor] = []
    while spans:
        size = max(1, _TOKENS // len(prompts[spans[0].start]))
        batch, spans = spans[:size], spans[size:]
        scratch, hidden = _prefill_batch(model, [prompts[span.start] for span in batch], len(cache))
        for index, span in enumerate(batch):
            cache.take_prompt(scratch, index, len(prompts[span.start]), span)
            last.append(hidden[index].expand(span.stop - span.start, -1))
    return torch.cat(last)


def _prefill_batch(model: LanguageModel, prompts: Sequence[TokenIds], num_layers: int) -> tuple[KVCache, Tensor]:
    """The cache of ``prompts``, the longest first, one a row from column 0 on; hidden states of their last tokens."""
    rows, columns = len(prompts), len(prompts[0])
    tokens = torch.zeros(rows, columns, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = torch.tensor(prompt)
    tokens = tokens.to(model.device)
    cache = KVCache(num_layers, rows=rows, columns=columns, most_columns=columns)
    ends = torch.tensor([len(prompt) - 1 for prompt in prompts], device=model.device)
    last = torch.empty(rows, model.head.weight.shape[1], dtype=model.dtype, device=model.device)
    piece = max(1, _TOKENS // rows)
    for start in range(0, columns, piece):
        stop = min(columns, start + piece)
        positions = torch.arange(start, stop, device=model.device).expand(rows, -1)
        hidden = hidden_states(
            model.module,
            input_ids=tokens[:, start:stop],
            position_ids=positions,
            **{cache_argument(model.module): cache},
            use_cache=True,
        )
        here = ((ends >= start) & (ends < stop)).nonzero()[:, 0]
        last[here] = hidden[here, ends[here] - start]
    return cache, last
