"""Which attention kernel serves a model, proven on the model itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from rzero.engines.paged.cache import PagedCache
from rzero.engines.paged.flash import FlashKernel
from rzero.engines.paged.kernels import Kernel
from rzero.engines.paged.native import NativeKernel
from rzero.engines.paged.pages import Pages
from rzero.engines.paged.plain import PlainKernel
from rzero.models.attention import takes_own_attention
from rzero.models.head import hidden_states
from rzero.models.language_model import LanguageModel

_BEHIND, _DECODED = 5, 3  # tokens of a prompt behind its beginning, and completed ones


@dataclass(frozen=True, slots=True)
class Choice:
    """A kernel, and the bytes that one token takes in its cache, all layers together."""

    kernel: Kernel
    bytes_per_token: int


def choose_kernel(model: LanguageModel, *, plain: bool = False) -> Choice | None:
    """The fastest kernel that computes what the model's own forward pass does; None if the model cannot be paged.

    ``plain`` leaves none but the one in PyTorch's basic operations.
    """
    if not takes_own_attention(model.module):
        return None
    for make in (PlainKernel,) if plain else _candidates(model):
        kernel = make()
        try:
            with torch.inference_mode():
                size = _check(model, kernel)
        except ValueError:
            continue  # the kernel has no code for such heads, or for a soft cap
        except RuntimeError as error:
            if not isinstance(kernel, FlashKernel):
                raise
            warnings.warn(f"sampling is slower than it could be: {error}", RuntimeWarning, stacklevel=3)
            continue
        if size is not None:
            return Choice(kernel, size)
    return None


def _candidates(model: LanguageModel) -> Iterator[Callable[[], Kernel]]:
    if model.device.type == "cpu" and model.dtype in NativeKernel.DTYPES:
        try:
            NativeKernel()
        except OSError as error:
            warnings.warn(f"sampling is slower than it could be: {error}", RuntimeWarning, stacklevel=2)
        else:
            yield NativeKernel
    if model.device.type == "cuda" and model.dtype in FlashKernel.DTYPES and FlashKernel.available():
        yield FlashKernel
    yield PlainKernel


def _check(model: LanguageModel, kernel: Kernel) -> int | None:
    """Prefill and decode a few tokens; bytes per token, or None if the hidden states are not the model's own."""
    vocab_size = model.head.weight.shape[0]
    # The beginning is a page, if there is context for more, so that the prompt ends inside its second one.
    beginning = min(kernel.page_size, model.max_context - _BEHIND - _DECODED)
    prompt = beginning + _BEHIND
    tokens = (torch.arange(1, prompt + _DECODED + 1) * 7919 % vocab_size).tolist()
    expected = hidden_states(model.module, input_ids=torch.tensor([tokens], device=model.device), use_cache=False)[
        0, prompt - 1 :
    ].float()
    pages = Pages(limit=-(-len(tokens) // kernel.page_size))
    own = pages.take(pages.limit)
    cache = PagedCache(model, kernel, pages)
    cache.prefill([tuple(tokens[:beginning])], [own])
    found = [cache.prefill([tuple(tokens[:prompt])], [own], beginning)]
    for position in range(prompt, len(tokens)):
        found.append(
            cache.decode(
                np.array(tokens[position : position + 1]),
                np.array([position], dtype=np.int32),
                np.array([own], dtype=np.int32),
            )
        )
    if not expected.isfinite().all():
        return cache.bytes_per_token  # damaged weights: nothing to compare, and whoever samples will say so
    distance = (torch.cat(found).float() - expected).norm() / expected.norm()
    # Rounding adds up over the layers like a random walk, and hard-trained weights amplify it: eager fp32 itself was
    # seen 60 eps from fp64 after three layers. A missing operation shows as a distance near 1. Models compute some
    # parts, like rotary angles, in fp32 whatever their dtype.
    tolerance = max(8 * torch.finfo(model.dtype).eps, 256 * torch.finfo(torch.float32).eps) * cache.num_layers**0.5
    return cache.bytes_per_token if distance < min(tolerance, 0.25) else None
