from __future__ import annotations

import copy
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from rzero.config import LoraConfig
from rzero.errors import ConfigError, MissingExtraError, ModelError
from rzero.models.checkpoint import check_directory
from rzero.models.head import hidden_states
from rzero.models.language_model import LanguageModel
from rzero.models.lora import OLDEST, merge, merged_weights, new_adapter, open_adapter, require_peft
from rzero.models.open import open_model
from rzero.models.save import save_model

TOKENS = torch.tensor([[5, 17, 200, 31, 8]])
LORA = LoraConfig(rank=4, alpha=8)


def trained(base: LanguageModel, *, seed: int = 0, options: LoraConfig = LORA) -> LanguageModel:
    """An adapter as training might leave it: B is no longer zero."""
    model = new_adapter(base, options, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.trained.values():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def saved(model: LanguageModel, directory: Path) -> Path:
    directory.mkdir()
    save_model(model, directory)
    return directory


def logits(model: LanguageModel) -> torch.Tensor:
    with torch.no_grad():
        return model.head.logits(hidden_states(model.module, input_ids=TOKENS))


@pytest.fixture
def base(llama: Path) -> LanguageModel:
    return open_model(llama, dtype="float32", device="cpu")


def storages(*models: LanguageModel) -> dict[int, int]:
    """Bytes of each distinct piece of memory that parameters and buffers lie in."""
    tensors = [t for model in models for t in (*model.module.parameters(), *model.module.buffers())]
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}


def test_many_adapters_are_one_base_in_memory(base: LanguageModel) -> None:
    alone = storages(base)
    models = [trained(base, seed=seed) for seed in range(3)]
    own = sum(p.numel() * p.element_size() for model in models for p in model.trained.values())
    together = storages(base, *models)
    assert alone.items() <= together.items()
    assert sum(together.values()) == sum(alone.values()) + own
    assert len({id(p) for model in models for p in model.trained.values()}) == 3 * len(models[0].trained)
    assert all(model.head.weight is base.head.weight for model in models)


def test_adapters_do_not_see_each_other(base: LanguageModel) -> None:
    """Used in turns, each gives what it gives alone; the base stays as it was."""
    plain = logits(base)
    first, second = trained(base, seed=1), trained(base, seed=2)
    alone = [logits(first), logits(second)]
    assert not torch.allclose(alone[0], plain) and not torch.allclose(*alone)
    for model, expected in ((second, alone[1]), (base, plain), (first, alone[0]), (second, alone[1])):
        assert torch.equal(logits(model), expected)


def test_a_new_adapter_changes_nothing_and_follows_its_seed(base: LanguageModel) -> None:
    before = torch.random.get_rng_state()
    models = [new_adapter(base, LORA, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(logits(models[0]), logits(base))
    first, again, other = (model.trained for model in models)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
    assert not any(parameter.requires_grad for parameter in models[0].module.parameters())


@pytest.mark.parametrize(
    ("targets", "layers"),
    [((), {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}), (("q_proj",), {"q_proj"})],
)
def test_target_modules(base: LanguageModel, targets: tuple[str, ...], layers: set[str]) -> None:
    adapter = new_adapter(base, LoraConfig(rank=2, target_modules=targets), seed=0)
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in adapter.trained} == layers


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma2", "gpt2", "phi"])
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_the_file_is_peft_s(checkpoint: Callable[..., Path], tmp_path: Path, architecture: str) -> None:
    """peft and transformers compute the same from it, and so do we when we open it again."""
    model = trained(open_model(checkpoint(architecture), dtype="float32", device="cpu"))
    directory = saved(model, tmp_path / "adapter")
    check_directory(directory)
    with torch.no_grad():
        expected = model.module(input_ids=TOKENS).logits
        by_peft = peft.AutoPeftModelForCausalLM.from_pretrained(str(directory))(input_ids=TOKENS).logits
        by_transformers = AutoModelForCausalLM.from_pretrained(directory)(input_ids=TOKENS).logits
    assert model.base is not None and not torch.allclose(expected, logits(model.base))
    assert torch.equal(by_peft, expected)
    assert torch.equal(by_transformers, expected)
    assert torch.equal(logits(model), expected)
    assert torch.equal(logits(open_model(directory, dtype="float32", device="cpu")), expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_same_adapter_gives_the_same_bytes(llama: Path, tmp_path: Path, dtype: Any) -> None:
    base = open_model(llama, dtype=dtype, device="cpu")
    first = saved(trained(base), tmp_path / "first")
    again = saved(open_adapter(first, base=base), tmp_path / "again")
    contents = {file.name: file.read_bytes() for file in first.iterdir()}
    assert {file.name: file.read_bytes() for file in again.iterdir()} == contents
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} < contents.keys()
    assert "model.safetensors" not in contents
    names = json.loads(contents["adapter_config.json"])["target_modules"]
    assert names == sorted(names)  # of a set, the order would be another one in another process


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "phi"])
def test_merged_is_the_adapter(checkpoint: Callable[..., Path], tmp_path: Path, architecture: str) -> None:
    model = trained(open_model(checkpoint(architecture), dtype="float32", device="cpu"))
    expected = logits(model)
    whole = merge(model)
    assert whole is model.base
    plain = AutoModelForCausalLM.from_pretrained(saved(whole, tmp_path / "whole"))
    with torch.no_grad():
        torch.testing.assert_close(plain(input_ids=TOKENS).logits, expected, rtol=1e-5, atol=1e-5)
    assert not (tmp_path / "whole" / "adapter_config.json").exists()
    torch.testing.assert_close(logits(model), expected, rtol=1e-5, atol=1e-5)


def test_without_peft(monkeypatch: pytest.MonkeyPatch, base: LanguageModel) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r'peft, which is not installed; run: pip install "rzero\[lora\]"'):
        new_adapter(base, LORA, seed=0)


def test_an_old_peft(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A distribution of that name and an older version, found first."""
    (tmp_path / "peft-0.1.0.dist-info").mkdir()
    (tmp_path / "peft-0.1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: peft\nVersion: 0.1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match=rf"need peft {OLDEST}, 0.1.0 is installed; run: pip install"):
        require_peft()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("query", r"has no 'query'; name some of down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj$"),
        ("lm_head", "an embedding or the output head cannot have an adapter"),
        ("embed_tokens", "an embedding or the output head cannot have an adapter"),
        ("norm", "name linear layers"),
    ],
)
def test_targets_that_cannot_be(base: LanguageModel, target: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"lora.target_modules=q_proj,{target}.*{message}"):
        new_adapter(base, LoraConfig(rank=2, target_modules=("q_proj", target)), seed=0)


@pytest.fixture
def own(llama: Path, tmp_path: Path) -> Path:
    """An adapter, in ``tmp_path / "adapter"``, of a base model in ``tmp_path / "base"``."""
    place = Path(shutil.copytree(llama, tmp_path / "base"))
    return saved(trained(open_model(place, dtype="float32", device="cpu")), tmp_path / "adapter")


def test_a_base_model_that_is_gone(own: Path) -> None:
    (own.parent / "base").rename(own.parent / "elsewhere")
    with pytest.raises(ModelError, match=r"adapter of the base model '.*/base', which is no directory here; put"):
        open_model(own, device="cpu")


def test_a_base_model_that_is_another(own: Path) -> None:
    file = own.parent / "base" / "model.safetensors"
    tensors = load_file(file)
    save_file({name: tensor + 1e-3 for name, tensor in tensors.items()}, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"of a base model with fingerprint \w{16}, but .*/base has \w{16}; put"):
        open_model(own, device="cpu")


def test_an_adapter_that_another_program_made(own: Path) -> None:
    """It opens, without the check of its base that only our record allows."""
    (own / "base.json").unlink()
    assert open_model(own, device="cpu").base is not None


def edit(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no weights": (lambda path: (path / "adapter_model.safetensors").unlink(), "but no adapter_model.safetensors"),
    "cut off": (lambda path: (path / "adapter_model.safetensors").write_bytes(b"\0" * 9), "header"),
    "no JSON": (lambda path: (path / "adapter_config.json").write_text("{"), "cannot be read as JSON"),
    "other method": (lambda path: edit(path / "adapter_config.json", peft_type="IA3"), "peft_type 'IA3' is not LORA"),
    "no method": (
        lambda path: edit(path / "adapter_config.json", peft_type="?"),
        r"adapter_config.json cannot be used \(ValueError: peft_type",
    ),
    "other rank": (lambda path: edit(path / "adapter_config.json", r=5), r"28 weights are missing or are not what"),
    "other layers": (lambda path: edit(path / "adapter_config.json", target_modules=["q_proj"]), "24 weights are"),
    "bad record": (lambda path: (path / "base.json").write_text("[]"), "base.json cannot be read"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_told_in_one_line(own: Path, case: str) -> None:
    damage, message = DAMAGE[case]
    damage(own)
    with pytest.raises(ModelError, match=message) as raised:
        open_model(own, device="cpu")
    assert "\n" not in str(raised.value) and str(own) in str(raised.value)


def test_precision_is_the_base_s(llama: Path) -> None:
    base = open_model(llama, dtype="bfloat16", device="cpu")
    model = trained(base)
    assert {parameter.dtype for parameter in model.module.parameters()} == {torch.bfloat16}
    again = copy.copy(model)
    assert again.dtype == torch.bfloat16 and again.token_texts is base.token_texts


def test_merged_weights_are_those_of_a_merged_model_and_change_nothing(base: LanguageModel) -> None:
    model = trained(base)
    plain, adapted = logits(base), logits(model)
    weights = {name: weight.clone() for name, weight in merged_weights(model)}
    assert torch.equal(logits(base), plain) and torch.equal(logits(model), adapted)
    assert not any(weight.requires_grad for weight in weights.values())
    merged = merge(model)
    expected = dict(merged.module.named_parameters())
    assert weights.keys() == expected.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name])
    assert not torch.allclose(logits(merged), plain)
