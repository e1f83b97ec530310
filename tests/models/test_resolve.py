from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
import torch
from safetensors.torch import load_file
from tiny_checkpoint import CHATML

from rzero.errors import MissingExtraError, ModelError
from rzero.models.open import open_model
from rzero.models.resolve import resolve

_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.layers": "blk",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}


def write_gguf(checkpoint: Path, file: Path) -> None:
    """Write a Llama checkpoint as a GGUF file in fp32, the way llama.cpp's converter lays it out."""
    config = json.loads((checkpoint / "config.json").read_text())
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text())
    vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].__getitem__)
    special = {token["content"] for token in tokenizer["added_tokens"]}
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([gguf.TokenType.CONTROL if t in special else gguf.TokenType.NORMAL for t in vocabulary])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_chat_template(CHATML)
    for name, tensor in load_file(checkpoint / "model.safetensors").items():
        heads = {"q": config["num_attention_heads"], "k": config["num_key_value_heads"]}
        if name.endswith(("q_proj.weight", "k_proj.weight")):  # llama.cpp interleaves the rotary halves
            by_head = tensor.unflatten(0, (heads[name.split("_proj")[0][-1]], 2, -1))
            tensor = by_head.transpose(1, 2).reshape(tensor.shape)
        for ours, theirs in _NAMES.items():
            name = name.replace(ours, theirs)
        writer.add_tensor(name, tensor.float().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def gguf_file(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(llama, file)
    return file


def test_directory_is_used_where_it_is(llama: Path, tmp_path: Path) -> None:
    assert resolve(str(llama), store=tmp_path / "store") == llama
    assert not (tmp_path / "store").exists()


def test_gguf_file_is_converted_once(gguf_file: Path, llama: Path, tmp_path: Path) -> None:
    converted = resolve(str(gguf_file), store=tmp_path / "store")
    assert converted.parent == tmp_path / "store"
    assert converted.name.startswith("tiny-")
    assert [entry.name for entry in converted.parent.iterdir()] == [converted.name]
    before = (converted / "model.safetensors").stat()
    assert resolve(str(gguf_file), store=tmp_path / "store") == converted
    assert (converted / "model.safetensors").stat() == before

    model = open_model(converted, dtype="float32", device="cpu")
    original = open_model(llama, dtype="bfloat16", device="cpu")
    tokens = torch.tensor([[5, 17, 200, 31, 8]])
    with torch.no_grad():
        expected = original.module.float()(input_ids=tokens).logits
        found = model.module(input_ids=tokens).logits
    assert torch.allclose(found, expected, atol=1e-3, rtol=1e-3)
    assert model.stop_ids == original.stop_ids
    text = "What is <|im_end|> 17+5?\n"
    assert model.tokenizer(text)["input_ids"] == original.tokenizer(text)["input_ids"]


def test_other_content_under_the_same_name_is_another_model(gguf_file: Path, tmp_path: Path) -> None:
    first = resolve(str(gguf_file), store=tmp_path / "store")
    changed = tmp_path / gguf_file.name
    content = bytearray(gguf_file.read_bytes())
    content[-10] ^= 1
    changed.write_bytes(content)
    assert resolve(str(changed), store=tmp_path / "store") != first


@pytest.mark.parametrize("share", [0.0005, 0.02, 0.5, 0.999])
def test_truncated_gguf(gguf_file: Path, tmp_path: Path, share: float) -> None:
    content = gguf_file.read_bytes()
    file = tmp_path / "cut.gguf"
    file.write_bytes(content[: max(4, int(len(content) * share))])
    with pytest.raises(ModelError, match="cut off or malformed") as raised:
        resolve(str(file), store=tmp_path / "store")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("content", [b"", b"GGUF", b"PK\x03\x04 a zip file, not a model", b"GGUF" + b"\x63" * 40])
def test_file_that_is_no_gguf(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "not.gguf"
    file.write_bytes(content)
    with pytest.raises(ModelError, match="is no GGUF file of version 2 or 3"):
        resolve(str(file), store=tmp_path / "store")


def test_gguf_of_a_vocabulary_alone(tmp_path: Path) -> None:
    file = tmp_path / "vocabulary.gguf"
    file.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + bytes(16))
    with pytest.raises(ModelError, match="holds no tensors"):
        resolve(str(file), store=tmp_path / "store")


def test_missing_extra(gguf_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingExtraError, match=r'pip install "rzero\[gguf\]"'):
        resolve(str(gguf_file), store=tmp_path / "store")


def test_file_of_another_kind(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"x")
    with pytest.raises(ModelError, match=r"is a file but no \.gguf file"):
        resolve(str(file), store=tmp_path)


@pytest.mark.parametrize("source", ["nonesuch", "/nonesuch/model", "./none/such", "a/b/c", "model.gguf"])
def test_path_that_does_not_exist(source: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        resolve(source, store=tmp_path)


def test_hub_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="no local path, and the hub did not give it") as raised:
        resolve("nobody/nonesuch", store=tmp_path)
    assert "\n" not in str(raised.value)


def test_mistakes_are_found_before_anything_heavy_is_imported(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "no.gguf").write_bytes(b"nothing")
    program = """
import sys
from pathlib import Path
from rzero.errors import ModelError
from rzero.models.resolve import resolve
for source in sys.argv[1:]:
    try:
        resolve(source, store=Path("store"))
    except ModelError:
        continue
    raise SystemExit(f"{source} passed")
print(sorted({"torch", "transformers", "huggingface_hub", "gguf"} & set(sys.modules)))
"""
    sources = [str(tmp_path / "broken"), str(tmp_path / "no.gguf"), "/nonesuch"]
    done = subprocess.run([sys.executable, "-c", program, *sources], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
