"""A checkpoint as a whole model by itself: adapters merged, without what only training needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rzero.config import ModelConfig
from rzero.errors import ConfigError
from rzero.evolve.ask import Source
from rzero.models.checkpoint import check_safetensors, is_adapter, weight_files
from rzero.runs.atomic import replace_directory

if TYPE_CHECKING:
    from rzero.models.language_model import LanguageModel


def export(source: Source, *, role: Literal["solver", "challenger"], out: Path) -> Path:
    """Write the Solver or Challenger of ``source`` into the new directory ``out``; returns it.

    An adapter is added to the base model's weights in fp32. The result has the precision of ``model.dtype``; where that
    is auto, of the checkpoint. Raises ConfigError if ``out`` exists.
    """
    from rzero.models.save import save_model

    out = out.absolute()
    if out.exists():
        raise ConfigError(f"--out {out} exists already; name a new directory")
    model = _open_whole(
        source.solver if role == "solver" else source.challenger, base=source.base, options=source.config.model
    )
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.module.parameters())
    with replace_directory(out, expected_bytes=size) as path:
        save_model(model, path)
    return out


def _open_whole(checkpoint: Path, *, base: Path, options: ModelConfig) -> LanguageModel:
    import torch

    from rzero.models.lora import merge, open_adapter
    from rzero.models.open import open_model

    dtype = _stored_dtype(checkpoint) if options.dtype == "auto" else options.dtype
    trusted = options.trust_remote_code
    if not is_adapter(checkpoint):
        return open_model(checkpoint, dtype=dtype, device="cpu", trust_remote_code=trusted)
    whole = open_model(base, dtype="float32", device="cpu", trust_remote_code=trusted)
    model = merge(open_adapter(checkpoint, base=whole))
    model.module.to(getattr(torch, dtype))
    return model


def _stored_dtype(checkpoint: Path) -> Literal["float32", "bfloat16"]:
    header = check_safetensors(weight_files(checkpoint)[0])
    return "bfloat16" if all(entry["dtype"] == "BF16" for entry in header.values()) else "float32"
