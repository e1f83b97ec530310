from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rzero.grpo.logprobs import token_logprobs
from rzero.models.head import OutputHead


def _head(*, vocab: int = 11, width: int = 5, bias: bool = False, scale: float = 1.0, softcap: float | None = None):
    torch.manual_seed(1)
    return OutputHead(nn.Linear(width, vocab, bias=bias).double(), scale=scale, softcap=softcap)


def _plain(hidden: Tensor, head: OutputHead, targets: Tensor, temperature: float) -> Tensor:
    return (head.logits(hidden) / temperature).log_softmax(-1).gather(-1, targets[:, None])[:, 0]


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
@pytest.mark.parametrize(
    ("bias", "scale", "softcap", "temperature"),
    [(False, 1.0, None, 1.0), (True, 1.0, None, 0.7), (False, 0.3, 2.0, 1.0), (True, 2.0, 1.5, 1.3)],
)
def test_value_and_gradient(chunk: int, bias: bool, scale: float, softcap: float | None, temperature: float) -> None:
    head = _head(bias=bias, scale=scale, softcap=softcap)
    hidden = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(11, (7,))
    parameters = [hidden, head.weight] + ([head.bias] if head.bias is not None else [])

    def chunked(*_: Tensor) -> Tensor:
        return token_logprobs(hidden, head, targets, temperature=temperature, chunk=chunk)

    torch.testing.assert_close(chunked(), _plain(hidden, head, targets, temperature), rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(chunked, parameters)


def test_gradients_of_a_tied_weight_add_up() -> None:
    head = _head()
    tokens, targets = torch.randint(11, (6,)), torch.randint(11, (6,))

    def of_embedding(weight: Tensor) -> Tensor:
        return token_logprobs(torch.tanh(head.weight[tokens]), head, targets, temperature=1.0, chunk=4)

    assert torch.autograd.gradcheck(of_embedding, [head.weight])


def test_frozen_head_and_frozen_hidden() -> None:
    head = _head(bias=True)
    hidden = torch.randn(4, 5, dtype=torch.float64)
    targets = torch.zeros(4, dtype=torch.long)
    token_logprobs(hidden, head, targets, temperature=1.0).sum().backward()
    assert head.weight.grad is not None and hidden.grad is None
    head.weight.requires_grad_(False).grad = None
    token_logprobs(hidden.requires_grad_(), head, targets, temperature=1.0).sum().backward()
    assert head.weight.grad is None and hidden.grad is not None


def test_no_tokens() -> None:
    head = _head()
    hidden = torch.empty(0, 5, dtype=torch.float64, requires_grad=True)
    token_logprobs(hidden, head, torch.empty(0, dtype=torch.long), temperature=1.0).sum().backward()
    assert head.weight.grad is not None and not head.weight.grad.any()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_lower_precisions(dtype: torch.dtype, tolerance: float) -> None:
    exact, low = _head(vocab=500, width=64, softcap=30.0), _head(vocab=500, width=64, softcap=30.0)
    with torch.no_grad():
        exact.weight.copy_(exact.weight.to(dtype))
        low._linear.to(dtype)
    hidden = torch.randn(50, 64).to(dtype)
    targets, grad = torch.randint(500, (50,)), torch.randn(50)
    found = token_logprobs(hidden.requires_grad_(), low, targets, temperature=0.9, chunk=16)
    assert found.dtype == torch.float32
    found.backward(grad)
    wide = hidden.detach().double().requires_grad_()
    expected = _plain(wide, exact, targets, 0.9)
    expected.backward(grad.double())
    for got, want in ((found, expected), (hidden.grad, wide.grad), (low.weight.grad, exact.weight.grad)):
        assert got is not None and want is not None
        assert (got.double() - want).norm() / want.norm() < tolerance


def test_no_array_of_all_tokens_by_vocabulary() -> None:
    tokens, vocab = 256, 1000
    head = OutputHead(nn.Linear(8, vocab, bias=False), scale=1.0, softcap=20.0)
    hidden = torch.randn(tokens, 8, requires_grad=True)
    with torch.profiler.profile(profile_memory=True) as profile:
        token_logprobs(hidden, head, torch.zeros(tokens, dtype=torch.long), temperature=0.9, chunk=16).sum().backward()
    largest = max(event.cpu_memory_usage for event in profile.events() or ())
    assert 16 * vocab * 4 <= largest < tokens * vocab * 4 / 4
