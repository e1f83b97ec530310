"""A short name for the content of a checkpoint, so that a run can tell whether its base model is still the same one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from rzero.models.checkpoint import weight_files

WHOLE = 2 << 30
"""Bytes up to which a file is hashed as a whole; of a longer one, both ends and evenly spaced blocks are."""

_BLOCK = 1 << 20
_SAMPLES = 1024

_OTHER_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "masters/fp32.safetensors",
)


def fingerprint(path: Path) -> str:
    """16 hexadecimal digits over the configuration, tokenizer and weights in the checkpoint directory ``path``.

    Equal content gives an equal fingerprint wherever it lies. Files beyond :data:`WHOLE` are sampled: a changed header,
    size or retrained matrix shows, a single flipped bit might not. Raises ModelError if weights are missing.
    """
    digest = hashlib.blake2b(digest_size=8)
    files = [path / name for name in _OTHER_FILES if (path / name).is_file()]
    for file in sorted(files + weight_files(path)):
        digest.update(f"{file.name}:{hash_file(file)}\n".encode())
    return digest.hexdigest()


def hash_file(file: Path) -> str:
    """16 hexadecimal digits over the size of ``file`` and its content (of a very long one, over samples of it)."""
    size = file.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=8)
    with file.open("rb") as stream:
        if size <= WHOLE:
            while block := stream.read(_BLOCK):
                digest.update(block)
        else:
            for sample in range(_SAMPLES + 1):
                stream.seek((size - _BLOCK) * sample // _SAMPLES)
                digest.update(stream.read(_BLOCK))
    return digest.hexdigest()
