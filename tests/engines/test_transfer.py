from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_model import make_model
from torch import Tensor, nn

from rzero.engines.transfer import Transfer, bit_sum, differing
from rzero.errors import EngineError


def send(module: nn.Module, source: object, dtype: torch.dtype = torch.float32) -> tuple[dict[str, Tensor], Transfer]:
    transfer = Transfer(module, source, dtype=dtype)  # pyright: ignore[reportArgumentType]
    return dict(transfer), transfer


def test_a_bit_sum_survives_what_engines_do_to_matrices() -> None:
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.bfloat16):
        one, other = (torch.randn(7, 5, generator=generator).to(dtype) for _ in range(2))
        whole = torch.cat([one, other, torch.zeros(3, 5, dtype=dtype)])
        assert bit_sum(whole.T) == (bit_sum(one) + bit_sum(other)) % 2**64
        changed = one.clone()
        changed[2, 3] = torch.nextafter(changed[2, 3], torch.tensor(9.0, dtype=dtype))
        assert bit_sum(changed) != bit_sum(one)


def test_large_tensors_are_summed_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = torch.randn(1000, dtype=torch.bfloat16)
    whole = bit_sum(tensor)
    monkeypatch.setattr("rzero.engines.transfer._CHUNK", 7)
    assert bit_sum(tensor) == whole


def test_weights_are_cast_and_tied_ones_go_once() -> None:
    module = make_model("qwen3").module  # tied
    sent, transfer = send(module, module.state_dict().items(), torch.bfloat16)
    assert sent.keys() == dict(module.named_parameters()).keys() == transfer.sums.keys()
    assert {tensor.dtype for tensor in sent.values()} == {torch.bfloat16}
    assert not any(tensor.requires_grad for tensor in sent.values())
    by_head, _ = send(module, ((name, value) for name, value in module.state_dict().items() if "embed" not in name))
    assert "lm_head.weight" not in by_head and "model.embed_tokens.weight" in by_head


def test_a_checkpoint_may_hold_more_than_the_model_uses(tmp_path: Path) -> None:
    module = make_model("llama").module
    module.save_pretrained(tmp_path)
    save_file(
        {name: value.contiguous() for name, value in module.state_dict().items()} | {"value_head": torch.ones(2)},
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    sent, _ = send(module, tmp_path)
    assert all(torch.equal(sent[name], value) for name, value in module.named_parameters())
    assert len(sent) == len(list(module.named_parameters()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value_head": torch.ones(2)}, "'value_head' is not in LlamaForCausalLM"),
        ({"model.norm.weight": torch.ones(2)}, r"'model.norm.weight' has shape \(2,\), LlamaForCausalLM has \(32,\)"),
        (
            {"model.norm.weight": None, "lm_head.weight": None},
            r"2 weights of .* did not come \(first: 'lm_head.weight'",
        ),
    ],
)
def test_pairs_must_be_those_of_the_model(change: dict[str, Tensor | None], message: str) -> None:
    module = make_model("llama").module
    pairs = {**dict(module.named_parameters()), **change}
    with pytest.raises(EngineError, match=message):
        send(module, ((name, value) for name, value in pairs.items() if value is not None))


def test_what_differs_is_named() -> None:
    sent = {"a.q.weight": 1, "a.k.weight": 2, "b.weight": 3, "c.weight": 4}
    joined = {"qk": ["q", "k"]}
    held = {"a.qk.weight": 3, "b.weight": 3, "a.qk.bias": 9}
    assert differing(sent, held, joined=joined) == []
    assert differing(sent, {**held, "b.weight": 4, "a.qk.weight": 4}, joined=joined) == ["a.qk.weight", "b.weight"]
    with pytest.raises(EngineError, match="whether they arrived cannot be told"):
        differing(sent, {"d.weight": 3}, joined=joined)
