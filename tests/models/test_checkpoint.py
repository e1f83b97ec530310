from __future__ import annotations

import json
from pathlib import Path

import pytest

from rzero.errors import ModelError
from rzero.models.checkpoint import check_directory


def safetensors(header: object, num_bytes: int) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(num_bytes)


def tensor(start: int, end: int, *shape: int) -> dict[str, object]:
    return {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}


WHOLE = safetensors({"__metadata__": {"format": "pt"}, "a": tensor(0, 16, 2, 2), "b": tensor(16, 20, 1)}, 20)


def make(directory: Path, **files: bytes | str) -> Path:
    contents: dict[str, bytes | str] = {"config.json": '{"model_type": "llama"}', "model.safetensors": WHOLE}
    for name, content in {**contents, **files}.items():
        if content:
            (directory / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return directory


def test_whole_checkpoint_passes(tmp_path: Path) -> None:
    check_directory(make(tmp_path))


def test_whole_sharded_checkpoint_passes(tmp_path: Path) -> None:
    index = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})
    parts = {"model-1.safetensors": WHOLE, "model-2.safetensors": WHOLE}
    check_directory(make(tmp_path, **parts, **{"model.safetensors": "", "model.safetensors.index.json": index}))


BAD: dict[str, tuple[dict[str, bytes | str], str]] = {
    "no config": ({"config.json": ""}, "no config.json"),
    "config is no JSON": ({"config.json": "{"}, "cannot be read as JSON"),
    "config is a list": ({"config.json": "[]"}, "no JSON object"),
    "config of nothing": ({"config.json": '{"a": 1}'}, "no model_type"),
    "no weights": ({"model.safetensors": ""}, "has no weights"),
    "pickles": ({"model.safetensors": "", "pytorch_model.bin": "x"}, "pickles"),
    "cut off in the data": ({"model.safetensors": WHOLE[:-1]}, "where its header promises"),
    "longer than promised": ({"model.safetensors": WHOLE + b"x"}, "where its header promises"),
    "cut off in the header": ({"model.safetensors": WHOLE[:40]}, "cut off early"),
    "cut off in the length": ({"model.safetensors": WHOLE[:5]}, "cut off early"),
    "a web page": ({"model.safetensors": b"<!DOCTYPE html><html>not found</html>"}, "cut off early"),
    "header is no JSON": ({"model.safetensors": (4).to_bytes(8, "little") + b"abcd"}, "malformed"),
    "header is a list": ({"model.safetensors": safetensors([], 0)}, "malformed"),
    "tensor without offsets": (
        {"model.safetensors": safetensors({"a": {"dtype": "F32", "shape": []}}, 4)},
        "malformed",
    ),
    "shape does not fill": ({"model.safetensors": safetensors({"a": tensor(0, 16, 2, 3)}, 16)}, "does not fill"),
    "overlap": ({"model.safetensors": safetensors({"a": tensor(0, 8, 2), "b": tensor(4, 12, 2)}, 12)}, "overlap"),
    "gap": ({"model.safetensors": safetensors({"a": tensor(0, 8, 2), "b": tensor(12, 20, 2)}, 20)}, "gap"),
    "git-lfs pointer": ({"model.safetensors": "version https://git-lfs.github.com/spec/v1\noid sha256:0"}, "cut off"),
    "empty index": ({"model.safetensors": "", "model.safetensors.index.json": "{}"}, "no weight_map"),
    "missing shard": (
        {"model.safetensors": "", "model.safetensors.index.json": '{"weight_map": {"a": "model-1.safetensors"}}'},
        "1 of 1 weight files are missing",
    ),
    "shard outside": (
        {"model.safetensors": "", "model.safetensors.index.json": '{"weight_map": {"a": "../model.safetensors"}}'},
        "are missing",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_damage_is_told_in_one_line(tmp_path: Path, case: str) -> None:
    files, message = BAD[case]
    with pytest.raises(ModelError, match=message) as raised:
        check_directory(make(tmp_path, **files))
    assert "\n" not in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        check_directory(tmp_path / "none")


def test_truncated_second_shard(tmp_path: Path) -> None:
    index = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})
    parts = {"model-1.safetensors": WHOLE, "model-2.safetensors": WHOLE[:-3]}
    make(tmp_path, **parts, **{"model.safetensors": "", "model.safetensors.index.json": index})
    with pytest.raises(ModelError, match=r"model-2\.safetensors"):
        check_directory(tmp_path)


def test_real_checkpoint_passes(llama: Path) -> None:
    check_directory(llama)
