"""What decoder layers do between their matrix products, in ``elementwise.c``: one pass over the data each.

PyTorch's eager operations read and write the data once for each arithmetic operation, in fp32 where a norm asks for
that. Here a norm is one operation, and so are a gated activation and the rotation of queries and keys; for the backward
pass they keep their inputs alone. On CPUs, in fp32 and bf16; rows are multiples of 16 entries.
"""

from __future__ import annotations

from ctypes import CDLL, c_float, c_int, c_int64, c_void_p
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rzero.native.compiler import build

DTYPES = (torch.float32, torch.bfloat16)
"""What the source has code for."""

LANES = 16
"""Rows must be multiples of it."""

_SOURCE = Path(__file__).with_name("elementwise.c")


def available() -> bool:
    """Whether the source could be compiled here."""
    return _library() is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Norm:
    """``y = x / sqrt(mean(x^2) + eps) * (weight + offset)`` along the last dimension, in fp32.

    ``early`` rounds to the data's precision before the weight is applied, as Llama does; Gemma rounds once, behind.
    """

    eps: float
    offset: float
    early: bool

    def __call__(self, x: Tensor, weight: Tensor) -> Tensor:
        """``x`` [..., d] and ``weight`` [d] of one dtype."""
        if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
            return _Norm.apply(x, weight, self)
        return self.forward(x, weight)

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """Without a graph."""
        x = x.contiguous()
        out = torch.empty_like(x)
        size = weight.shape[0]
        _loaded().norm(*_at(x, weight, out), x.numel() // size, size, *self._rules, *_how(x))
        return out

    def backward(self, x: Tensor, weight: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of ``x`` and ``weight``, from that of the result."""
        x, grad = x.contiguous(), grad.contiguous()
        out, size = torch.empty_like(x), weight.shape[0]
        total = torch.empty(size, dtype=torch.float32)
        rows = x.numel() // size
        if _loaded().norm_backward(*_at(x, weight, grad, out, total), rows, size, *self._rules, *_how(x)):
            raise MemoryError("no memory for the gradient of a norm")
        return out, total.to(weight.dtype)

    @property
    def _rules(self) -> tuple[float, float, bool]:
        return self.eps, self.offset, self.early


def gated(gate: Tensor, up: Tensor, *, gelu: bool) -> Tensor:
    """activation(``gate``) * ``up``, of one shape and dtype; SiLU, or GELU by its tanh formula."""
    if torch.is_grad_enabled() and (gate.requires_grad or up.requires_grad):
        return _Gated.apply(gate, up, gelu)
    return _gated(gate, up, gelu)


def rotate(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Rotary positions: ``x * cos + rotate_half(x) * sin`` of ``query`` [B, H, T, D] and ``key`` [B, K, T, D].

    ``cos`` and ``sin`` [B or 1, T, D]; D is a multiple of 32. The results are laid out token by token.
    """
    if torch.is_grad_enabled() and (query.requires_grad or key.requires_grad):
        return _Rotate.apply(query, key, cos, sin)
    return _rotate(query, key, cos, sin, back=False)


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, norm: Norm) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.norm = norm
        return norm.forward(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        return *ctx.norm.backward(*ctx.saved_tensors, *grads), None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, gelu: bool) -> Tensor:
        ctx.save_for_backward(gate, up)
        ctx.gelu = gelu
        return _gated(gate, up, gelu)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        gate, up, grad = (tensor.contiguous() for tensor in (*ctx.saved_tensors, *grads))
        of_gate, of_up = torch.empty_like(gate), torch.empty_like(up)
        _loaded().gated_backward(*_at(gate, up, grad, of_gate, of_up), gate.numel(), ctx.gelu, *_how(gate))
        return of_gate, of_up, None


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(cos, sin)
        return _rotate(query, key, cos, sin, back=False)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        of_query, of_key = grads
        return *_rotate(of_query, of_key, *ctx.saved_tensors, back=True), None, None


def _gated(gate: Tensor, up: Tensor, gelu: bool) -> Tensor:
    gate, up = gate.contiguous(), up.contiguous()
    out = torch.empty_like(gate)
    _loaded().gated(*_at(gate, up, out), gate.numel(), gelu, *_how(gate))
    return out


def _rotate(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, *, back: bool) -> tuple[Tensor, Tensor]:
    query, key = (tensor.transpose(1, 2).contiguous() for tensor in (query, key))
    cos, sin = cos.contiguous(), sin.contiguous()
    out = torch.empty_like(query), torch.empty_like(key)
    batch, length, heads, size = query.shape
    sizes = (batch * length, heads, key.shape[2], size, cos.numel() // size)
    _loaded().rotate(*_at(query, key, cos, sin, *out), *sizes, back, *_how(query))
    return out[0].transpose(1, 2), out[1].transpose(1, 2)


def _at(*tensors: Tensor) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]


def _how(tensor: Tensor) -> tuple[bool, int]:
    return tensor.dtype is torch.bfloat16, torch.get_num_threads()


def _loaded() -> CDLL:
    library = _library()
    assert library is not None
    return library


@cache
def _library() -> CDLL | None:
    try:
        library = CDLL(str(build(_SOURCE)))
    except OSError:  # the choice of the attention kernel warns of it
        return None
    how, rules = [c_int] * 2, [c_float, c_float, c_int]
    for name, pointers, numbers, result in (
        ("norm", 3, [c_int] * 2 + rules, None),
        ("norm_backward", 5, [c_int] * 2 + rules, c_int),
        ("gated", 3, [c_int64, c_int], None),
        ("gated_backward", 5, [c_int64, c_int], None),
        ("rotate", 6, [c_int] * 6, None),
    ):
        function = getattr(library, name)
        function.argtypes = [c_void_p] * pointers + numbers + how
        function.restype = result
    return library
