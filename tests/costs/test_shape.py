"""Sizes that follow from a shape, against what their makers published and against values worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rzero.config import LoraConfig
from rzero.costs.shape import Shape, causal
from rzero.costs.shapes import CONFIGS, find_shape
from rzero.errors import ConfigError
from rzero.evolve.plan import adapter_size

PUBLISHED = {
    "Qwen3-0.6B": 0.596e9,
    "Qwen3-1.7B": 1.72e9,
    "Qwen3-4B": 4.02e9,
    "Qwen3-8B": 8.19e9,
    "Qwen3-14B": 14.77e9,
    "Qwen3-32B": 32.76e9,
    "Llama-3-70B": 70.55e9,
    "SmolLM2-135M": 134.5e6,
}
"""Parameters as counted on the published checkpoints."""
BY_HAND = Shape(layers=2, hidden=8, heads=4, kv_heads=2, head_dim=3, intermediate=10, vocab=50)


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_are_the_published_ones(name: str) -> None:
    _, shape = find_shape(name)
    assert shape.parameters == pytest.approx(PUBLISHED[name], rel=0.005)


def test_sizes_by_hand() -> None:
    """Queries 12 wide, keys 6: 8 x (12 + 6 + 6 + 12) = 288 and 3 x 8 x 10 = 240 in each layer."""
    assert BY_HAND.layer_weights == 2 * (288 + 240)
    assert BY_HAND.parameters == 1056 + 5 * 8 + 50 * 8
    assert BY_HAND.kv_bytes(2) == 2 * 2 * 6 * 2
    assert BY_HAND.forward(tokens=3, attended=causal(3), predicted=1) == 2 * 1056 * 3 + 4 * 2 * 12 * 6 + 2 * 400
    assert BY_HAND.adapter_parameters(1) == 2 * ((8 + 12) * 2 + (8 + 6) * 2 + 3 * 18)


def test_cache_of_a_published_shape() -> None:
    """Qwen3-4B: 36 layers of 8 heads of 128 for keys and for values, in bf16: 144 KiB a token."""
    assert find_shape("Qwen3-4B")[1].kv_bytes(2) == 144 * 1024


def test_the_bundled_model_is_what_its_weights_are(micro: Path) -> None:
    from safetensors import safe_open

    with safe_open(micro / "model.safetensors", "pt") as file:
        entries = sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118  it is no dict
    assert find_shape("micro")[1].parameters == entries == find_shape(str(micro))[1].parameters


def test_an_adapter_is_as_large_as_its_model_says(micro: Path) -> None:
    assert find_shape("micro")[1].adapter_parameters(4) == adapter_size(micro, LoraConfig(rank=4))


def test_a_checkpoint_without_head_dim(micro: Path) -> None:
    config = json.loads((micro / "config.json").read_text())
    sizes = Shape.of({key: value for key, value in config.items() if key != "head_dim"})
    assert sizes.head_dim * sizes.heads == sizes.hidden


@pytest.mark.parametrize("name", ["Qwen3-4B-shape", "qwen3-4b", "QWEN3-4B-SHAPE"])
def test_names_are_found_however_they_are_written(name: str) -> None:
    assert find_shape(name)[0] == "Qwen3-4B"


@pytest.mark.parametrize(
    ("name", "said"),
    [("Qwen3-40B", "did you mean Qwen3-4B"), ("micor", "did you mean micro"), ("zzz", "Shapes: Qwen3-0.6B")],
)
def test_unknown_names(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        find_shape(name)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"model_type": "mamba"}', '{"hidden_size": "x"}'])
def test_a_config_of_another_kind(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match="nearest in size"):
        find_shape(str(tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        find_shape(str(tmp_path))


@given(st.integers(1, 60), st.integers(1, 60))
def test_a_row_looks_at_what_its_parts_look_at(first: int, more: int) -> None:
    assert causal(first + more) == causal(first) + causal(more) + first * more
