"""Settings of the whole process that decide how fast PyTorch computes on a CPU."""

from __future__ import annotations

import ctypes
import os
import sys

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MOST_BYTES = (1 << 31) - 1


def prepare(threads: int = 0) -> None:
    """Set the number of threads (0: all cores this process may use), and keep waiting and allocating cheap.

    To be called before anything imports torch: OpenMP reads its setting when it is loaded.
    """
    # Threads that spin long while they wait are several times slower as soon as another process wants a core, and
    # those that do not spin at all sleep between any two operations.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    import torch

    torch.set_num_threads(threads or num_cores())
    _keep_freed_memory()


def num_cores() -> int:
    """Cores that this process may use; a container or a batch system may allow fewer than there are."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _keep_freed_memory() -> None:
    """Tell glibc not to hand every large block back to the system at once.

    Otherwise each activation of a few megabytes is mapped, zeroed page by page and unmapped again: on the developer's
    machine the elementwise operations of a forward pass over 4,096 tokens then take five times as long.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_M_MMAP_THRESHOLD, _MOST_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _MOST_BYTES)
