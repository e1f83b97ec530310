"""Lend an opened model an attention function of our own, through transformers' attention interface.

The model's own code runs as it is; only the step from queries, keys and values to the attention's output is ours, and
only inside :func:`own_attention`: configuration, checkpoint and everybody else who uses the module are unaffected.
No mask is built there: the function knows by itself who may see whom.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

_NAME = "rzero"


class AttentionFunction(Protocol):
    """Attention of one layer: ``query`` [B, H, T, D], ``key`` and ``value`` [B, K, T, D] with H a multiple of K."""

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scaling: float,
        sliding_window: int | None,
        softcap: float | None,
    ) -> Tensor:
        """The output [B, T, H, D].

        A query sees a key if it comes less than ``sliding_window`` positions before it (None: however far). Scores are
        query . key x ``scaling``, then softcap x tanh(scores / softcap) where ``softcap`` is not None.
        """
        ...


# By the identity of the configuration, which is what a layer finds its attention function with. A plain dictionary: the
# backward pass of a checkpointed layer may call from another thread.
_lent: dict[int, AttentionFunction] = {}


@contextmanager
def own_attention(module: PreTrainedModel, function: AttentionFunction) -> Iterator[None]:
    """Inside, each attention layer of ``module``'s decoder that uses transformers' interface calls ``function``.

    With checkpointed layers the backward pass belongs inside too. One function at a time for each module.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, _call)
    config = module.get_decoder().config
    before = config._attn_implementation
    _lent[id(config)] = function
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        del _lent[id(config)]


def takes_own_attention(module: PreTrainedModel) -> bool:
    """Whether all that a function given to :func:`own_attention` must know reaches it, in every layer of ``module``.

    False for an architecture with attention code of its own, with more than a causal mask, a sliding window and a soft
    cap between scores and output (attention sinks, chunks, relative positions), or with layers that are no attention.
    """
    import torch

    decoder = module.get_decoder()
    config = decoder.config
    layers = getattr(config, "num_hidden_layers", None)
    windows: list[int | None] = []

    def record(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        windows.append(options["sliding_window"])
        seen = torch.ones(query.shape[2], query.shape[2], dtype=torch.bool, device=query.device).tril()
        return reference_attention(query, key, value, seen=seen, **options)

    tokens = torch.arange(1, 5, device=decoder.device)[None] * 7919 % config.vocab_size
    with torch.no_grad():
        expected = decoder(input_ids=tokens, use_cache=False).last_hidden_state.float()
        try:
            with own_attention(module, record):
                found = decoder(input_ids=tokens, use_cache=False).last_hidden_state.float()
        except _NotUnderstood:
            return False
    kinds = getattr(config, "layer_types", None) or []
    sliding = kinds.count("sliding_attention") if kinds else 0
    # Some architectures take the softmax in fp32 whatever their precision; there trained weights amplify rounding.
    close = max(16 * torch.finfo(decoder.dtype).eps, 64 * torch.finfo(torch.float32).eps) * expected.abs().max()
    return (
        len(windows) == layers
        and set(kinds) <= {"full_attention", "sliding_attention"}
        and sum(window is not None for window in windows) >= sliding
        and not getattr(config, "attention_chunk_size", None)
        and not getattr(config, "use_bidirectional_attention", None)
        # Damaged weights compare with nothing; whoever computes with them will say so.
        and (bool((found - expected).abs().max() <= close) or not expected.isfinite().all())
    )


def reference_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    seen: Tensor,
    scaling: float,
    sliding_window: int | None,
    softcap: float | None,
) -> Tensor:
    """Attention as the formula has it, for comparisons; ``seen`` [T, T] says which key (column) a query (row) sees.

    A window is counted in columns. Shapes as in :class:`AttentionFunction`; computed in fp32, or fp64 for fp64.
    """
    import torch

    if sliding_window is not None:
        place = torch.arange(query.shape[2], device=query.device)
        seen = seen & (place[:, None] - place < sliding_window)
    repeats = query.shape[1] // key.shape[1]
    dtype = torch.promote_types(query.dtype, torch.float32)
    keys, values = (tensor.to(dtype).repeat_interleave(repeats, 1) for tensor in (key, value))
    scores = query.to(dtype) @ keys.transpose(2, 3) * scaling
    if softcap is not None:
        scores = softcap * (scores / softcap).tanh()
    chances = scores.masked_fill(~seen, float("-inf")).softmax(-1)
    return (chances @ values).to(value.dtype).transpose(1, 2)


class _NotUnderstood(Exception):
    """A layer asks for something that an :class:`AttentionFunction` is not told."""


def _call(
    layer: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in place of its own attention."""
    if attention_mask is not None or dropout or others.get("s_aux") is not None or not others.get("is_causal", True):
        raise _NotUnderstood
    function = _lent[id(layer.config)]
    scale = scaling or query.shape[-1] ** -0.5
    return function(query, key, value, scaling=scale, sliding_window=sliding_window, softcap=softcap), None
