from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from rzero.grpo.tensor_file import Spec, file_order, read_rows, write_tensors
from rzero.models.checkpoint import check_safetensors

TENSORS = {
    "b": torch.randn(3, 5).bfloat16(),
    "a.weight": torch.randn(7, 2),
    "step/a.weight": torch.tensor(3.0),
    "double": torch.randn(4, dtype=torch.float64),
    "ünï/2": torch.randn(1, 1, 1),
    "nothing": torch.empty(0, 4),
    "half": torch.randn(2).half(),
}


def test_the_bytes_are_those_of_the_librarys_own_writer(tmp_path: Path) -> None:
    for count in range(len(TENSORS) + 1):
        tensors = dict(list(TENSORS.items())[:count])
        specs = {name: Spec(tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
        write_tensors(tmp_path / "ours", specs, (tensors[name] for name in file_order(specs)))
        save_file(tensors, tmp_path / "theirs")
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
        check_safetensors(tmp_path / "ours")


def test_what_is_not_contiguous_is_written_row_by_row(tmp_path: Path) -> None:
    tensor = torch.randn(4, 6).T
    write_tensors(tmp_path / "file", {"x": Spec(tensor.dtype, (6, 4))}, [tensor])
    assert torch.equal(load_file(tmp_path / "file")["x"], tensor)


def test_rows_of_a_tensor(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "file")
    found = read_rows(tmp_path / "file", {"a.weight": slice(2, 4), "step/a.weight": None, "double": slice(4, 4)})
    assert torch.equal(found["a.weight"], TENSORS["a.weight"][2:4])
    assert found["step/a.weight"] == 3
    assert found["double"].shape == (0,)
