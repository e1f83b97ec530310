from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer
from transformers.utils import logging

from rzero.errors import ConfigError, ModelError
from rzero.models.head import hidden_states
from rzero.models.open import open_model, open_outline, open_tokenizer

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": False},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"tie_word_embeddings": False},
    "gemma2": {"final_logit_softcapping": 5.0},
    "gpt2": {},
    "cohere": {"logit_scale": 0.25},
    "granite": {"logits_scaling": 4.0},
    "phi": {},  # its head has a bias
}


def edit_json(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def copy(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target / "copy"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_head_gives_the_module_s_logits(checkpoint: Callable[..., Path], architecture: str) -> None:
    model = open_model(checkpoint(architecture, **ARCHITECTURES[architecture]), dtype="float32", device="cpu")
    tokens = torch.tensor([[5, 17, 200, 31, 8]])
    with torch.no_grad():
        expected = model.module(input_ids=tokens).logits
        hidden = hidden_states(model.module, input_ids=tokens)
    assert torch.equal(model.head.logits(hidden), expected)
    unfinished = torch.nn.functional.linear(hidden, model.head.weight, model.head.bias)
    changes = architecture in ("gemma2", "cohere", "granite")
    assert torch.equal(unfinished, expected) is not changes
    assert (model.head.bias is not None) is (architecture == "phi")


def test_head_weight_is_the_live_parameter(checkpoint: Callable[..., Path]) -> None:
    tied = open_model(checkpoint("qwen2", tie_word_embeddings=True), dtype="float32", device="cpu")
    assert tied.head.weight is tied.module.get_input_embeddings().weight
    untied = open_model(checkpoint("qwen2", tie_word_embeddings=False), dtype="float32", device="cpu")
    assert untied.head.weight is untied.module.get_output_embeddings().weight
    assert untied.head.weight is not untied.module.get_input_embeddings().weight


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_opened_model(llama: Path, dtype: Any) -> None:
    model = open_model(llama, dtype=dtype, device="cpu")
    assert model.dtype == getattr(torch, dtype)
    assert {parameter.dtype for parameter in model.module.parameters()} == {model.dtype}
    assert model.device == torch.device("cpu")
    assert not model.module.training
    assert model.max_context == 128
    assert model.path == llama


def test_auto_dtype_is_usable_here(llama: Path) -> None:
    assert open_model(llama, device="cpu").dtype in (torch.float32, torch.bfloat16)


def test_stop_ids_are_collected_from_everywhere(llama: Path, tmp_path: Path) -> None:
    path = copy(llama, tmp_path)
    edit_json(path / "generation_config.json", eos_token_id=[0, 1])
    # <|endoftext|> by the tokenizer, <|im_start|> by the list, <|im_end|> because the template ends turns with it.
    assert open_model(path, device="cpu").stop_ids == {0, 1, 2}
    (path / "chat_template.jinja").unlink()
    assert open_model(path, device="cpu").stop_ids == {0, 1}


def test_no_end_token(llama: Path, tmp_path: Path) -> None:
    path = copy(llama, tmp_path)
    edit_json(path / "config.json", eos_token_id=None)
    edit_json(path / "generation_config.json", eos_token_id=None)
    edit_json(path / "tokenizer_config.json", eos_token=None)
    with pytest.raises(ModelError, match="no end token"):
        open_model(path, device="cpu")


def test_tokenizer_of_another_model(llama: Path, tmp_path: Path) -> None:
    path = copy(llama, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|image|>"]})
    tokenizer.save_pretrained(path)
    open_model(path, device="cpu")  # a special token beyond the embedding is never reached (Gemma 3 1B has one)
    tokenizer.add_tokens(["somewhat", "different"])
    tokenizer.save_pretrained(path)
    with pytest.raises(ModelError, match=r"2 tokens beyond the embedding's \d+ rows .*'somewhat'"):
        open_model(path, device="cpu")


def test_missing_weight(llama: Path, tmp_path: Path) -> None:
    path = copy(llama, tmp_path)
    weights = load_file(path / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights are missing.*layers\.1\.mlp\.up_proj"):
        open_model(path, device="cpu")


def test_misshapen_weight(llama: Path, tmp_path: Path) -> None:
    path = copy(llama, tmp_path)
    edit_json(path / "config.json", intermediate_size=40)
    with pytest.raises(ModelError, match="6 weights are missing or have another shape"):
        open_model(path, device="cpu")


def test_fewer_layers_in_the_config_than_in_the_weights(llama: Path, tmp_path: Path) -> None:
    path = copy(llama, tmp_path)
    edit_json(path / "config.json", num_hidden_layers=1)
    with pytest.raises(ModelError, match=r"9 weights .* no place.*layers\.1\."):
        open_model(path, device="cpu")


def test_output_head_that_is_not_understood(llama: Path, tmp_path: Path) -> None:
    path = copy(llama, tmp_path)
    edit_json(path / "config.json", logit_scale=2.0)  # Llama's own code ignores it
    with pytest.raises(ModelError, match="LlamaForCausalLM: its output head is not understood"):
        open_model(path, device="cpu")


def test_unknown_architecture(llama: Path, tmp_path: Path) -> None:
    path = copy(llama, tmp_path)
    edit_json(path / "config.json", model_type="nonesuch", architectures=["NonesuchForCausalLM"])
    with pytest.raises(ModelError, match="nonesuch") as raised:
        open_model(path, device="cpu")
    assert "\n" not in str(raised.value)


def test_model_with_code_of_its_own_is_refused(llama: Path, tmp_path: Path) -> None:
    path = copy(llama, tmp_path)
    auto = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    edit_json(path / "config.json", model_type="own", auto_map=auto)
    (path / "own.py").write_text("raise SystemExit('this code was run')")
    with pytest.raises(ModelError, match=r"model\.trust_remote_code=true"):
        open_model(path, device="cpu")


def test_no_tokenizer(llama: Path, tmp_path: Path) -> None:
    path = copy(llama, tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (path / name).unlink()
    with pytest.raises(ModelError, match="the tokenizer cannot be opened") as raised:
        open_tokenizer(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("device", ["nonesuch", "cuda:77"])
def test_unusable_device(llama: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.device="):
        open_model(llama, device=device)


def test_opening_is_silent_and_leaves_the_settings_alone(llama: Path, capfd: pytest.CaptureFixture[str]) -> None:
    logging.set_verbosity_info()
    try:
        open_model(llama, device="cpu")
        assert logging.get_verbosity() == logging.INFO
        assert logging.is_progress_bar_enabled()
    finally:
        logging.set_verbosity_warning()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2"])
def test_an_outline_is_the_model_without_its_weights(checkpoint: Callable[..., Path], architecture: str) -> None:
    path = checkpoint(architecture, **ARCHITECTURES.get(architecture, {}))
    edit_json(path / "generation_config.json", eos_token_id=[0, 1])
    model, outline = open_model(path, device="cpu"), open_outline(path)
    assert outline.device == torch.device("meta")
    assert (outline.stop_ids, outline.max_context) == (model.stop_ids, model.max_context)
    shapes, own = ({name: value.shape for name, value in m.module.state_dict().items()} for m in (model, outline))
    assert own == shapes
    assert outline.trained.keys() == model.trained.keys(), "tied weights are one here as well"
    assert outline.decode([70, 71, 1]) == model.decode([70, 71, 1])
    assert outline.token_texts == model.token_texts


def test_an_outline_is_checked_like_a_model(llama: Path, tmp_path: Path) -> None:
    path = copy(llama, tmp_path)
    edit_json(path / "config.json", model_type="unheard_of")
    with pytest.raises(ModelError, match="the model cannot be opened"):
        open_outline(path)
