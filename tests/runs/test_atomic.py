from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rzero.errors import DiskFullError, RunDirectoryError
from rzero.runs.atomic import (
    read_json,
    read_jsonl,
    replace_directory,
    require_space,
    write_json,
    write_jsonl,
    write_text,
)


def test_rows_round_trip_whatever_a_model_writes(tmp_path: Path) -> None:
    rows = [{"text": text} for text in ("a\nb", "\u2028\u2029\x85", "\ud800 lone", "\x00\x1b[31m", "</script>", "𝟙")]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    assert len((tmp_path / "rows.jsonl").read_text().split("\n")) == len(rows) + 1
    assert read_jsonl(tmp_path / "rows.jsonl") == rows


def test_a_failure_leaves_the_old_directory(tmp_path: Path) -> None:
    target = tmp_path / "save"
    with replace_directory(target) as path:
        (path / "a").write_text("old")
    with pytest.raises(KeyError), replace_directory(target) as path:
        (path / "a").write_text("new")
        raise KeyError("broken in the middle")
    assert (target / "a").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["save"]


def test_space_is_checked_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="are free but"):
        require_space(tmp_path / "not" / "there" / "yet", 2**60)
    with pytest.raises(DiskFullError), replace_directory(tmp_path / "save", expected_bytes=2**60):
        pytest.fail("must not be entered")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writer", ["python", "safetensors"])
def test_a_disk_that_fills_up_in_mid_save(tmp_path: Path, writer: str) -> None:
    """The operating system refuses bytes beyond a limit; the old save survives and the error says what to do."""
    code = textwrap.dedent(
        """
        import resource, sys, torch
        from pathlib import Path
        from safetensors.torch import save_file
        from rzero.errors import DiskFullError
        from rzero.runs.atomic import replace_directory

        target = Path(sys.argv[1]) / "save"
        with replace_directory(target) as path:
            (path / "weights").write_bytes(b"old")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        try:
            with replace_directory(target) as path:
                if sys.argv[2] == "python":
                    (path / "weights").write_bytes(bytes(2_000_000))
                else:
                    save_file({"w": torch.zeros(500_000)}, path / "weights")
        except DiskFullError as error:
            print(error)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), writer], capture_output=True, text=True, check=True
    )
    assert "could not be saved" in done.stdout and "run the same command again" in done.stdout
    assert (tmp_path / "save" / "weights").read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["save"]


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="cannot be written"):
        write_text(tmp_path / "file" / "below.json", "{}")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(RunDirectoryError, match=r"a\.json"):
        read_json(tmp_path / "a.json")
    with pytest.raises(RunDirectoryError, match=r"b\.jsonl"):
        read_jsonl(tmp_path / "b.jsonl")
    write_json(tmp_path / "c.json", {"b": 1})
    assert read_json(tmp_path / "c.json") == {"b": 1}
