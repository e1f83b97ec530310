"""The sizes of a decoder, and what follows from them alone: parameters, bytes of cache, floating-point operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of a Llama-like decoder: grouped heads, a gated feed-forward part.

    ``tied``: embedding and output head are one matrix. ``head_norms``: queries and keys are normalised in each head, as
    in Qwen3. ``qkv_bias``: the projections of attention have a bias, as in Qwen2.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied: bool = True
    head_norms: bool = False
    qkv_bias: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Shape:
        """From the values of a checkpoint's config.json. Raises KeyError for one that is not of such a decoder."""
        config = config.get("text_config") or config
        hidden, heads = config["hidden_size"], config["num_attention_heads"]
        kind = config.get("model_type", "")
        return cls(
            layers=config["num_hidden_layers"],
            hidden=hidden,
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            head_dim=config.get("head_dim") or hidden // heads,
            intermediate=config["intermediate_size"],
            vocab=config["vocab_size"],
            tied=config.get("tie_word_embeddings", True),
            head_norms=kind.startswith(("qwen3", "gemma3")),
            qkv_bias=config.get("attention_bias", kind == "qwen2"),
        )

    @property
    def query_dim(self) -> int:
        """Entries of all heads' queries of one position."""
        return self.heads * self.head_dim

    @property
    def kv_dim(self) -> int:
        """Entries of all heads' keys of one position; as many values."""
        return self.kv_heads * self.head_dim

    @property
    def layer_weights(self) -> int:
        """Entries of all layers' matrices, without embedding and head."""
        attention = self.hidden * (2 * self.query_dim + 2 * self.kv_dim)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def head_weights(self) -> int:
        """Entries of the output head's matrix."""
        return self.vocab * self.hidden

    @property
    def parameters(self) -> int:
        """All parameters, a tied matrix once."""
        norms = (2 * self.layers + 1) * self.hidden + self.head_norms * 2 * self.layers * self.head_dim
        biases = self.qkv_bias * self.layers * (self.query_dim + 2 * self.kv_dim)
        return self.layer_weights + norms + biases + (1 if self.tied else 2) * self.head_weights

    def adapter_parameters(self, rank: int) -> int:
        """Of LoRA matrices of ``rank`` on all linear layers but the head: rank x (rows + columns) of each."""
        attention = 2 * (self.hidden + self.query_dim) + 2 * (self.hidden + self.kv_dim)
        return rank * self.layers * (attention + 3 * (self.hidden + self.intermediate))

    def kv_bytes(self, bytes_per_entry: int) -> int:
        """Bytes of the keys and values of one position, all layers together."""
        return 2 * self.layers * self.kv_dim * bytes_per_entry

    def forward(self, *, tokens: int, attended: int, predicted: int) -> int:
        """Floating-point operations of ``tokens`` through the layers, which look at ``attended`` positions in all, and
        of ``predicted`` positions through the head. Matrix products alone, 2 operations a multiply-add.
        """
        attention = 4 * self.layers * self.query_dim * attended
        return 2 * self.layer_weights * tokens + attention + 2 * self.head_weights * predicted


def causal(length: int) -> int:
    """Positions that a causal row of ``length`` tokens looks at, its own among them.

    >>> causal(3)
    6
    """
    return length * (length + 1) // 2
