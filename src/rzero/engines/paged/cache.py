"""Keys and values of all layers in pages, and the forward pass that fills them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rzero.engines.paged.kernels import Kernel
from rzero.engines.paged.pages import Pages
from rzero.engines.sending import send
from rzero.models.attention import own_attention
from rzero.models.head import hidden_states
from rzero.models.language_model import LanguageModel
from rzero.models.operations import own_operations
from rzero.types import TokenIds


class PagedCache:
    """Page ``p`` holds the same :attr:`page_size` tokens of one sequence in every layer."""

    def __init__(self, model: LanguageModel, kernel: Kernel, pages: Pages) -> None:
        self.kernel = kernel
        self.pages = pages
        self._model = model
        self._pools: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def device(self) -> torch.device:
        """Where the keys and values are."""
        return self._model.device

    @property
    def page_size(self) -> int:
        """Tokens in a page."""
        return self.kernel.page_size

    @property
    def num_layers(self) -> int:
        """Layers that have keys and values so far."""
        return len(self._pools)

    @property
    def bytes_per_token(self) -> int:
        """Of keys and values, all layers together."""
        return sum(
            pool[0].numel() * pool.element_size() // self.page_size for pools in self._pools.values() for pool in pools
        )

    def prefill(self, prompts: Sequence[TokenIds], pages: Sequence[Sequence[int]], start: int = 0) -> Tensor:
        """Run ``prompts`` into their ``pages``, which hold the first ``start`` tokens of each already.

        Returns the hidden states of their last tokens [B, d].
        """
        counts = np.array([len(prompt) - start for prompt in prompts])
        table = np.zeros((len(prompts), max(map(len, pages))), dtype=np.int32)
        for row, own in enumerate(pages):
            table[row, : len(own)] = own
        hidden = self._run(
            np.array([token for prompt in prompts for token in prompt[start:]]),
            np.concatenate([np.arange(start, len(prompt), dtype=np.int32) for prompt in prompts]),
            np.repeat(np.arange(len(prompts), dtype=np.int32), counts),
            table,
        )
        return hidden[send(counts.cumsum() - 1, hidden.device)]

    def decode(self, tokens: NDArray[np.int64], positions: NDArray[np.int32], table: NDArray[np.int32]) -> Tensor:
        """One more token for each row: hidden states [R, d] of ``tokens`` [R], which stand at ``positions`` [R].

        ``table`` [R, P] lists each row's pages, that of its position among them.
        """
        return self._run(tokens, positions, np.arange(len(positions), dtype=np.int32), table)

    def step(self, inputs: Tensor, *, tokens: int, rows: int) -> Tensor:
        """Hidden states [N, d] of ``tokens`` = N :func:`packed` tokens of ``rows`` sequences.

        No token is padding. In every layer all are stored before any attends, so a prompt's tokens see each other.
        Nothing here waits for the device.
        """
        module = self._model.module
        ids, positions, pages, offsets, owners = inputs[: 5 * tokens].view(5, tokens)
        table = inputs[5 * tokens :].view(rows, -1)
        attention = _Attention(
            cache=self, table=table, owners=owners, lengths=positions + 1, pages=pages, offsets=offsets
        )
        with own_attention(module, attention), own_operations(module):
            return hidden_states(
                module, input_ids=ids[None].long(), position_ids=positions[None].long(), use_cache=False
            )[0]

    def copy(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy whole pages, in every layer."""
        if sources:
            source, target = torch.tensor(sources), torch.tensor(targets)
            for layer in self._pools:
                for pool in self.layer(layer):
                    pool[target.to(pool.device)] = pool[source.to(pool.device)]

    def layer(self, layer: int, like: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The pools of one layer, for keys like ``like`` [..., kv_heads, D]; they follow the pages' capacity."""
        if layer not in self._pools:
            assert like is not None
            self._pools[layer] = (
                self.kernel.pool(self.pages.capacity, like),
                self.kernel.pool(self.pages.capacity, like),
            )
        keys, values = self._pools[layer]
        if keys.shape[0] < self.pages.capacity:
            self._pools[layer] = keys, values = (_grown(keys, self.pages.capacity), _grown(values, self.pages.capacity))
        return keys, values

    def _run(
        self,
        tokens: NDArray[np.int64],
        positions: NDArray[np.int32],
        owners: NDArray[np.int32],
        table: NDArray[np.int32],
    ) -> Tensor:
        inputs = packed(tokens, positions, owners, table, self.page_size)
        return self.step(send(inputs, self.device), tokens=len(tokens), rows=len(table))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attention:
    """See :meth:`PagedCache.step`; ``pages`` and ``offsets`` [N] are where the new tokens go."""

    cache: PagedCache
    table: Tensor
    owners: Tensor
    lengths: Tensor
    pages: Tensor
    offsets: Tensor
    layers: Iterator[int] = field(default_factory=count)  # a forward pass asks layer by layer

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, **rules: Any) -> Tensor:
        kernel = self.cache.kernel
        queries, keys, values = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
        pools = self.cache.layer(next(self.layers), keys)
        kernel.store(pools, keys, values, self.pages, self.offsets)
        return kernel.attend(queries, pools, self.table, self.owners, self.lengths, **rules)[None]


def packed(
    tokens: NDArray[np.int64],
    positions: NDArray[np.int32],
    owners: NDArray[np.int32],
    table: NDArray[np.int32],
    page_size: int,
) -> NDArray[np.int32]:
    """The numbers of a step in one piece: ``tokens`` [N], which stand at ``positions`` [N] of rows ``owners`` [N].

    Then follow their pages and offsets there [N] each, and ``table`` [R, P], which lists the rows' pages.
    """
    pages = table[owners, positions // page_size]
    parts = (tokens, positions, pages, positions % page_size, owners, table.ravel())
    return np.concatenate(parts, dtype=np.int32, casting="same_kind")


def _grown(pool: Tensor, capacity: int) -> Tensor:
    grown = pool.new_empty(capacity, *pool.shape[1:])
    grown[: pool.shape[0]] = pool
    grown[pool.shape[0] :].zero_()  # not all of it: that would write the greater part twice
    return grown
