"""From what the user wrote as ``model.path`` to a checkpoint directory on this machine.

Everything that can be told from names, sizes and headers is told before anything heavy is imported.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from rzero.errors import ModelError
from rzero.models.checkpoint import check_directory
from rzero.models.gguf import convert_gguf

BUNDLED = "micro"
"""The name of the model that ships with rzero; ``./micro`` names a directory of that name instead."""

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_WANTED = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "*.py")


def resolve(source: str, *, store: Path) -> Path:
    """The directory of the model that ``source`` names.

    ``micro`` is the model that ships with rzero. A Hugging Face directory is used where it is; a ``.gguf`` file is
    converted once into ``store``; anything else of the form ``org/name`` is fetched from the Hugging Face hub into its
    own cache. Raises ModelError if there is no such model or it is damaged, MissingExtraError for a GGUF file without
    the ``gguf`` extra.
    """
    path = Path(os.path.expanduser(source))  # which leaves an unknown user's tilde as it is
    if source == BUNDLED:
        directory = Path(__file__).parent / BUNDLED
    elif path.is_dir():
        directory = path
    elif path.is_file():
        if path.suffix != ".gguf":
            raise ModelError(f"model {source!r} is a file but no .gguf file; give one, or a checkpoint directory")
        directory = convert_gguf(path, store=store)
    elif _HUB_ID.fullmatch(source):
        directory = _download(source)
    else:
        raise ModelError(f"model {source!r} does not exist; give a directory, a .gguf file or a hub id (org/name)")
    check_directory(directory)
    return directory


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(_WANTED)))
    except Exception as error:  # the hub's client and its HTTP library raise more kinds than can be listed
        raise ModelError(
            f"model {hub_id!r} is no local path, and the hub did not give it ({type(error).__name__}); "
            "check the spelling and the network, or give a local directory or .gguf file"
        ) from error
