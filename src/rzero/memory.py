"""How much memory a process can still have, on the host or on a GPU."""

from __future__ import annotations

import ctypes
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def available_memory(device: torch.device) -> int:
    """Bytes that this process can still allocate on ``device``: what is free, within its own limits.

    On a CPU the least of: available memory, what the control group has left, and what ``ulimit -v`` leaves. A bound
    that the system does not tell is none. Blocks that were freed and that malloc keeps count as available.
    """
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    bounds = [_meminfo(), _control_group(), _address_space()]
    return min((bound for bound in bounds if bound is not None), default=1 << 62)


def _meminfo() -> int | None:
    return _number("/proc/meminfo", "MemAvailable:", unit=1024)


def _control_group() -> int | None:
    root = Path("/sys/fs/cgroup")
    limit, used = _number(root / "memory.max"), _number(root / "memory.current")
    if limit is None or used is None:
        return None
    reclaimable = _number(root / "memory.stat", "inactive_file") or 0
    return max(0, limit - used + reclaimable)


def _address_space() -> int | None:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = _number("/proc/self/statm", unit=resource.getpagesize())
    return None if limit == resource.RLIM_INFINITY or used is None else max(0, limit - used)


def _number(file: str | Path, key: str = "", *, unit: int = 1) -> int | None:
    """The first number behind ``key`` in a file of the system; None where there is none ("max" is none)."""
    try:
        words = Path(file).read_text(encoding="utf-8").split()
        return int(words[words.index(key) + 1 if key else 0]) * unit
    except (OSError, ValueError, IndexError):
        return None


class _MallocInfo(ctypes.Structure):
    """glibc's ``struct mallinfo2``."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    )


def _kept_by_malloc() -> int:
    """Free bytes in glibc's heap; 0 where malloc is another's or older than glibc 2.33."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None) if sys.platform == "linux" else None
    if ask is None:
        return 0
    ask.restype = _MallocInfo
    return ask().fordblks
