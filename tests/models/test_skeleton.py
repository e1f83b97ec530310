from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rzero.config import LoraConfig
from rzero.models.lora import new_adapter
from rzero.models.open import open_model
from rzero.models.save import save_model
from rzero.models.skeleton import fill, skeleton


def contents(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir()}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_filled_it_is_saved_as_the_model_was(
    checkpoint: Callable[..., Path], tmp_path: Path, tied: bool, dtype: Any
) -> None:
    model = open_model(checkpoint("qwen2", tie_word_embeddings=tied), dtype=dtype, device="cpu")
    empty = skeleton(model)
    assert all(parameter.is_meta for parameter in empty.module.parameters())
    weights = {name: parameter.detach().clone() for name, parameter in model.trained.items()}
    for name, saved in (("model", model), ("filled", fill(empty, weights))):
        (tmp_path / name).mkdir()
        save_model(saved, tmp_path / name)
    assert contents(tmp_path / "filled") == contents(tmp_path / "model")
    assert all(parameter.is_meta for parameter in empty.module.parameters())


def test_an_adapters_shares_the_base(llama: Path, tmp_path: Path) -> None:
    base = open_model(llama, dtype="float32", device="cpu")
    adapter = new_adapter(base, LoraConfig(rank=2), seed=0)
    empty = skeleton(adapter)
    assert empty.trained.keys() == adapter.trained.keys()
    assert {name for name, parameter in empty.module.named_parameters() if parameter.is_meta} == empty.trained.keys()
    weights = {name: parameter.detach().clone() for name, parameter in adapter.trained.items()}
    for name, saved in (("adapter", adapter), ("filled", fill(empty, weights))):
        (tmp_path / name).mkdir()
        save_model(saved, tmp_path / name)
    assert contents(tmp_path / "filled") == contents(tmp_path / "adapter")
