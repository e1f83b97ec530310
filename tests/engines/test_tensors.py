"""Weights as arrays and back."""

from __future__ import annotations

import pickle

import pytest
import torch

from rzero.engines.tensors import pack, unpack


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64])
def test_packed_and_unpacked_are_the_same_bits(dtype: torch.dtype) -> None:
    pairs = {"a.weight": torch.randn(3, 5).to(dtype), "b": torch.ones(()).to(dtype), "c": torch.zeros(0, 4).to(dtype)}
    pairs["turned"] = pairs["a.weight"].T
    packed = pickle.loads(pickle.dumps(pack(pairs.items())))
    for item in packed:
        item.data.flags.writeable = False  # as in an object store
    found = dict(unpack(packed))
    assert list(found) == list(pairs)
    for name, tensor in pairs.items():
        assert found[name].dtype == dtype and torch.equal(found[name], tensor)


def test_packing_copies_nothing_on_the_cpu() -> None:
    tensor = torch.zeros(4)
    (packed,) = pack([("x", tensor)])
    tensor += 1
    assert torch.equal(dict(unpack([packed]))["x"], torch.ones(4))
