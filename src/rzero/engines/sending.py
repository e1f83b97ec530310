"""Numbers for the device that do not wait for the work it has."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def send(values: NDArray[Any], device: torch.device) -> Tensor:
    """``values`` on ``device``; on a CPU the same memory."""
    tensor = torch.from_numpy(values)
    if device.type != "cuda":
        return tensor.to(device)
    # A copy from memory that is not pinned would wait until everything that was launched before it is done. PyTorch
    # keeps the pinned block until the copy is.
    return tensor.pin_memory().to(device, non_blocking=True)
