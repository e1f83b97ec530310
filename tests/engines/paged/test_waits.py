"""What would wait for a GPU, or could not be recorded there, shows on a CPU by the operations that are called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from tiny_model import make_model
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rzero.engines import draw
from rzero.engines.paged import flash
from rzero.engines.paged.cache import PagedCache, packed
from rzero.engines.paged.flash import FlashKernel
from rzero.engines.paged.pages import Pages
from rzero.models import operations

# A number asked for, a result whose size depends on numbers, and a tensor made from numbers of the host.
WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "bincount", "_unique2", "lift_fresh", "is_nonzero", "equal"}


class Operations(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masked = name in ("index", "index_put", "index_put_") and any(
            each is not None and each.dtype is torch.bool for each in args[1]
        )
        if name in WAITS or masked:
            self.waits.append(name)
        return func(*args, **(kwargs or {}))


@contextmanager
def operations_of() -> Iterator[Operations]:
    with torch.no_grad(), Operations() as seen:  # inference mode would hide what operations are made of
        yield seen


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "mistral", "gemma3_text"])
def test_a_decoding_step_can_be_recorded(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "replacements", lambda module: [])  # as on a GPU
    monkeypatch.setattr(flash, "varlen_attn", lambda query, *operands, **rules: torch.zeros_like(query))
    model = make_model(architecture)
    cache = PagedCache(model, FlashKernel(), Pages(4))
    with torch.no_grad():
        cache.prefill([(5, 6, 7), (8, 9)], [cache.pages.take(1), cache.pages.take(1)])
    table = np.array([[0, 2], [1, 2]], dtype=np.int32)
    positions, owners = np.array([[3, 2], [0, 1]], dtype=np.int32)
    inputs = torch.from_numpy(packed(np.array([3, 4]), positions, owners, table, cache.page_size))
    with operations_of() as seen:
        cache.step(inputs, tokens=2, rows=2)
    assert seen.waits == []


def test_a_prefill_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "replacements", lambda module: [])  # as on a GPU
    monkeypatch.setattr(flash, "varlen_attn", lambda query, *operands, **rules: torch.zeros_like(query))
    cache = PagedCache(make_model(), FlashKernel(), Pages(4))
    cache.pages.reserve()
    owners = np.array([0, 0, 1], dtype=np.int32)
    positions, table = np.array([1, 2, 0], dtype=np.int32), np.array([[0], [1]], dtype=np.int32)
    inputs = torch.from_numpy(packed(np.array([3, 4, 5]), positions, owners, table, cache.page_size))
    with operations_of() as seen:
        cache.step(inputs, tokens=3, rows=2)
    assert seen.waits == []


@pytest.mark.parametrize(
    ("cuts", "waits"),
    [({}, []), ({"temperature": 0.0}, []), ({"top_p": 0.9}, ["nonzero"]), ({"top_k": 5, "top_p": 0.9}, ["nonzero"])],
)
def test_drawing_waits_for_the_number_of_candidates_alone(
    cuts: dict[str, Any], waits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draw, "serves", lambda logits: False)  # as on a GPU
    logits: Tensor = torch.randn(4, 300)
    uniforms = torch.rand(4, dtype=torch.float64)
    with operations_of() as seen:
        draw.draw(logits, uniforms, **cuts)
    assert seen.waits == waits


def test_what_waits_is_seen() -> None:
    numbers = torch.arange(4)
    with operations_of() as seen:
        numbers[numbers > 1].max().item()
        torch.tensor([1, 2])
    assert {"index", "_local_scalar_dense"} <= set(seen.waits)
