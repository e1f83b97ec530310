"""Drawing in ``draw.c``, one pass over the logits instead of one for each operation."""

from __future__ import annotations

from ctypes import CDLL, c_float, c_int, c_void_p
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from rzero.native.compiler import build

_SOURCE = Path(__file__).with_name("draw.c")
_DTYPES = (torch.float32, torch.bfloat16)


def serves(logits: Tensor) -> bool:
    """Whether :func:`native_draw` can take them: on a CPU, in fp32 or bf16, where there is a C compiler."""
    return logits.device.type == "cpu" and logits.dtype in _DTYPES and _library() is not None


def native_draw(logits: Tensor, uniforms: Tensor, *, temperature: float) -> tuple[Tensor, Tensor]:
    """What :func:`rzero.engines.draw.draw` returns without cuts."""
    library = _library()
    assert library is not None
    logits, uniforms = logits.contiguous(), uniforms.contiguous()
    rows, vocab_size = logits.shape
    tokens, logprobs = torch.empty(rows, dtype=torch.int64), torch.empty(rows)
    failed = library.draw(
        logits.data_ptr(),
        rows,
        vocab_size,
        uniforms.data_ptr(),
        temperature,
        tokens.data_ptr(),
        logprobs.data_ptr(),
        logits.dtype is torch.bfloat16,
        torch.get_num_threads(),
    )
    if failed:
        raise MemoryError("no memory to draw tokens")
    return tokens, logprobs


@cache
def _library() -> CDLL | None:
    try:
        library = CDLL(str(build(_SOURCE)))
    except OSError:  # the choice of the attention kernel has warned of it
        return None
    library.draw.argtypes = [c_void_p, c_int, c_int, c_void_p, c_float, c_void_p, c_void_p, c_int, c_int]
    library.draw.restype = c_int
    return library
