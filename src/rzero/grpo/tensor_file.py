"""Write and read safetensors files tensor by tensor, where the whole of a file would be too much to hold at once.

The library's own writer wants all tensors in memory. This one is given them one after the other and writes the same
bytes: an 8-byte length, a JSON header padded to 8 bytes, then the tensors, widest elements first and by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import Tensor

_NAMES = {torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


@dataclass(frozen=True, slots=True)
class Spec:
    """What the header says of a tensor."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """In the file."""
        return prod(self.shape) * self.dtype.itemsize


def file_order(specs: Mapping[str, Spec]) -> list[str]:
    """The names in the order in which their tensors lie in the file.

    >>> file_order({"b": Spec(torch.float32, (1,)), "a": Spec(torch.float32, ()), "c": Spec(torch.float64, (2,))})
    ['c', 'a', 'b']
    """
    return sorted(specs, key=lambda name: (-specs[name].dtype.itemsize, name))


def write_tensors(file: Path, specs: Mapping[str, Spec], tensors: Iterable[Tensor]) -> None:
    """Write ``file``; ``tensors`` come in :func:`file_order` and are let go of one by one."""
    header: dict[str, dict[str, object]] = {}
    end = 0
    for name in file_order(specs):
        start, end = end, end + specs[name].num_bytes
        header[name] = {
            "dtype": _NAMES[specs[name].dtype],
            "shape": list(specs[name].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors:
            stream.write(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def read_rows(file: Path, rows: Mapping[str, slice | None]) -> dict[str, Tensor]:
    """The tensors of a sound ``file`` that are named in ``rows``: of each the given rows, or for None all of it."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as tensors:
        return {
            name: tensors.get_tensor(name) if part is None else tensors.get_slice(name)[part]
            for name, part in rows.items()
        }
