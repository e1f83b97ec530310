"""Import the heavy packages, open a model and say what was chosen. Run as a process of its own: it may crash or hang.

Prints one line of JSON for each stage that it survives: ``torch``, ``devices``, ``model``.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any, Literal


def main(model: str, dtype: Literal["auto", "float32", "bfloat16"], device: str, threads: int) -> None:
    """Probe with the checkpoint directory ``model`` and the options of a run."""
    from rzero.engines.process import prepare

    prepare(threads)
    import torch
    import transformers

    _say(stage="torch", torch=torch.__version__, transformers=transformers.__version__)
    _say(stage="devices", devices=_devices())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RuntimeWarning)
        chosen = _open(model, dtype, device)
    told = [str(warning.message) for warning in caught if warning.category is RuntimeWarning]
    _say(stage="model", threads=str(torch.get_num_threads()), warnings=told, **chosen)


def _devices() -> list[str]:
    import torch

    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        found.append(f"cuda:{index} {properties.name}, {total / 2**30:.1f} GiB, {free / 2**30:.1f} free")
    return found


def _open(model: str, dtype: Literal["auto", "float32", "bfloat16"], device: str) -> dict[str, str]:
    """What the options that are ``auto`` come to, and which kernel serves the model."""
    from rzero.engines.paged.native import NativeKernel
    from rzero.engines.paged.select import choose_kernel
    from rzero.models.open import open_model

    opened = open_model(Path(model), dtype=dtype, device=device)
    choice = choose_kernel(opened)
    if choice is None:
        kernel = "none: in waves, without paging"
    else:
        kernel = "native" if isinstance(choice.kernel, NativeKernel) else "plain PyTorch"
    return {
        "device": opened.device.type,
        "dtype": str(opened.dtype).removeprefix("torch."),
        "attention kernel": kernel,
    }


def _say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))  # pyright: ignore[reportArgumentType]
