"""Runs as the command line makes them, and the processes that they start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tiny_run import TINY

MARK = "RZERO_TEST_CLUSTER"


def command(out: Path, changes: Mapping[str, object]) -> list[str]:
    options = {**TINY, "engine.cluster": "ray", "engine.num_samplers": 2, **changes}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "rzero.cli", "run", "micro", "--out", str(out), *words]


def start(out: Path, **changes: object) -> subprocess.Popen[str]:
    named = {name.replace("__", "."): value for name, value in changes.items()}
    with out.with_suffix(".err").open("a") as log:
        return subprocess.Popen(command(out, named), stdout=subprocess.DEVNULL, stderr=log, text=True)


def finish(process: subprocess.Popen[str], out: Path) -> None:
    assert process.wait() == 0, out.with_suffix(".err").read_text()[-3000:]


def pids(kind: str, mark: str) -> list[int]:
    """The processes whose title says that they hold a SamplerHost or a LearnerHost, with ``mark`` among their settings.

    The mark is the value of an environment variable, so that nobody else's processes are found.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                title, settings = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            except OSError:
                continue  # it has just ended
            if title.startswith(f"ray::{kind}".encode()) and f"{MARK}={mark}".encode() in settings.split(b"\0"):
                found.append(int(entry.name))
    return sorted(found)
