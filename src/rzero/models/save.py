"""Write a model as a checkpoint that transformers and vLLM open as it is."""

from __future__ import annotations

from pathlib import Path

from rzero.models.language_model import LanguageModel
from rzero.models.loading import quiet


def save_model(model: LanguageModel, directory: Path) -> None:
    """Write weights (safetensors, tied ones once), configuration and tokenizer into the existing ``directory``.

    The bytes depend on the model alone. Making the write atomic is the caller's part.
    """
    with quiet():
        model.module.save_pretrained(directory)
        model.tokenizer.save_pretrained(directory)
