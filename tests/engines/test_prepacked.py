from __future__ import annotations

import pytest
import torch
from tiny_model import make_model
from torch import nn

from rzero.engines import prepacked as module
from rzero.engines.base import SamplingParams
from rzero.engines.embedded import EmbeddedSampler
from rzero.engines.prepacked import prepacked


def lent_layers(model) -> int:
    return sum("forward" in vars(part) for part in model.module.modules()) + ("product" in vars(model.head))


@pytest.mark.parametrize("rows", [1, 17, 300])
def test_products_are_the_same_bits(rows: int) -> None:
    model = make_model("qwen2", dtype=torch.bfloat16)  # whose projections have biases
    layers = [part for part in model.module.get_decoder().modules() if type(part) is nn.Linear]
    inputs = [torch.randn(rows, layer.in_features).bfloat16() for layer in layers]
    hidden = torch.randn(rows, model.head.weight.shape[1]).bfloat16()
    with torch.inference_mode():
        expected = [*(layer(x) for layer, x in zip(layers, inputs, strict=True)), model.head.logits(hidden)]
        with prepacked(model):
            assert lent_layers(model) == len(layers) + 1 or not torch.ops.mkldnn._is_mkldnn_bf16_supported()
            found = [*(layer(x) for layer, x in zip(layers, inputs, strict=True)), model.head.logits(hidden)]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert lent_layers(model) == 0


def test_weights_that_changed_are_laid_out_anew() -> None:
    model = make_model(dtype=torch.bfloat16)
    sampler = EmbeddedSampler(model)
    params = SamplingParams(n=2, max_new_tokens=8, seed=0)
    first = sampler.generate([[5, 6, 7]], params)
    other = make_model(seed=1, dtype=torch.bfloat16)
    with torch.no_grad():
        for mine, new in zip(model.module.parameters(), other.module.parameters(), strict=True):
            mine.copy_(new)
    changed = sampler.generate([[5, 6, 7]], params)
    assert changed == EmbeddedSampler(other).generate([[5, 6, 7]], params)
    assert changed != first


def test_there_is_no_copy_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(dtype=torch.bfloat16)
    monkeypatch.setattr(module, "available_memory", lambda device: 1000)
    with prepacked(model):
        assert lent_layers(model) == 0


def test_fp32_is_left_alone() -> None:
    model = make_model()
    with prepacked(model):
        assert lent_layers(model) == 0
