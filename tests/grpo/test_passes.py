from __future__ import annotations

import dataclasses
import warnings

import pytest
import torch
from forms import PACKED, PADDED, Form, microbatches
from tiny_policy import random_groups, tiny_policy

from models.architectures import NOT_TAKING, TAKING, random_model
from rzero.grpo.batch import weighted_rows
from rzero.grpo.masters import MasterWeights
from rzero.grpo.passes import Passes
from rzero.models.head import OutputHead
from rzero.models.language_model import LanguageModel


def _model(name: str, dtype: torch.dtype = torch.float64) -> LanguageModel:
    module = random_model(name, dtype=dtype)
    return dataclasses.replace(tiny_policy(), module=module, head=OutputHead.of(module))


def _gradient(
    model: LanguageModel, form: Form, limit: int, *, checkpointing: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum of log-probabilities, and the gradient of a loss of them, all parameters as one vector."""
    groups = random_groups(4, longest=20)
    scored = [(g, [0.5 * i - 1 for i in range(len(g.rollouts))]) for g in groups]
    rows = weighted_rows(scored, normalization="token", max_new_tokens=20)
    passes = Passes(model, temperature=0.8, checkpointing=checkpointing)
    masters = MasterWeights(model.trained)
    total = torch.zeros((), dtype=torch.float64)
    with masters.gradients():
        for batch in microbatches(form, rows, limit, torch.float64):

            def loss(logprobs, rows, batch=batch):
                return (batch.weights[rows] * batch.advantages[rows] * (logprobs.exp() + logprobs)).sum()

            logprobs = passes.backward(batch, masters, loss)
            torch.testing.assert_close(passes.logprobs(batch), logprobs)
            total += logprobs.sum()
        grads = [torch.zeros_like(m) if m.grad is None else m.grad.clone() for m in masters.by_name.values()]
    return total, torch.cat([grad.flatten() for grad in grads])


@pytest.mark.parametrize("name", TAKING)
def test_a_prompt_held_once_has_the_gradient_of_its_copies(name: str) -> None:
    """Against the padded path, where the model's own attention runs; transformers' norms round to fp32 in all."""
    model = _model(name)
    total, expected = _gradient(model, PADDED, 1)
    packed = [(PACKED, limit) for limit in (1, 60, 9999)]
    for form, limit in [(PADDED, 100), *packed]:
        other_total, found = _gradient(model, form, limit)
        assert other_total.item() == pytest.approx(total.item(), rel=1e-6)
        assert (found - expected).norm() < 1e-6 * expected.norm()


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3_text"])
@pytest.mark.parametrize("form", [PACKED, PADDED])
def test_checkpointing_has_the_same_gradient(name: str, form: Form) -> None:
    model = _model(name)
    total, expected = _gradient(model, form, 60)
    checkpointed_total, found = _gradient(model, form, 60, checkpointing=True)
    assert checkpointed_total == total
    assert torch.equal(found, expected)
    assert not any("forward" in vars(layer) for layer in model.module.modules())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_lower_precisions(dtype: torch.dtype, tolerance: float) -> None:
    low = _model("qwen3", dtype)
    exact = _model("qwen3")
    with torch.no_grad():
        for parameter, source in zip(exact.module.parameters(), low.module.parameters(), strict=True):
            parameter.copy_(source)
    _, expected = _gradient(exact, PACKED, 60)
    _, found = _gradient(low, PACKED, 60)
    assert (found - expected).norm() < tolerance * expected.norm()


def test_an_architecture_that_cannot_be_packed_is_padded_with_one_warning() -> None:
    model = _model("bloom", torch.float32)
    rows = weighted_rows([(g, [1.0] * 4) for g in random_groups(2)], normalization="token", max_new_tokens=20)
    with pytest.warns(UserWarning, match="BloomForCausalLM does not let rzero do its attention") as caught:
        passes = Passes(model, temperature=1.0, checkpointing=False)
        batches = [passes.microbatch(part) for part in passes.parts(rows, 100)]
        logprobs = torch.cat([passes.logprobs(batch) for batch in batches])
    assert len(caught) == 1
    assert all(batch.layout is None for batch in batches)
    assert len(logprobs) == sum(len(row.completion_ids) for row in rows)


def test_an_architecture_that_can_is_packed_without_a_word() -> None:
    assert set(TAKING).isdisjoint(NOT_TAKING)
    rows = weighted_rows([(g, [1.0] * 4) for g in random_groups(2)], normalization="token", max_new_tokens=20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        passes = Passes(_model("qwen2"), temperature=1.0, checkpointing=False)
        assert all(passes.microbatch(part).layout is not None for part in passes.parts(rows, 100))
