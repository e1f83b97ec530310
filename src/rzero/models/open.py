"""Open a checkpoint directory (Hugging Face layout) as a :class:`~rzero.models.language_model.LanguageModel`.

Whatever would make a model silently worse is an error here: weights that are missing or have the wrong shape, token ids
beyond the embedding, no end token, an output head that we would compute differently. Only safetensors are read.
The attention implementation is transformers' own choice: SDPA where the architecture supports it, else eager.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rzero.errors import ConfigError, ModelError
from rzero.models.checkpoint import base_directory, check_directory, is_adapter
from rzero.models.head import OutputHead, check_head
from rzero.models.language_model import LanguageModel
from rzero.models.loading import load_module, load_outline, load_tokenizer
from rzero.models.lora import open_adapter
from rzero.models.rendering import Renderer, turn_end

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_NO_LIMIT = 1 << 20  # context of architectures without positions (state-space models, ALiBi)


def open_model(
    path: Path,
    *,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    device: str = "auto",
    trust_remote_code: bool = False,
) -> LanguageModel:
    """The model in ``path``, checked and ready.

    ``dtype`` auto is bfloat16 where the device multiplies it natively, else float32; ``device`` auto is CUDA where
    there is a CUDA device, else the CPU. An adapter is opened over a base model of its own; where that is open already,
    :func:`rzero.models.lora.open_adapter` shares it. Raises ModelError for a damaged or unusable checkpoint and
    ConfigError for an unusable device.
    """
    check_directory(path)
    if is_adapter(path):
        base = open_model(base_directory(path), dtype=dtype, device=device, trust_remote_code=trust_remote_code)
        return open_adapter(path, base=base)
    place = _device(device)
    tokenizer = open_tokenizer(path, trust_remote_code=trust_remote_code)
    module = load_module(path, dtype=_dtype(dtype, place), use_safetensors=True, trust_remote_code=trust_remote_code)
    module.to(place).eval()  # pyright: ignore[reportArgumentType]
    model = _checked(path, tokenizer, module)
    check_head(module, model.head)
    return model


def open_outline(path: Path, *, trust_remote_code: bool = False) -> LanguageModel:
    """The model in ``path`` without its weights, for an engine that keeps them itself: tokenizer, stop tokens, shapes.

    Its module is on the meta device and computes nothing. Raises ModelError as :func:`open_model` does.
    """
    check_directory(path)
    tokenizer = open_tokenizer(path, trust_remote_code=trust_remote_code)
    return _checked(path, tokenizer, load_outline(path, trust_remote_code=trust_remote_code))


def _checked(path: Path, tokenizer: PreTrainedTokenizerBase, module: PreTrainedModel) -> LanguageModel:
    _mend_generation_config(module)
    stops = _stop_ids(path, tokenizer, module)
    _check_vocabulary(path, tokenizer, module, stops)
    return LanguageModel(
        module=module,
        tokenizer=tokenizer,
        path=path,
        stop_ids=stops,
        max_context=getattr(module.config.get_text_config(), "max_position_embeddings", None) or _NO_LIMIT,
        head=OutputHead.of(module),
        renderer=Renderer(tokenizer),
    )


def open_tokenizer(path: Path, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer in ``path``. Raises ModelError if there is none, or none that knows its tokens' offsets."""
    return load_tokenizer(path, trust_remote_code=trust_remote_code)


def _device(name: str) -> torch.device:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"model.device={name!r} cannot be used: {reason}; use auto, cpu or cuda") from error
    return torch.device(name)


def _dtype(name: Literal["auto", "float32", "bfloat16"], device: torch.device) -> torch.dtype:
    import torch

    if name != "auto":
        return getattr(torch, name)
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # not in every torch that we support
        native = any(capabilities.get(key, False) for key in ("amx_bf16", "avx512_bf16", "bf16"))
    return torch.bfloat16 if native else torch.float32


def _mend_generation_config(module: PreTrainedModel) -> None:
    """Keep only the token ids of a generation config that transformers would refuse to save.

    Many published checkpoints have one (a temperature without do_sample), and it would show at the first save only.
    """
    from transformers import GenerationConfig

    config: Any = module.generation_config
    try:
        config.validate(strict=True)
    except ValueError:
        ids = {name: getattr(config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        module.generation_config = GenerationConfig(**ids)


def _stop_ids(path: Path, tokenizer: PreTrainedTokenizerBase, module: PreTrainedModel) -> frozenset[int]:
    ends: Any = getattr(module.generation_config, "eos_token_id", None)
    found = [tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])]
    stops = {token for token in found if isinstance(token, int)}
    if not stops:
        raise ModelError(f"{path}: no end token, so no completion would stop; set eos_token in tokenizer_config.json")
    end = turn_end(tokenizer)
    return frozenset(stops if end is None else stops | {end})


def _check_vocabulary(
    path: Path, tokenizer: PreTrainedTokenizerBase, module: PreTrainedModel, stop_ids: frozenset[int]
) -> None:
    """No token that a text can become may lie beyond the embedding (Gemma 3 1B has a special one that does)."""
    embedding: Any = module.get_input_embeddings()
    rows = embedding.weight.shape[0]
    beyond = [(token, text) for text, token in tokenizer.get_vocab().items() if token >= rows]
    special = {token for token, added in tokenizer.added_tokens_decoder.items() if added.special}
    unusable = [(token, text) for token, text in beyond if token not in special or token in stop_ids]
    if unusable:
        token, text = min(unusable)
        raise ModelError(
            f"{path}: the tokenizer has {len(unusable)} tokens beyond the embedding's {rows} rows "
            f"(first: {text!r}, id {token}); tokenizer and weights are not of the same model"
        )
