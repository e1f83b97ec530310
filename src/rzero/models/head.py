"""From the decoder's last hidden states to logits, without going through the module's own forward pass.

Samplers need logits of the last position only, learners need them chunk by chunk: both take the hidden states from
:func:`hidden_states` and this head. What an architecture does between its output matrix and its logits is read from its
configuration (a factor, a soft cap), and :func:`check_head` proves on the model itself that nothing was overlooked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rzero.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


class OutputHead:
    """``logits = softcap(scale * (hidden @ weight.T + bias))``.

    ``scale`` is 1 in most architectures (Cohere and Granite differ); ``softcap`` is None or the c of
    c * tanh(logits / c) (Gemma 2).
    """

    def __init__(self, linear: nn.Module, *, scale: float, softcap: float | None) -> None:
        self._linear = linear
        self.scale = scale
        self.softcap = softcap

    @classmethod
    def of(cls, module: PreTrainedModel) -> OutputHead:
        """The head of ``module``. Raises ModelError if it has no output matrix."""
        linear = module.get_output_embeddings()
        if linear is None or not hasattr(linear, "weight"):
            raise ModelError(f"{type(module).__name__} has no output matrix: it is no causal language model; use one")
        config = module.config.get_text_config()
        scale = 1.0
        for name in ("logit_scale", "lm_head_multiplier"):
            scale *= getattr(config, name, None) or 1.0
        scale /= getattr(config, "logits_scaling", None) or 1.0
        return cls(linear, scale=scale, softcap=getattr(config, "final_logit_softcapping", None))

    @property
    def weight(self) -> Tensor:
        """[V, d] The live parameter; with tied embeddings it is the input embedding itself."""
        return self._linear.weight  # pyright: ignore[reportReturnType]

    @property
    def bias(self) -> Tensor | None:
        """[V] The live parameter, or None."""
        return getattr(self._linear, "bias", None)

    def finish(self, logits: Tensor) -> Tensor:
        """What follows the matrix product, elementwise; returns its argument where the architecture does nothing."""
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.softcap is not None:
            logits = (logits / self.softcap).tanh() * self.softcap
        return logits

    def product(self, hidden: Tensor) -> Tensor:
        """[..., V] The matrix product alone."""
        from torch.nn.functional import linear

        return linear(hidden, self.weight, self.bias)

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits [..., V] of last hidden states [..., d], in their dtype."""
        return self.finish(self.product(hidden))


def hidden_states(module: PreTrainedModel, **inputs: Any) -> Tensor:
    """Last hidden states [..., d] of the decoder, after its final norm: what the head is applied to."""
    return module.get_decoder()(**inputs).last_hidden_state


def check_head(module: PreTrainedModel, head: OutputHead) -> None:
    """Compare head and module on a few tokens; raises ModelError, naming the architecture, if their logits differ.

    The two run the same operations, so anything beyond rounding of the dtype is an operation that we do not know of.
    """
    import torch

    vocab_size = head.weight.shape[0]
    tokens = torch.arange(1, 9, device=head.weight.device)[None] * 7919 % vocab_size
    with torch.no_grad():
        expected = module(input_ids=tokens, use_cache=False).logits.float()
        found = head.logits(hidden_states(module, input_ids=tokens, use_cache=False)).float()
    tolerance = 4 * torch.finfo(module.dtype).eps * expected.abs().max().item()
    difference = (found - expected).abs().max().item() if found.shape == expected.shape else float("inf")
    if not difference <= tolerance:
        raise ModelError(
            f"{type(module).__name__}: its output head is not understood (logits differ by {difference:.3g}, "
            f"tolerance {tolerance:.3g}); use another architecture, or teach rzero.models.head this one"
        )
