"""Turn a GGUF file into a checkpoint in the Hugging Face layout.

The quantised weights are unpacked in fp32 and stored in bf16; from then on they are sampled, trained and saved like any
others.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import redirect_stderr
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from rzero.errors import MissingExtraError, ModelError
from rzero.models.fingerprint import hash_file
from rzero.models.loading import load_module, load_tokenizer, quiet


def check_gguf(file: Path) -> None:
    """Raises ModelError unless ``file`` starts like a GGUF file and holds some tensors."""
    with file.open("rb") as stream:
        head = stream.read(24)
    version = int.from_bytes(head[4:8], "little")
    if head[:4] != b"GGUF" or len(head) < 24 or version not in (2, 3):
        raise ModelError(f"{file} is no GGUF file of version 2 or 3 (it starts with {head[:8]!r}); fetch it again")
    if int.from_bytes(head[8:16], "little") == 0:
        raise ModelError(f"{file} holds no tensors (a vocabulary alone?); give a GGUF file with weights")


def convert_gguf(file: Path, *, store: Path) -> Path:
    """The checkpoint made of ``file``, in ``store/<stem>-<content hash>``; made once, then found again.

    It appears under its name only when it is whole. Raises ModelError if ``file`` is cut off or malformed, and
    MissingExtraError without the packages that read GGUF.
    """
    check_gguf(file)
    if find_spec("gguf") is None or find_spec("accelerate") is None:
        raise MissingExtraError(f'{file} cannot be read without the gguf extra; run: pip install "rzero[gguf]"')
    _check_tensors(file)
    target = store / f"{file.stem}-{hash_file(file)}"
    if target.is_dir():
        return target
    store.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=store))
    try:
        _convert(file, scratch)
        scratch.chmod(0o755)
        scratch.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def _check_tensors(file: Path) -> None:
    from gguf import GGUFReader

    try:
        GGUFReader(file)
    except (ValueError, LookupError, OverflowError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{file} is cut off or malformed ({type(error).__name__}: {reason}); fetch it again"
        ) from error


def _convert(file: Path, directory: Path) -> None:
    import torch
    from transformers import GgufConfig

    tokenizer = load_tokenizer(file.parent, gguf_file=file.name)
    unpacked = GgufConfig(dequantize=True)
    with redirect_stderr(StringIO()):  # a progress bar that heeds no setting
        module = load_module(file.parent, gguf_file=file.name, quantization_config=unpacked, dtype=torch.float32)
    with quiet():
        module.to(torch.bfloat16).save_pretrained(directory)  # pyright: ignore[reportArgumentType]
        tokenizer.save_pretrained(directory)
