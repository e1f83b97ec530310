"""What a learner writes beside the policy, and how it continues from it.

A saved learner is one directory: the policy in the Hugging Face layout, which opens as a model by itself (or an adapter
in peft's, which opens with its base model), and

``learner.json``
    ``schema_version`` (1), ``dtype`` (compute precision of the policy), ``num_updates`` (optimiser steps so far),
    ``policy_version`` (steps so far), and ``options``: those that the learner was made with, recorded for the reader
    (whether they may change is the run's to decide).

``learner.safetensors``
    For each parameter, named as in the module: ``exp_avg/NAME`` and ``exp_avg_sq/NAME`` (AdamW's moments, shaped like
    the parameter) and ``step/NAME`` (its number of updates; a scalar). A parameter without a gradient so far has none.

``masters/fp32.safetensors``
    The fp32 master of each trained parameter, where the policy computes in less; an fp32 policy is its own master. A
    later phase that starts from the policy continues from these, or the rounding would eat most of what small learning
    rates did. They lie in a folder of their own, since vLLM reads every safetensors file beside a config.json.

The directory is not written atomically: whoever owns it moves it into place when it is complete.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rzero.errors import ModelError
from rzero.grpo.masters import MasterWeights
from rzero.grpo.tensor_file import Spec, file_order, read_rows, write_tensors
from rzero.models.checkpoint import check_directory, check_safetensors
from rzero.models.language_model import LanguageModel
from rzero.models.loading import load_module
from rzero.models.lora import read_adapter

SCHEMA_VERSION = 1
_STATE = ("exp_avg", "exp_avg_sq", "step")
_MASTERS = Path("masters") / "fp32.safetensors"
_OPTIMIZER = Path("learner.safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a learner has come."""

    num_updates: int
    policy_version: int


def save(
    directory: Path,
    *,
    masters: MasterWeights,
    optimizer: torch.optim.Optimizer,
    dtype: torch.dtype,
    progress: Progress,
    options: Mapping[str, Any],
) -> None:
    """Write what stands beside the policy into the existing ``directory``; ``dtype`` is the policy's."""
    for name, values in _contents(masters, optimizer).items():
        file = directory / name
        specs = {
            key: Spec(value.dtype, tuple(masters.shape(parameter)) if value.dim() else ())
            for key, (parameter, value) in values.items()
        }
        tensors = (masters.whole(*values[key]) for key in file_order(specs))
        masters.hand_over(tensors, partial(_write_tensors, file, specs))
    record = {
        "schema_version": SCHEMA_VERSION,
        "dtype": _name(dtype),
        "num_updates": progress.num_updates,
        "policy_version": progress.policy_version,
        "options": dict(options),
    }
    text = json.dumps(record, indent=2) + "\n"
    masters.hand_over(iter(()), lambda _: _write_record(directory, text))


def restore(
    directory: Path,
    *,
    model: LanguageModel,
    masters: MasterWeights,
    optimizer: torch.optim.Optimizer,
    dtype: torch.dtype,
) -> Progress:
    """Set weights, masters and optimiser state to those in ``directory``; ``dtype`` is the policy's.

    Raises ModelError, before anything is changed, if a file is missing or damaged or belongs to another model.
    """
    progress = _read_record(directory, dtype)
    tensors = _read_state(directory, masters)
    weights = _read_masters(directory, masters) if masters.stored_apart else {}
    if masters.by_name.keys() - weights.keys():
        weights |= _read_policy(directory, model, masters, dtype)
    _set(masters, weights)
    states = {
        index: {key: tensors[f"{key}/{name}"] for key in _STATE}
        for index, name in enumerate(masters.by_name)
        if f"step/{name}" in tensors
    }
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress


def continue_masters(model: LanguageModel, masters: MasterWeights) -> None:
    """Set the masters to those that an earlier phase left beside ``model``, if it did.

    Raises ModelError if they are damaged or belong to another model.
    """
    is_new = (
        model.base is not None and model.path == model.base.path
    )  # an adapter, whose base's masters are not its own
    if masters.stored_apart and (model.path / _MASTERS).is_file() and not is_new:
        _set(masters, _read_masters(model.path, masters))


def _set(masters: MasterWeights, weights: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, weight in weights.items():
            masters.by_name[name].copy_(weight)
    masters.publish()


def _contents(masters: MasterWeights, optimizer: torch.optim.Optimizer) -> dict[Path, dict[str, tuple[str, Tensor]]]:
    """For each file, each entry's parameter and this process's part of its tensor."""
    contents: dict[Path, dict[str, tuple[str, Tensor]]] = {}
    if masters.stored_apart:
        contents[_MASTERS] = {name: (name, master) for name, master in masters.stored_apart.items()}
    contents[_OPTIMIZER] = {
        f"{key}/{name}": (name, value)
        for name, master in masters.by_name.items()
        for key, value in optimizer.state[master].items()
    }
    return contents


def _write_tensors(file: Path, specs: Mapping[str, Spec], tensors: Iterator[Tensor]) -> None:
    file.parent.mkdir(exist_ok=True)
    write_tensors(file, specs, tensors)


def _write_record(directory: Path, text: str) -> None:
    (directory / "learner.json").write_text(text, encoding="utf-8")


def _read_record(directory: Path, opened: torch.dtype) -> Progress:
    file = directory / "learner.json"
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        version, dtype = record["schema_version"], record["dtype"]
        progress = Progress(num_updates=int(record["num_updates"]), policy_version=int(record["policy_version"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ModelError(f"{file} cannot be read ({reason}); go back to an earlier save") from error
    if version != SCHEMA_VERSION:
        raise ModelError(
            f"{file} has schema_version {version}, this rzero reads {SCHEMA_VERSION}; use the rzero that wrote it"
        )
    if dtype != _name(opened):
        raise ModelError(f"{file} was saved in {dtype}, the model is open in {_name(opened)}; set model.dtype={dtype}")
    return progress


def _read_masters(directory: Path, masters: MasterWeights) -> dict[str, Tensor]:
    expected = {name: masters.shape(name) for name in masters.stored_apart}
    return _read(directory / _MASTERS, expected, {name: masters.rows(name) for name in expected})


def _read_state(directory: Path, masters: MasterWeights) -> dict[str, Tensor]:
    file = directory / _OPTIMIZER
    found = _header(file)
    expected: dict[str, torch.Size] = {}
    rows: dict[str, slice | None] = {}
    for name in masters.by_name:
        if any(f"{key}/{name}" in found for key in _STATE):
            shapes = (masters.shape(name), masters.shape(name), torch.Size())
            expected |= {f"{key}/{name}": shape for key, shape in zip(_STATE, shapes, strict=True)}
            rows |= {f"exp_avg/{name}": masters.rows(name), f"exp_avg_sq/{name}": masters.rows(name)}
    return _read(file, expected, dict.fromkeys(expected) | rows)


def _read(file: Path, expected: Mapping[str, torch.Size], rows: Mapping[str, slice | None]) -> dict[str, Tensor]:
    _compare(file, _header(file), expected)
    return read_rows(file, rows)


def _header(file: Path) -> dict[str, torch.Size]:
    if not file.is_file():
        raise ModelError(f"{file} does not exist, so the optimiser cannot continue; go back to an earlier save")
    return {name: torch.Size(entry["shape"]) for name, entry in check_safetensors(file).items()}


def _read_policy(
    directory: Path, model: LanguageModel, masters: MasterWeights, dtype: torch.dtype
) -> dict[str, Tensor]:
    if model.base is not None:
        weights = read_adapter(directory, base=model.base)
    else:
        check_directory(directory)
        # If the model has code of its own, that code was trusted when it was opened.
        trusted = any(base.__module__.startswith("transformers_modules.") for base in type(model.module).__mro__)
        module = load_module(directory, dtype=dtype, use_safetensors=True, trust_remote_code=trusted)
        weights = {name: parameter.detach() for name, parameter in module.named_parameters()}
    expected = {name: masters.shape(name) for name in masters.by_name}
    _compare(directory, {name: tensor.shape for name, tensor in weights.items()}, expected)
    return {name: tensor[masters.rows(name) or ...] for name, tensor in weights.items()}


def _compare(source: Path, found: Mapping[str, torch.Size], expected: Mapping[str, torch.Size]) -> None:
    names = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if names:
        there, wanted = (list(shapes[names[0]]) if names[0] in shapes else "absent" for shapes in (found, expected))
        raise ModelError(
            f"{source} is of another model or incomplete: {len(names)} tensors differ (first: {names[0]}, "
            f"{there} there, {wanted} expected); restore into the model that it was saved from"
        )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
