"""A run at a URL by the command line, killed, and resumed where nothing of it is left: the same bytes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from test_resume import ARTEFACTS, start

from rzero import cli


@pytest.mark.slow
def test_killed_and_resumed_on_an_empty_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    straight, there, cache = tmp_path / "straight", tmp_path / "there" / "run", tmp_path / "cache"
    url = f"file://{there}"
    monkeypatch.setenv("RZERO_CACHE", str(cache))
    done = start(straight)
    assert done.returncode == 0, done.stderr
    for moment in (
        {"KILL_AT_CALL": "parse_question:20"},  # in step 2 of the Challenger
        # in the middle of sending, as the watched folder is that of the URL
        {"KILL_AT_PATH": "iter_01/train_solver/checkpoint/*", "KILL_ROOT": str(there)},
    ):
        killed = start(url, **moment)
        assert killed.returncode == -9, f"{moment} did not kill: {killed.stderr}"
        shutil.rmtree(cache)
    resumed = start(url, {"progress": "plain"})
    assert resumed.returncode == 0, resumed.stderr
    assert f"rzero ask {url} " in resumed.stdout
    assert f"{url}: sent " in resumed.stderr.splitlines()[-1]
    for name in ARTEFACTS:
        assert (straight / name).read_bytes() == (there / name).read_bytes(), name
    assert json.loads((there / "state.json").read_text())["attempt"] == 3
    shutil.rmtree(cache)
    asked = ["ask", url, "7+5", "--engine.threads", "1"]
    assert cli.main(asked) == 0 and "true answer: 12" in capsys.readouterr().out
    assert cli.main(["export", url, "--out", str(tmp_path / "solver")]) == 0
    assert (tmp_path / "solver" / "model.safetensors").exists()
    assert os.listdir(cache / "runs")
