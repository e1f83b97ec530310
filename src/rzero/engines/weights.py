"""Replace a module's weights in place, from a checkpoint or from (name, tensor) pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from rzero.errors import EngineError
from rzero.models.checkpoint import check_directory, weight_files


def load_weights(
    module: nn.Module, source: Path | Iterable[tuple[str, Tensor]], *, required: Mapping[str, Tensor]
) -> None:
    """Copy ``source`` into the parameters of ``module``, casting to their dtype; all of ``required`` must come.

    ``source`` is a checkpoint directory (safetensors in the Hugging Face layout) or (name, tensor) pairs that are taken
    one at a time. Weights that are tied may come under any or all of their names. Raises EngineError for a name that
    the model does not have, a wrong shape, or a weight that did not come; the module then holds a mixture, so load
    again.
    """
    pairs = read_checkpoint(source) if isinstance(source, Path) else source
    targets = module.state_dict()
    missing = {tensor.data_ptr(): name for name, tensor in required.items()}
    with torch.no_grad():
        for name, tensor in pairs:
            target = targets.get(name)
            if target is None:
                raise EngineError(f"weight {name!r} is not in {type(module).__name__}; load a checkpoint of this model")
            if target.shape != tensor.shape:
                raise EngineError(
                    f"weight {name!r} has shape {tuple(tensor.shape)}, {type(module).__name__} has "
                    f"{tuple(target.shape)}; load a checkpoint of this model"
                )
            target.copy_(tensor)
            missing.pop(target.data_ptr(), None)
    if missing:
        raise EngineError(
            f"{len(missing)} weights of {type(module).__name__} did not come (first: {min(missing.values())!r}); "
            "load a whole checkpoint"
        )


def read_checkpoint(directory: Path) -> Iterator[tuple[str, Tensor]]:
    """The (name, tensor) pairs of a checkpoint directory. Raises ModelError if it is damaged."""
    check_directory(directory)
    for file in weight_files(directory):
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118  a safe_open cannot be iterated over
                yield name, weights.get_tensor(name)
