"""Form the process group of a sharded learner, one call in each of its processes, and explain how it breaks.

CPUs talk over gloo, CUDA devices over NCCL. The meeting place listens at the given address alone; the two libraries
take the network interface that the host's name belongs to, or that GLOO_SOCKET_IFNAME or NCCL_SOCKET_IFNAME names.

If a process of the group ends or its machine is lost, gloo tells the others within seconds; otherwise, and under NCCL,
they wait for the group's timeout. A call that was waiting then raises EngineError. There is no way to go on with the
rest of a group: end all of its processes, form a new group, and restore the last save. The timeout bounds every wait,
also that for process 0 while it writes a checkpoint.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from rzero.errors import EngineError

_LOST = ("gloo", "nccl", "connection closed", "connection reset", "timed out", "socket")


def join(
    *, rank: int, world_size: int, address: str, port: int, device: torch.device | str, timeout_s: float = 600.0
) -> None:
    """Become process ``rank`` of a group of ``world_size``; returns when all of them are there.

    ``address`` and ``port`` are those of process 0, on its own machine, the same in every call. ``device`` is what this
    process computes on, each CUDA device being one process's. ``timeout_s`` bounds this call, and each wait of the
    group later on. Raises EngineError if the others do not come in time, or the port is taken.
    """
    place, limit = torch.device(device), timedelta(seconds=timeout_s)
    if place.type == "cuda":
        place = torch.device("cuda", torch.cuda.current_device() if place.index is None else place.index)
        torch.cuda.set_device(place)
    try:
        listener = _listen(address, port) if rank == 0 else None
        store = dist.TCPStore(  # pyright: ignore[reportPrivateImportUsage]
            address,
            port,
            world_size,
            is_master=rank == 0,
            timeout=limit,
            master_listen_fd=None if listener is None else listener.detach(),
        )
        dist.init_process_group(
            "nccl" if place.type == "cuda" else "gloo",
            store=store,
            rank=rank,
            world_size=world_size,
            timeout=limit,
            device_id=place if place.type == "cuda" else None,
        )
        dist.barrier()
    except (OSError, RuntimeError) as error:
        leave()
        reason = " ".join(str(error).split())[:200]
        raise EngineError(
            f"process {rank} of {world_size} could not join the learner's group at {address}:{port} within "
            f"{timeout_s:g} s ({reason}); check that all processes run, and that they reach this address"
        ) from error


def leave() -> None:
    """Leave the group, if there is one. The others cannot use it any more."""
    if dist.is_initialized():
        dist.destroy_process_group()


def free_port(address: str) -> int:
    """A port of ``address``, which is this machine's, that nobody listens on."""
    with _listen(address, 0) as listener:
        return listener.getsockname()[1]


@contextmanager
def explained_loss() -> Iterator[None]:
    """Turn the errors of a group that lost a process into an EngineError."""
    try:
        yield
    except RuntimeError as error:
        lost = isinstance(error, dist.DistError) or any(word in str(error).lower() for word in _LOST)
        if isinstance(error, EngineError) or not lost:
            raise
        reason = " ".join(str(error).split())[:200]
        raise EngineError(
            f"another process of the sharded learner ended or did not answer in time ({reason}); end all of them, "
            f"form a new group and restore the last save"
        ) from error


def _listen(address: str, port: int) -> socket.socket:
    family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
    return socket.create_server((address, port), family=family)
