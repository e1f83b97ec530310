from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, silu
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

from rzero.models.elementwise import Norm, gated, rotate

Function = Callable[..., Tensor | tuple[Tensor, ...]]
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
LLAMA, GEMMA = Norm(eps=1e-5, offset=0.0, early=True), Norm(eps=1e-5, offset=1.0, early=False)


def random(*shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    return (2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))).to(dtype)


def with_gradients(function: Function, *inputs: Tensor) -> list[Tensor]:
    """What ``function`` returns, and the gradients of its inputs under a fixed random gradient of the result."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    results = function(*leaves)
    results = results if isinstance(results, tuple) else (results,)
    grads = [random(*result.shape, dtype=result.dtype, seed=9) for result in results]
    torch.autograd.backward(results, grads)
    return [*(result.detach() for result in results), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


def compare(ours: Function, theirs: Function, *inputs: Tensor) -> None:
    """With the plain modules in fp64; in bf16, no further from that than twice what eager bf16 operations are."""
    dtype = inputs[0].dtype
    found = with_gradients(ours, *inputs)
    exact = with_gradients(theirs, *(tensor.double() for tensor in inputs))
    eager = with_gradients(theirs, *inputs)
    assert len(found) == len(exact) > len(inputs)
    for our, right, plain in zip(found, exact, eager, strict=True):
        assert our.dtype is dtype and our.shape == right.shape
        allowed = 2e-6 * right.norm() if dtype is torch.float32 else 2 * (plain.double() - right).norm()
        assert (our.double() - right).norm() <= allowed


def norm_of(kind: type[nn.Module]) -> Callable[[Tensor, Tensor], Tensor]:
    """In fp64 the module would compute in fp32 all the same, so that its formula is written out for that."""

    def norm(x: Tensor, weight: Tensor) -> Tensor:
        if x.dtype is torch.float64:
            offset = 1.0 if kind is Gemma3RMSNorm else 0.0
            return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * (weight + offset)
        return torch.func.functional_call(kind(len(weight), eps=1e-5), {"weight": weight}, (x,))  # pyright: ignore

    return norm


@DTYPES
@pytest.mark.parametrize(("ours", "kind"), [(LLAMA, LlamaRMSNorm), (GEMMA, Gemma3RMSNorm)])
@pytest.mark.parametrize("shape", [(5, 16), (3, 70, 48), (2, 300, 3, 64)])
def test_a_norm_is_the_models_own(ours: Norm, kind: type[nn.Module], shape, dtype: torch.dtype) -> None:
    x, weight = random(*shape, dtype=dtype), random(shape[-1], dtype=dtype, seed=1)
    compare(ours, norm_of(kind), x, weight)


@DTYPES
@pytest.mark.parametrize("is_gelu", [False, True])
@pytest.mark.parametrize("shape", [(1, 16), (7, 48), (2, 50, 320)])
def test_a_gated_activation_is_the_models_own(is_gelu: bool, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    def plain(gate: Tensor, up: Tensor) -> Tensor:
        return (gelu(gate, approximate="tanh") if is_gelu else silu(gate)) * up

    gate, up = random(*shape, dtype=dtype), random(*shape, dtype=dtype, seed=1)
    compare(lambda gate, up: gated(gate, up, gelu=is_gelu), plain, gate, up)


@DTYPES
@pytest.mark.parametrize(("batch", "length"), [(3, 1), (1, 50), (2, 7)])
@pytest.mark.parametrize("angles_each", [False, True])
def test_a_rotation_is_the_models_own(batch: int, length: int, angles_each: bool, dtype: torch.dtype) -> None:
    """Also where the two halves of a head have other angles, which no model has."""
    query, key = (random(batch, length, h, 64, dtype=dtype, seed=h).transpose(1, 2) for h in (9, 3))
    cos, sin = (random(batch if angles_each else 1, length, 64, dtype=dtype, seed=s) for s in (5, 6))

    def turned(function: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., tuple[Tensor, Tensor]]:
        return lambda query, key: function(query, key, cos.to(query.dtype), sin.to(query.dtype))

    compare(turned(rotate), turned(apply_rotary_pos_emb), query, key)


@DTYPES
def test_without_gradients_the_same_bits_come_out(dtype: torch.dtype) -> None:
    x, weight = random(40, 64, dtype=dtype), random(64, dtype=dtype, seed=1)
    query, key, cos = (random(1, 2, 20, 64, dtype=dtype, seed=s) for s in (2, 3, 4))
    cases: list[tuple[Function, tuple[Tensor, ...]]] = [
        (LLAMA, (x, weight)),
        (lambda gate, up: gated(gate, up, gelu=False), (x, x + 1)),
        (lambda query, key: rotate(query, key, cos[:, 0], cos[:, 1]), (query, key)),
    ]
    for function, inputs in cases:
        results = function(*inputs)
        for one, other in zip(
            results if isinstance(results, tuple) else (results,), with_gradients(function, *inputs), strict=False
        ):
            assert torch.equal(one, other)


@DTYPES
def test_extremes_come_out_as_numbers_and_damage_shows(dtype: torch.dtype) -> None:
    gate = torch.tensor([-1e30, -200.0, -90.0, -0.0, 0.0, 90.0, 200.0, 1e18] * 2, dtype=dtype)
    up = torch.ones_like(gate)
    found = gated(gate, up, gelu=False)
    torch.testing.assert_close(found, silu(gate), atol=1e-6, rtol=1e-2, equal_nan=False)
    gate[3] = torch.nan
    assert gated(gate, up, gelu=False).isnan().tolist() == gate.isnan().tolist()
    assert LLAMA(gate, up).isnan().all()


def test_the_same_work_gives_the_same_bits() -> None:
    x, weight = random(501, 64, dtype=torch.bfloat16), random(64, dtype=torch.bfloat16, seed=1)
    first, second = with_gradients(LLAMA, x, weight), with_gradients(LLAMA, x, weight)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
