"""The machine that measures: its cores, its name, and the rate at which it multiplies matrices."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Literal


def num_cores() -> int:
    """Cores that this process may use."""
    return len(cores())


def cores() -> list[int]:
    """The numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def describe() -> dict[str, str | int]:
    """The processor's name, the cores at hand and the interpreter's version."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux, or a processor that does not say
    return {"processor": name, "cores": num_cores(), "python": platform.python_version()}


def matrix_rate(dtype: Literal["bfloat16", "float32"], *, size: int = 2048, repeats: int = 12) -> float:
    """FLOP/s of the fastest of ``repeats`` products [size, size] x [size, size], with torch's current threads."""
    import torch

    a, b = (torch.randn(size, size).to(getattr(torch, dtype)) for _ in range(2))
    linear = torch.nn.functional.linear
    linear(a, b)
    fastest = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        linear(a, b)
        fastest = min(fastest, time.perf_counter() - started)
    return 2 * size**3 / fastest
