"""Write a model as a checkpoint that transformers and vLLM open as it is, or an adapter as peft does."""

from __future__ import annotations

from pathlib import Path

from rzero.models.language_model import LanguageModel
from rzero.models.loading import quiet
from rzero.models.lora import save_adapter


def save_model(model: LanguageModel, directory: Path) -> None:
    """Write weights (safetensors, tied ones once), configuration and tokenizer into the existing ``directory``.

    Of an adapter, only its own weights. The bytes depend on the model alone. Making the write atomic is the caller's
    part.
    """
    with quiet():
        if model.base is None:
            model.module.save_pretrained(directory)
        else:
            save_adapter(model, directory)
        model.tokenizer.save_pretrained(directory)
