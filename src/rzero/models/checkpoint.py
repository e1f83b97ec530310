"""Whether a directory is a whole checkpoint or a whole adapter, told from file sizes and headers alone.

Standard library only, so a mistyped path or a broken download fails within milliseconds instead of after the imports.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

from rzero.errors import ModelError

_BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32}
_BITS |= {"U16": 16, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8, "C64": 64}
_LONGEST_HEADER = 100_000_000  # the limit of the safetensors format

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


def check_directory(path: Path) -> None:
    """Raises ModelError, saying what is wrong, unless ``path`` holds a configuration and whole safetensors weights.

    An adapter passes if its base model does.
    """
    if not path.is_dir():
        raise ModelError(f"model directory {str(path)!r} does not exist; check the path")
    if is_adapter(path):
        check_safetensors(weight_files(path)[0])
        return check_directory(base_directory(path))
    if not (path / "config.json").is_file():
        raise ModelError(f"{path} has no config.json, so it is no checkpoint; give the directory that has one")
    config = _read_json(path / "config.json")
    if "model_type" not in config and "auto_map" not in config:
        raise ModelError(f"{path}/config.json names no model_type; fetch the checkpoint again")
    for file in weight_files(path):
        check_safetensors(file)


def is_adapter(path: Path) -> bool:
    """Whether ``path`` holds an adapter in peft's format, which is of use with its base model only."""
    return (path / ADAPTER_CONFIG).is_file() and not (path / "config.json").is_file()


def base_directory(path: Path) -> Path:
    """The base model of the adapter in ``path``. Raises ModelError if it is not on this machine."""
    name = _read_json(path / ADAPTER_CONFIG).get("base_model_name_or_path")
    if not isinstance(name, str) or not Path(name).is_dir():
        raise ModelError(
            f"{path} is an adapter of the base model {name!r}, which is no directory here; put the model back, or "
            f"write where it is into {ADAPTER_CONFIG} as base_model_name_or_path"
        )
    return Path(name)


def weight_files(path: Path) -> list[Path]:
    """The safetensors files that make up the checkpoint or adapter in ``path``, sorted by name."""
    if is_adapter(path):
        if not (path / ADAPTER_WEIGHTS).is_file():
            raise ModelError(f"{path} has an {ADAPTER_CONFIG} but no {ADAPTER_WEIGHTS}; fetch it")
        return [path / ADAPTER_WEIGHTS]
    index, single = path / "model.safetensors.index.json", path / "model.safetensors"
    if single.is_file():
        return [single]
    if index.is_file():
        weight_map = _read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ModelError(f"{index} has no weight_map; fetch the checkpoint again")
        names = sorted(set(map(str, weight_map.values())))
        files = [path / name for name in names]
        absent = [file.name for file in files if file.parent != path or not file.is_file()]
        if absent:
            raise ModelError(
                f"{path}: {len(absent)} of {len(files)} weight files are missing ({absent[0]}, ...); fetch them"
            )
        return files
    if any(path.glob("*.bin")) or any(path.glob("*.pt")) or any(path.glob("*.pth")):
        raise ModelError(
            f"{path} holds its weights as pickles (.bin), which can run code when read; convert them to safetensors"
        )
    raise ModelError(f"{path} has no weights (model.safetensors or model.safetensors.index.json); fetch them")


def check_safetensors(file: Path) -> dict[str, dict[str, Any]]:
    """The header of ``file``: each tensor's ``dtype``, ``shape`` and ``data_offsets``, by name.

    Raises ModelError unless it is sound and its tensors fill the file to its last byte.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(_LONGEST_HEADER, size - 8):
            raise ModelError(f"{file} is no safetensors file or was cut off early ({size} bytes); fetch it again")
        text = stream.read(length)
    try:
        header = json.loads(text)
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        spans = sorted(_span(entry) for entry in tensors.values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{file} has a malformed safetensors header ({error}); fetch it again") from error
    end = 0
    for start, stop in spans:
        if start != end:
            raise ModelError(f"{file}: its tensors leave a gap or overlap at byte {end}; fetch it again")
        end = stop
    if 8 + length + end != size:
        raise ModelError(f"{file} has {size} bytes where its header promises {8 + length + end}; fetch it again")
    return tensors


def _span(entry: dict[str, Any]) -> tuple[int, int]:
    start, stop = entry["data_offsets"]
    bits = _BITS.get(entry["dtype"])
    if bits is not None and prod(entry["shape"]) * bits != (stop - start) * 8:
        raise ValueError(f"a tensor of shape {entry['shape']} does not fill bytes {start} to {stop}")
    return start, stop


def _read_json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file} cannot be read as JSON ({error}); fetch it again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{file} holds no JSON object; fetch it again")
    return value
