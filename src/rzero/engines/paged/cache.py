"""Keys and values of all layers in pages, and the two kinds of forward pass that fill them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rzero.engines.paged.kernels import Kernel, prompt_attention
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

    def prefill(self, prompts: Sequence[TokenIds], pages: Sequence[Sequence[int]]) -> Tensor:
        """Run ``prompts``, the longest first, into their ``pages``; the hidden states of their last tokens [B, d].

        They are padded on the right, where causal attention keeps a prompt's tokens from its padding.
        """
        device = self._model.device
        lengths = np.array([len(prompt) for prompt in prompts])
        tokens = np.zeros((len(prompts), lengths.max()), dtype=np.int64)
        for row, prompt in enumerate(prompts):
            tokens[row, : len(prompt)] = prompt
        where = [_places(own, length, self.page_size) for own, length in zip(pages, lengths, strict=True)]
        attention = _Prefill(
            cache=self,
            real=torch.from_numpy(np.arange(lengths.max()) < lengths[:, None]).to(device),
            pages=torch.from_numpy(np.concatenate([page for page, _ in where])).to(device),
            offsets=torch.from_numpy(np.concatenate([offset for _, offset in where])).to(device),
        )
        hidden = self._forward(torch.from_numpy(tokens), torch.arange(tokens.shape[1])[None], attention)
        return hidden[torch.arange(len(prompts)), torch.from_numpy(lengths - 1)]

    def decode(self, tokens: Tensor, positions: NDArray[np.int32], table: NDArray[np.int32]) -> Tensor:
        """One more token for each row: hidden states [R, d] of ``tokens`` [R], which stand at ``positions`` [R].

        ``table`` [R, P] lists each row's pages, that of its position among them. All three are the host's.
        """
        inputs = packed(tokens.numpy(), positions, table, self.page_size)
        return self.step(send(inputs, self.device), rows=len(positions))

    def step(self, inputs: Tensor, *, rows: int) -> Tensor:
        """:meth:`decode` of :func:`packed` ``inputs``, which asks the device for nothing."""
        tokens, positions, pages, offsets = inputs[: 4 * rows].view(4, rows)
        table = inputs[4 * rows :].view(rows, -1)
        attention = _Decode(cache=self, table=table, lengths=positions + 1, pages=pages, offsets=offsets)
        return self._forward(tokens[:, None].long(), positions[:, None].long(), attention)[:, 0]

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

    def _forward(self, tokens: Tensor, positions: Tensor, attention: _Prefill | _Decode) -> Tensor:
        module, device = self._model.module, self._model.device
        with own_attention(module, attention), own_operations(module):
            return hidden_states(
                module, input_ids=tokens.to(device), position_ids=positions.to(device), use_cache=False
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prefill:
    """``real`` [B, L] tells tokens from padding; ``pages`` and ``offsets`` [N] where the N real ones go."""

    cache: PagedCache
    real: Tensor
    pages: Tensor
    offsets: Tensor
    layers: Iterator[int] = field(default_factory=count)  # a forward pass asks layer by layer

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, **rules: Any) -> Tensor:
        keys, values = key.transpose(1, 2)[self.real], value.transpose(1, 2)[self.real]
        pools = self.cache.layer(next(self.layers), keys)
        self.cache.kernel.store(pools, keys, values, self.pages, self.offsets)
        return prompt_attention(query, key, value, **rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decode:
    """See :meth:`PagedCache.decode`; ``pages`` and ``offsets`` [R] are where the new tokens go."""

    cache: PagedCache
    table: Tensor
    lengths: Tensor
    pages: Tensor
    offsets: Tensor
    layers: Iterator[int] = field(default_factory=count)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, **rules: Any) -> Tensor:
        kernel, keys = self.cache.kernel, key[:, :, 0]
        pools = self.cache.layer(next(self.layers), keys)
        kernel.store(pools, keys, value[:, :, 0], self.pages, self.offsets)
        return kernel.attend(query[:, :, 0], pools, self.table, self.lengths, **rules)[:, None]


def packed(
    tokens: NDArray[np.int64], positions: NDArray[np.int32], table: NDArray[np.int32], page_size: int
) -> NDArray[np.int32]:
    """The numbers of a decoding step in one piece: tokens, positions, their pages and offsets there, the table."""
    pages = table[np.arange(len(positions)), positions // page_size]
    parts = (tokens, positions, pages, positions % page_size, table.ravel())
    return np.concatenate(parts, dtype=np.int32, casting="same_kind")


def _places(pages: Sequence[int], length: int, page_size: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Page and offset [length] of a sequence's tokens."""
    columns = np.arange(length, dtype=np.int32)
    return np.array(pages, dtype=np.int32)[columns // page_size], columns % page_size


def _grown(pool: Tensor, capacity: int) -> Tensor:
    grown = pool.new_empty(capacity, *pool.shape[1:])
    grown[: pool.shape[0]] = pool
    grown[pool.shape[0] :].zero_()  # not all of it: that would write the greater part twice
    return grown
