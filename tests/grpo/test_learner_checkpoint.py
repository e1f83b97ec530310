from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_grpo_learner import make_learner
from tiny_policy import random_groups, tiny_policy

from rzero.errors import ModelError
from rzero.models.open import open_model


def _learner(dtype: torch.dtype, seed: int = 0):
    return make_learner(tiny_policy(dtype=dtype, seed=seed), tiny_policy(dtype=dtype, seed=9), updates_per_step=2)


def _bytes(directory: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in directory.rglob("*") if file.is_file()}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    learner = _learner(torch.bfloat16)
    learner.step(random_groups(3))
    (tmp_path / "saved").mkdir()
    learner.save(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_resumed_is_uninterrupted_to_the_byte(tmp_path: Path, dtype: torch.dtype) -> None:
    batches = [random_groups(3, seed=seed) for seed in range(4)]
    middle, whole, resumed = tmp_path / "middle", tmp_path / "whole", tmp_path / "resumed"
    for directory in (middle, whole, resumed):
        directory.mkdir()
    learner = _learner(dtype)
    for i, groups in enumerate(batches):
        if i == 2:
            learner.save(middle)
        last = learner.step(groups)
    learner.save(whole)

    other = _learner(dtype, seed=5)  # other weights, and a history of its own
    other.step(random_groups(2, seed=7))
    other.restore(middle)
    assert other.policy_version == 2
    for groups in batches[2:]:
        metrics = other.step(groups)
    other.save(resumed)
    assert metrics == last
    assert _bytes(resumed) == _bytes(whole)


def test_masters_are_stored_once(tmp_path: Path) -> None:
    for dtype, stored in ((torch.float32, False), (torch.bfloat16, True)):
        learner = _learner(dtype)
        learner.step(random_groups(2))
        learner.save(tmp_path)
        assert (tmp_path / "masters" / "fp32.safetensors").is_file() == stored
        assert json.loads((tmp_path / "learner.json").read_text())["num_updates"] == 2
        assert (tmp_path / "model.safetensors").is_file()


def test_the_next_phase_continues_from_the_masters(tmp_path: Path) -> None:
    """What a phase moved by less than bf16 can hold is not lost when the next one starts from its checkpoint."""
    learner = _learner(torch.bfloat16)
    learner.step(random_groups(2))
    learner.save(tmp_path)
    masters = load_file(tmp_path / "masters" / "fp32.safetensors")
    assert any(not torch.equal(tensor, tensor.bfloat16().float()) for tensor in masters.values())
    following = make_learner(open_model(tmp_path, dtype="bfloat16", device="cpu"), None)
    (tmp_path / "next").mkdir()
    following.save(tmp_path / "next")
    assert load_file(tmp_path / "next" / "masters" / "fp32.safetensors").keys() == masters.keys()
    for name, tensor in load_file(tmp_path / "next" / "masters" / "fp32.safetensors").items():
        assert torch.equal(tensor, masters[name])


def test_saved_before_the_first_step(tmp_path: Path) -> None:
    fresh, other = _learner(torch.float32), _learner(torch.float32, seed=5)
    fresh.save(tmp_path)
    other.step(random_groups(2))
    other.restore(tmp_path)
    groups = random_groups(2, seed=1)
    assert other.step(groups) == fresh.step(groups)


def test_the_policy_opens_as_a_model(saved: Path) -> None:
    learner = _learner(torch.bfloat16)
    learner.restore(saved)
    opened = dict(open_model(saved, dtype="bfloat16", device="cpu").module.named_parameters())
    for name, tensor in learner.weights():
        assert torch.equal(opened[name], tensor)


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("learner.json", None, r"learner.json cannot be read \(FileNotFoundError"),
        ("learner.json", b"{", r"learner.json cannot be read \(JSONDecodeError"),
        (
            "learner.json",
            b'{"schema_version": 2, "dtype": "bfloat16", "num_updates": 1, "policy_version": 1}',
            "version 2",
        ),
        ("learner.safetensors", None, "learner.safetensors does not exist"),
        ("learner.safetensors", b"", "no safetensors file"),
    ],
)
def test_damage_is_told_and_nothing_changes(saved: Path, file: str, damage: bytes | None, message: str) -> None:
    (saved / file).unlink()
    if damage is not None:
        (saved / file).write_bytes(damage)
    learner = _learner(torch.bfloat16, seed=5)
    before = {name: tensor.clone() for name, tensor in learner.weights()}
    with pytest.raises(ModelError, match=message):
        learner.restore(saved)
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.weights())


def test_another_precision_is_refused(saved: Path) -> None:
    with pytest.raises(ModelError, match=r"saved in bfloat16, the model is open in float32; set model.dtype=bfloat16"):
        _learner(torch.float32).restore(saved)


def test_another_models_tensors_are_refused(saved: Path) -> None:
    tensors = load_file(saved / "learner.safetensors")
    name = "exp_avg/model.norm.weight"
    save_file(tensors | {name: torch.zeros(5)}, saved / "learner.safetensors")
    with pytest.raises(
        ModelError, match=r"1 tensors differ \(first: exp_avg/model.norm.weight, \[5\] there, \[32\] exp"
    ):
        _learner(torch.bfloat16).restore(saved)
    del tensors[name]
    save_file(tensors, saved / "learner.safetensors")
    with pytest.raises(ModelError, match=r"exp_avg/model.norm.weight, absent there, \[32\] expected"):
        _learner(torch.bfloat16).restore(saved)
