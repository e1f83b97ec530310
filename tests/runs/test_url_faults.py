"""An upload that breaks off at any operation leaves a URL from which an empty machine ends in the same bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from faulty_systems import Breaking, ObjectStore, breaking

import rzero
from rzero.errors import RunDirectoryError
from rzero.runs import remote
from tiny_run import TINY

SMALL = {
    **TINY,
    "iterations": 1,
    "challenger.group_size": 8,
    "generate.num_questions": 30,
    "generate.questions_per_part": 20,
    "vote.num_votes": 4,
    "curriculum.band_low": 0.0,
    "curriculum.band_high": 1.0,
    "solver.prompts_per_step": 3,
    "solver.group_size": 4,
    "evaluate.limit": 4,
    "evaluate.num_samples": 0,
}
STEP = 29  # every 29th operation; 1 takes a quarter of an hour
SAME = ("**/rollouts.jsonl", "**/checkpoint/**/*", "iter_*/*/*.jsonl", "**/parts/*", "**/statistics.json")


def artefacts(root: Path) -> dict[str, bytes]:
    """The files whose bytes are reproducible, and the names of all others that a run leaves."""
    found = {path for pattern in SAME for path in root.glob(pattern) if path.is_file() and "aside" not in path.parts}
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(found)}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSES_S", ())


def run_at(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RZERO_CACHE", str(cache))
    return rzero.run(rzero.load("micro", SMALL), url).directory


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["object", "share"])
def test_broken_anywhere(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ObjectStore.store.clear()
    undisturbed = rzero.run(rzero.load("micro", SMALL), tmp_path / "undisturbed").directory
    expected = artefacts(undisturbed)
    assert len(expected) > 20
    with breaking(None):
        run_at(f"{kind}://{tmp_path}/whole", tmp_path / "cache", monkeypatch)
        operations = Breaking.operations
    assert operations > 80
    for after in range(1, operations, STEP):
        url = f"{kind}://{tmp_path}/{after}/run"
        with breaking(after), pytest.raises(RunDirectoryError, match="nothing is lost"):
            run_at(url, tmp_path / "cache", monkeypatch)
        resumed = run_at(url, tmp_path / f"empty-{after}", monkeypatch)
        assert artefacts(resumed) == expected, after
        fetched = run_at(url, tmp_path / f"third-{after}", monkeypatch)
        assert artefacts(fetched) == expected, after
        if kind == "share":  # what is there is a run by itself; only the last save's folder may be left, empty
            assert artefacts(tmp_path / str(after) / "run") == expected
            assert not list((tmp_path / str(after)).rglob(".tmp-*")), after
        for name in (f"empty-{after}", f"third-{after}", "cache", str(after)):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
