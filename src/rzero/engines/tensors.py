"""Weights as plain arrays, which any object store passes on without a copy; NumPy has no bfloat16."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedTensor:
    """A tensor of ``shape`` whose entries are ``data`` [bytes] read as ``dtype``, the name of one of torch's."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: NDArray[np.uint8]


def pack(pairs: Iterable[tuple[str, Tensor]]) -> list[PackedTensor]:
    """(name, tensor) pairs as arrays. Tensors on the CPU are not copied."""
    import torch

    return [
        PackedTensor(
            name=name,
            dtype=str(tensor.dtype).removeprefix("torch."),
            shape=tuple(tensor.shape),
            data=tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy(),
        )
        for name, tensor in pairs
    ]


def unpack(packed: Sequence[PackedTensor]) -> Iterator[tuple[str, Tensor]]:
    """The pairs again. They lie in the arrays' memory and must not be written to."""
    import torch

    for item in packed:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch has no tensors that cannot be written to
            flat = torch.from_numpy(item.data)
        yield item.name, flat.view(getattr(torch, item.dtype)).reshape(item.shape)
