"""How much memory is free, on the host or on a GPU."""

from __future__ import annotations

import os
from pathlib import Path

import torch

_CGROUP = Path("/sys/fs/cgroup")


def available_bytes(device: torch.device) -> int:
    """Bytes that this process could still allocate on ``device``, as far as the system tells."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What PyTorch holds without using it will be used before anything new is asked for.
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(_host_bytes(), _container_bytes())


def _host_bytes() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) << 10
    except (OSError, LookupError, ValueError):  # not Linux: half of the memory is a fair guess of what is free
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _container_bytes() -> int:
    """What the control group, if there is one with a limit, leaves."""
    try:
        most = int((_CGROUP / "memory.max").read_text(encoding="ascii"))
        return most - int((_CGROUP / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no such group, or its limit is "max"
        return 1 << 62
