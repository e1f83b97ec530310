"""The key-value cache of one wave of rows: buffers that are written in place, rows that leave without a new allocation.

All rows end at the same column, so a step writes one column and attention reads one block; what lies left of a row's
first token is padding, which the caller masks. transformers' own caches either concatenate everything at every step or
are sized for the longest completion from the start; these buffers double their columns when they are full.

Sliding-window layers keep all columns too: their window is in transformers' mask.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from rzero.errors import EngineError


class KVLayer(CacheLayerMixin):
    """Keys and values of one layer, each [rows, kv_heads, columns, head_dim]; ``length`` columns are filled."""

    is_sliding = False

    keys: Tensor
    values: Tensor

    def __init__(self, *, rows: int, columns: int, most_columns: int) -> None:
        super().__init__()
        self.rows = rows
        self.columns = columns
        self.most_columns = most_columns
        self.length = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocate buffers for heads like those of ``key_states`` and ``value_states``."""
        self.keys, self.values = self._buffer(key_states), self._buffer(value_states)  # pyright: ignore[reportIncompatibleVariableOverride]
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write [rows, kv_heads, new, head_dim] behind the last column; returns views of all filled columns."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self.length = self.length, self.length + key_states.shape[2]
        self._reserve(self.length)
        self.keys[: self.rows, :, start : self.length] = key_states
        self.values[: self.rows, :, start : self.length] = value_states
        return self.keys[: self.rows, :, : self.length], self.values[: self.rows, :, : self.length]

    def take_prompt(self, source: KVLayer, source_row: int, prompt_length: int, rows: slice) -> None:
        """Fill ``rows`` with the first ``prompt_length`` columns of a row of ``source``; they end at :attr:`length`."""
        if not self.is_initialized:
            self.lazy_initialization(source.keys, source.values)
        start = self.length - prompt_length
        for mine, theirs in ((self.keys, source.keys), (self.values, source.values)):
            mine[rows, :, :start] = 0  # masked, but a NaN left in memory would survive being multiplied by zero
            mine[rows, :, start : self.length] = theirs[source_row, :, :prompt_length]

    def keep(self, count: int, movers: Tensor, holes: Tensor) -> None:
        """Shrink to ``count`` rows: rows ``movers`` take the places ``holes``."""
        self.rows = count
        if len(movers) and self.is_initialized:
            for buffer in (self.keys, self.values):
                filled = buffer[:, :, : self.length]
                filled.index_copy_(0, holes, filled.index_select(0, movers))

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns that the next queries see, and the first of them."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """Filled columns."""
        return self.length

    def get_max_length(self) -> int:
        """Columns that there can be."""
        return self.most_columns

    def _buffer(self, like: Tensor) -> Tensor:
        return like.new_empty(self.rows, like.shape[1], self.columns, like.shape[3])

    def _reserve(self, columns: int) -> None:
        if columns <= self.columns:
            return
        filled = self.columns
        self.columns = max(columns, min(2 * self.columns, self.most_columns))
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = self._buffer(old)
            new[:, :, :filled] = old[: self.rows, :, :filled]
            setattr(self, name, new)


class KVCache(Cache):
    """One :class:`KVLayer` for each layer of a model."""

    layers: list[KVLayer]  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, num_layers: int, *, rows: int, columns: int, most_columns: int) -> None:
        sizes = {"rows": rows, "columns": columns, "most_columns": most_columns}
        super().__init__(layers=[KVLayer(**sizes) for _ in range(num_layers)])

    def start_at(self, length: int) -> None:
        """Where the prompts that :meth:`take_prompt` brings will end."""
        for layer in self.layers:
            layer.length = length

    def take_prompt(self, source: KVCache, source_row: int, prompt_length: int, rows: slice) -> None:
        """Copy one prefilled prompt into each of ``rows``."""
        for mine, theirs in zip(self.layers, source.layers, strict=True):
            if theirs.is_initialized:  # a layer that reads another layer's keys and values has none
                mine.take_prompt(theirs, source_row, prompt_length, rows)

    def keep(self, count: int, movers: Tensor, holes: Tensor) -> None:
        """Shrink to ``count`` rows: rows ``movers`` take the places ``holes``."""
        for layer in self.layers:
            layer.keep(count, movers, holes)


def count_layers(module: PreTrainedModel) -> int:
    """Layers of a :class:`KVCache` for ``module``.

    Raises EngineError if the model carries anything from token to token that is not keys and values of attention.
    """
    name = type(module).__name__
    refusal = f"{name} keeps more than attention keys and values between tokens, which the embedded engine cannot cache"
    if module._is_stateful or module.config.is_encoder_decoder:
        raise EngineError(f"{refusal}; use a decoder-only transformer, or engine=vllm")
    try:
        layers = DynamicCache(config=module.config).layers
    except KeyError as error:
        raise EngineError(f"{refusal} (layer type {error}); use a decoder-only transformer, or engine=vllm") from error
    strange = {type(layer).__name__ for layer in layers} - {DynamicLayer.__name__, DynamicSlidingWindowLayer.__name__}
    if strange:
        raise EngineError(f"{refusal} ({', '.join(sorted(strange))}); use a decoder-only transformer, or engine=vllm")
    return len(layers)


def cache_argument(module: PreTrainedModel) -> str:
    """What the decoder of ``module`` calls its cache; transformers is renaming it, one model after the other."""
    parameters = inspect.signature(module.get_decoder().forward).parameters
    return "cache" if "cache" in parameters else "past_key_values"


def vacate(live: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How to close the gaps that finished rows leave: (order, movers, holes) for ``live`` [rows] (bool).

    ``order`` lists the old row of each remaining row; the rows in ``movers`` are its entries at ``holes``.

    >>> [x.tolist() for x in vacate(torch.tensor([True, False, True, False, True]))]
    [[0, 4, 2], [4], [1]]
    """
    count = int(live.sum())
    holes = (~live[:count]).nonzero()[:, 0]
    movers = live[count:].nonzero()[:, 0] + count
    order = torch.arange(count)
    order[holes] = movers
    return order, movers, holes
