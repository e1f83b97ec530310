"""Our attention inside transformers' modules: they compute queries, keys and values, we keep the cache and attend.

transformers looks attention functions up by name, in its configuration. Ours is switched on for the length of one
forward pass, so nothing of it is left in a module or in a checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

_NAME = "rzero_paged"


class Attention(Protocol):
    """What one forward pass does in each attention layer."""

    def __call__(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, *, scale: float, window: int, softcap: float
    ) -> Tensor:
        """``query`` [B, H, L, D], ``key`` and ``value`` [B, kv_heads, L, D] of the new tokens; returns [B, L, H, D].

        ``window`` 0 and ``softcap`` 0 mean none.
        """
        ...


_current: ContextVar[Attention] = ContextVar("attention")


@contextmanager
def attending(module: PreTrainedModel, attention: Attention) -> Iterator[None]:
    """Inside, the attention layers of ``module`` call ``attention``; masks are not made."""
    config: Any = module.get_decoder().config
    before = config._attn_implementation
    token = _current.set(attention)
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        _current.reset(token)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **unused: Any,
) -> tuple[Tensor, None]:
    layer: Any = module.layer_idx
    out = _current.get()(
        layer,
        query,
        key,
        value,
        scale=query.shape[-1] ** -0.5 if scaling is None else scaling,
        window=sliding_window or 0,
        softcap=softcap or 0.0,
    )
    return out, None


def _no_mask(*unused: Any, **unused_too: Any) -> None:
    return None


AttentionInterface.register(_NAME, _attention)
AttentionMaskInterface.register(_NAME, _no_mask)
