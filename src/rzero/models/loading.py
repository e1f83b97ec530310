"""The calls into transformers that read a checkpoint, with their failures told in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rzero.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_module(directory: Path, **options: Any) -> PreTrainedModel:
    """``AutoModelForCausalLM.from_pretrained``, where weights that do not fit are an error instead of a warning.

    Raises ModelError if weights are missing, misshapen, or belong to more layers than config.json has. Weights of other
    parts (a value head, a vision tower) are left out.
    """
    from transformers import AutoModelForCausalLM

    with _explained(directory, "model"), quiet():
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            directory, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    module, info = loaded
    absent = sorted(set(info["missing_keys"]) | {name for name, *_ in info["mismatched_keys"]})
    if absent:
        raise ModelError(
            f"{directory}: {len(absent)} weights are missing or have another shape than config.json says "
            f"(first: {absent[0]}); fetch the checkpoint again"
        )
    known = {_numberless(name) for name in module.state_dict()}
    surplus = sorted(name for name in info["unexpected_keys"] if _numberless(name) in known)
    if surplus:
        raise ModelError(
            f"{directory}: {len(surplus)} weights have no place in the layers that config.json describes "
            f"(first: {surplus[0]}); fetch the checkpoint again"
        )
    return module


def load_outline(directory: Path, **options: Any) -> PreTrainedModel:
    """The module that ``directory`` describes, on the meta device: names and shapes without a weight being read."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    with _explained(directory, "model"), quiet(), torch.device("meta"):
        config = AutoConfig.from_pretrained(directory, **options)
        module: PreTrainedModel = AutoModelForCausalLM.from_config(config, **options)
        module.tie_weights()
        if (directory / "generation_config.json").is_file():
            module.generation_config = GenerationConfig.from_pretrained(directory)
    return module


def load_tokenizer(directory: Path, **options: Any) -> PreTrainedTokenizerBase:
    """``AutoTokenizer.from_pretrained``; raises ModelError if there is none, or none that knows its tokens' offsets."""
    from transformers import AutoTokenizer

    with _explained(directory, "tokenizer"), quiet():
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(directory, **options)
    if not tokenizer.is_fast:
        raise ModelError(f"{directory}: {type(tokenizer).__name__} has no tokenizer.json, which is needed; convert it")
    return tokenizer


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bars and advice out of our output; its errors still show.

    The settings are the process's own, so this is not for concurrent use.
    """
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _numberless(name: str) -> str:
    return re.sub(r"\d+", "*", name)


@contextmanager
def _explained(directory: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ImportError, RuntimeError) as error:
        if "trust_remote_code" in str(error):
            raise ModelError(
                f"{directory}: its {what} runs code of its own; if you trust it, set model.trust_remote_code=true"
            ) from error
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"{directory}: the {what} cannot be opened ({type(error).__name__}: {reason}); fetch the checkpoint again"
        ) from error
