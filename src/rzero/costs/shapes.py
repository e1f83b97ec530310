"""Shapes by name, from the config.json files that their makers published, and of any local model directory."""

from __future__ import annotations

import difflib
import json
from importlib import resources
from pathlib import Path
from typing import Any

from rzero.costs.shape import Shape
from rzero.errors import ConfigError

_QWEN3 = {
    "model_type": "qwen3",
    "vocab_size": 151936,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
}
_LLAMA = {"model_type": "llama", "rms_norm_eps": 1e-5}


def _sizes(hidden: int, intermediate: int, layers: int, heads: int, *, tied: bool) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "tie_word_embeddings": tied,
    }


CONFIGS: dict[str, dict[str, Any]] = {
    "Qwen3-0.6B": _QWEN3 | _sizes(1024, 3072, 28, 16, tied=True),
    "Qwen3-1.7B": _QWEN3 | _sizes(2048, 6144, 28, 16, tied=True),
    "Qwen3-4B": _QWEN3 | _sizes(2560, 9728, 36, 32, tied=True),
    "Qwen3-8B": _QWEN3 | _sizes(4096, 12288, 36, 32, tied=False),
    "Qwen3-14B": _QWEN3 | _sizes(5120, 17408, 40, 40, tied=False),
    "Qwen3-32B": _QWEN3 | _sizes(5120, 25600, 64, 64, tied=False),
    "Llama-3-70B": _LLAMA
    | _sizes(8192, 28672, 80, 64, tied=False)
    | {"vocab_size": 128256, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 8192},
    "SmolLM2-135M": _LLAMA
    | _sizes(576, 1536, 30, 9, tied=True)
    | {"vocab_size": 49152, "num_key_value_heads": 3, "head_dim": 64, "max_position_embeddings": 8192},
}
"""The values of config.json that decide the sizes, by the model's name; transformers' AutoConfig takes them, too."""

BUNDLED = "micro"


def find_shape(model: str) -> tuple[str, Shape]:
    """Name and sizes of ``model``: a name in :data:`CONFIGS` (``-shape`` may follow it, case does not matter), the
    bundled ``micro``, or a directory with a config.json.

    Raises ConfigError, with the nearest name, for anything else.
    """
    known = {name.lower(): name for name in CONFIGS}
    name = known.get(model.lower().removesuffix("-shape"))
    if name is not None:
        return name, Shape.of(CONFIGS[name])
    if model == BUNDLED:
        text = (resources.files("rzero") / "models" / BUNDLED / "config.json").read_text(encoding="utf-8")
        return BUNDLED, Shape.of(json.loads(text))
    if Path(model).is_dir():
        return Path(model).name, _of_directory(Path(model))
    near = difflib.get_close_matches(model.lower().removesuffix("-shape"), [*known, BUNDLED], 1, cutoff=0.4)
    hint = f"did you mean {known.get(near[0], near[0])}?" if near else ""
    raise ConfigError(
        f"model {model!r} is neither the name of a shape nor a directory with a config.json; {hint} "
        f"Shapes: {', '.join(CONFIGS)}, {BUNDLED}"
    )


def _of_directory(directory: Path) -> Shape:
    path = directory / "config.json"
    try:
        return Shape.of(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; name a model's directory, or a shape") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} does not describe a Llama-like decoder ({type(error).__name__}: {error}); take the named shape "
            "that is nearest in size"
        ) from None
