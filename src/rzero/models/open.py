"""Open a checkpoint directory (Hugging Face layout) as a :class:`~rzero.models.language_model.LanguageModel`.

Whatever would make a model silently worse is an error here: weights that are missing or have the wrong shape, token ids
beyond the embedding, no end token, an output head that we would compute differently. Only safetensors are read.
The attention implementation is transformers' own choice: SDPA where the architecture supports it, else eager.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rzero.errors import ConfigError, ModelError
from rzero.models.checkpoint import check_directory
from rzero.models.head import OutputHead, check_head
from rzero.models.language_model import LanguageModel
from rzero.models.quiet import quiet
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
    there is one, else the CPU. Raises ModelError for a damaged or unusable checkpoint and ConfigError for an unusable device.
    """
    check_directory(path)
    place = _device(device)
    tokenizer = open_tokenizer(path, trust_remote_code=trust_remote_code)
    module = _load(path, _dtype(dtype, place), trust_remote_code=trust_remote_code).to(place).eval()  # pyright: ignore
    stops = _stop_ids(path, tokenizer, module)
    _check_vocabulary(path, tokenizer, module, stops)
    head = OutputHead.of(module)
    check_head(module, head)
    return LanguageModel(
        module=module,
        tokenizer=tokenizer,
        path=path,
        stop_ids=stops,
        max_context=getattr(module.config.get_text_config(), "max_position_embeddings", None) or _NO_LIMIT,
        head=head,
        renderer=Renderer(tokenizer),
    )


def open_tokenizer(path: Path, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer in ``path``. Raises ModelError if there is none, or none that knows its tokens' offsets."""
    from transformers import AutoTokenizer

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise _unusable(path, "tokenizer", error) from error
    if not tokenizer.is_fast:
        raise ModelError(f"{path}: {type(tokenizer).__name__} has no tokenizer.json, which rzero needs; convert it")
    return tokenizer


def _load(path: Path, dtype: torch.dtype, *, trust_remote_code: bool) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    try:
        with quiet():
            module, info = AutoModelForCausalLM.from_pretrained(
                path,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as error:
        raise _unusable(path, "model", error) from error
    absent = sorted(info["missing_keys"] | {name for name, *_ in info["mismatched_keys"]})
    if absent:
        raise ModelError(
            f"{path}: {len(absent)} weights are missing or have another shape than config.json says "
            f"(first: {absent[0]}); fetch the checkpoint again"
        )
    return module


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


def _stop_ids(path: Path, tokenizer: PreTrainedTokenizerBase, module: PreTrainedModel) -> frozenset[int]:
    generation = module.generation_config
    ends = getattr(generation, "eos_token_id", None)
    stops = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
    if not stops:
        raise ModelError(f"{path}: no end token, so no completion would stop; set eos_token in tokenizer_config.json")
    return frozenset(stops | ({turn_end(tokenizer)} - {None}))  # pyright: ignore[reportReturnType]


def _check_vocabulary(
    path: Path, tokenizer: PreTrainedTokenizerBase, module: PreTrainedModel, stop_ids: frozenset[int]
) -> None:
    """No token that a text can become may lie beyond the embedding (Gemma 3 1B has a special one that does)."""
    rows = module.get_input_embeddings().weight.shape[0]  # pyright: ignore[reportOptionalMemberAccess]
    beyond = [(token, text) for text, token in tokenizer.get_vocab().items() if token >= rows]
    special = set(tokenizer.all_special_ids) | {
        token for token, added in tokenizer.added_tokens_decoder.items() if added.special
    }
    needed = stop_ids | {tokenizer.bos_token_id}
    unusable = [(token, text) for token, text in beyond if token not in special or token in needed]
    if unusable:
        token, text = min(unusable)
        raise ModelError(
            f"{path}: the tokenizer has {len(unusable)} tokens beyond the embedding's {rows} rows "
            f"(first: {text!r}, id {token}); tokenizer and weights are not of the same model"
        )


def _unusable(path: Path, what: str, error: Exception) -> ModelError:
    if "trust_remote_code" in str(error):
        return ModelError(f"{path}: its {what} runs code of its own; if you trust it, set model.trust_remote_code=true")
    reason = " ".join(str(error).split())[:300]
    return ModelError(f"{path}: the {what} cannot be opened ({type(error).__name__}: {reason}); fetch it again")
