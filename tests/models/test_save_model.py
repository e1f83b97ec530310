from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rzero.models.checkpoint import check_directory
from rzero.models.fingerprint import fingerprint
from rzero.models.open import open_model
from rzero.models.save import save_model
from rzero.types import Message, Prompt


def contents(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.iterdir()}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_saved_model_is_the_same_model(checkpoint: Callable[..., Path], tmp_path: Path, tied: bool, dtype: Any) -> None:
    model = open_model(checkpoint("qwen2", tie_word_embeddings=tied), dtype=dtype, device="cpu")
    with torch.no_grad():
        model.head.weight.mul_(1.5)  # as if trained
    save_model(model, tmp_path)
    check_directory(tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokens = torch.tensor([[5, 17, 200, 31, 8]])
    with torch.no_grad():
        assert torch.equal(plain(input_ids=tokens).logits, model.module(input_ids=tokens).logits)
    assert plain.dtype == model.dtype
    assert plain.config.dtype == model.dtype
    asked = Prompt(messages=(Message("user", "What is one and two?"),))
    reopened = open_model(tmp_path, dtype=dtype, device="cpu")
    assert reopened.render(asked) == model.render(asked)
    assert reopened.stop_ids == model.stop_ids
    assert AutoTokenizer.from_pretrained(tmp_path).chat_template == model.tokenizer.chat_template


def test_same_weights_give_the_same_bytes(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    saved = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        save_model(open_model(checkpoint("gemma2"), dtype="float32", device="cpu"), tmp_path / name)
        saved.append(contents(tmp_path / name))
    assert saved[0] == saved[1]
    # and once more after a round trip
    (tmp_path / "third").mkdir()
    save_model(open_model(tmp_path / "first", dtype="float32", device="cpu"), tmp_path / "third")
    assert contents(tmp_path / "third") == saved[0]


def test_generation_config_that_transformers_calls_invalid_can_be_saved(llama: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(llama, tmp_path / "copy"))
    config = path / "generation_config.json"
    config.write_text(json.dumps({"eos_token_id": [0, 1], "temperature": 0.6}))  # without do_sample
    (tmp_path / "saved").mkdir()
    save_model(open_model(path, device="cpu"), tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / config.name).read_text())
    assert saved["eos_token_id"] == [0, 1] and "temperature" not in saved


def test_fingerprint_names_the_content(llama: Path, tmp_path: Path) -> None:
    model = open_model(llama, dtype="float32", device="cpu")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        save_model(model, tmp_path / name)
    first = fingerprint(tmp_path / "first")
    assert fingerprint(tmp_path / "second") == first
    (tmp_path / "second" / "README.md").write_text("of no matter")
    assert fingerprint(tmp_path / "second") == first
    for name in ("config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"):
        file = tmp_path / "second" / name
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert fingerprint(tmp_path / "second") != first, name
        file.write_bytes(content)
    assert fingerprint(tmp_path / "second") == first
