from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rzero.grpo.logprobs import backward_token_logprobs, token_logprobs
from rzero.models.head import OutputHead


def _head(*, vocab: int = 11, width: int = 5, bias: bool = False, scale: float = 1.0, softcap: float | None = None):
    torch.manual_seed(1)
    return OutputHead(nn.Linear(width, vocab, bias=bias).double(), scale=scale, softcap=softcap)


def _plain(hidden: Tensor, head: OutputHead, targets: Tensor, temperature: float) -> Tensor:
    return (head.logits(hidden) / temperature).log_softmax(-1).gather(-1, targets[:, None])[:, 0]


def _backward(hidden: Tensor, head: OutputHead, targets: Tensor, weights: Tensor, *, temperature: float, chunk: int):
    """Of the loss sum(weights x sin(logprobs)), whose gradient depends on the log-probabilities themselves."""
    wide = torch.promote_types(hidden.dtype, torch.float32)
    grads = [None if p is None else torch.zeros_like(p, dtype=wide) for p in (head.weight, head.bias)]
    logprobs, grad_hidden = backward_token_logprobs(
        hidden,
        head,
        targets,
        temperature=temperature,
        loss=lambda logprobs, rows: (weights[rows] * logprobs.sin()).sum(),
        weight_grad=grads[0],
        bias_grad=grads[1],
        chunk=chunk,
    )
    return logprobs, [grad_hidden, *(grad for grad in grads if grad is not None)]


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
@pytest.mark.parametrize(
    ("bias", "scale", "softcap", "temperature"),
    [(False, 1.0, None, 1.0), (True, 1.0, None, 0.7), (False, 0.3, 2.0, 1.0), (True, 2.0, 1.5, 1.3)],
)
@pytest.mark.parametrize("entries", [1, 30, 1 << 19])
def test_value_and_gradient(
    chunk: int,
    bias: bool,
    scale: float,
    softcap: float | None,
    temperature: float,
    entries: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rzero.grpo.logprobs.logits_at_once", lambda device: entries)
    head = _head(bias=bias, scale=scale, softcap=softcap)
    hidden = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    targets, weights = torch.randint(11, (7,)), torch.randn(7, dtype=torch.float64)
    expected = _plain(hidden, head, targets, temperature)
    parameters = [hidden, head.weight] + ([head.bias] if head.bias is not None else [])
    gradients = torch.autograd.grad((weights * expected.sin()).sum(), parameters)
    found, parts = _backward(hidden.detach(), head, targets, weights, temperature=temperature, chunk=chunk)
    alone = token_logprobs(hidden, head, targets, temperature=temperature, chunk=chunk)
    for got, want in zip([alone, found, *parts], [expected, expected, *gradients], strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_gradients_of_the_head_are_added() -> None:
    head, targets, hidden = _head(), torch.randint(11, (6,)), torch.randn(6, 5, dtype=torch.float64)
    total, once = torch.ones_like(head.weight), torch.zeros_like(head.weight)
    for weight_grad in (total, total, once):
        backward_token_logprobs(
            hidden,
            head,
            targets,
            temperature=1.0,
            loss=lambda logprobs, rows: logprobs.sum(),
            weight_grad=weight_grad,
            bias_grad=None,
        )
    torch.testing.assert_close(total, 1 + 2 * once)
    assert once.any()


def test_no_tokens() -> None:
    head = _head()
    found, (grad_hidden, weight_grad) = _backward(
        torch.empty(0, 5, dtype=torch.float64),
        head,
        torch.empty(0, dtype=torch.long),
        torch.empty(0),
        temperature=1.0,
        chunk=4,
    )
    assert (found.shape, grad_hidden.shape) == ((0,), (0, 5))
    assert not weight_grad.any()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_lower_precisions(dtype: torch.dtype, tolerance: float) -> None:
    exact, low = _head(vocab=500, width=64, softcap=30.0), _head(vocab=500, width=64, softcap=30.0)
    with torch.no_grad():
        exact.weight.copy_(exact.weight.to(dtype))
        low._linear.to(dtype)
    hidden = torch.randn(50, 64).to(dtype)
    targets, weights = torch.randint(500, (50,)), torch.randn(50)
    found, parts = _backward(hidden, low, targets, weights, temperature=0.9, chunk=16)
    assert (found.dtype, parts[1].dtype) == (torch.float32, torch.float32)
    wide = hidden.double().requires_grad_()
    expected = _plain(wide, exact, targets, 0.9)
    gradients = torch.autograd.grad((weights * expected.sin()).sum(), [wide, exact.weight])
    for got, want in zip([found, *parts], [expected, *gradients], strict=True):
        assert (got.double() - want).norm() / want.norm() < tolerance


def test_no_array_of_all_tokens_by_vocabulary() -> None:
    tokens, vocab = 256, 1000
    head = OutputHead(nn.Linear(8, vocab, bias=False), scale=1.0, softcap=20.0)
    hidden, targets = torch.randn(tokens, 8), torch.zeros(tokens, dtype=torch.long)
    with torch.profiler.profile(profile_memory=True) as profile:
        _backward(hidden, head, targets, torch.ones(tokens), temperature=0.9, chunk=16)
    largest = max(event.cpu_memory_usage for event in profile.events() or ())
    assert 16 * vocab * 4 <= largest < tokens * vocab * 4 / 4
