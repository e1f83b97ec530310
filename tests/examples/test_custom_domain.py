"""The example that the documentation of domains points to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rzero import domains

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_it_loads_by_name_and_knows_its_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    domain = domains.load("custom_domain:two_numbers")
    assert domain.parse_question("<question>47*36</question>").text == "47*36"
    assert domain.parse_question("<question>47*36+1</question>").problem == "not one operation on two numbers"
    assert domain.oracle is not None
    assert [domain.oracle.solve(q).answer for q in ("47*36", "3-10", "999+1")] == ["1692", "-7", "1000"]
    assert domain.oracle.difficulty("47*36") == 4.0
    assert domain.oracle.solve("47*").answer is None


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "custom_domain.py"), "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run").is_dir()
