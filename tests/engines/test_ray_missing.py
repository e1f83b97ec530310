"""A cluster that cannot be used is refused before anything is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rzero.config import load
from rzero.errors import ConfigError


def test_without_ray_the_error_has_the_command(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['ray'] = None; from rzero.cli import main; "
        f"sys.exit(main(['run', 'micro', '--out', {str(tmp_path / 'run')!r}, '--engine.cluster', 'ray']))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert 'pip install "rzero[ray]"' in found.stderr and found.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_processes_without_a_cluster_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"engine.num_samplers=2 needs a cluster; set engine.cluster=ray"):
        load("micro", {"engine.num_samplers": 2})
