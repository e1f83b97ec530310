"""A model without its weights: kept while these lie in pieces in several processes, and filled to be saved.

Filled, it is the model that was opened in all that a checkpoint says: class, precision, configuration, tied weights.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from rzero.models.head import OutputHead
from rzero.models.language_model import LanguageModel

if TYPE_CHECKING:
    from torch import Tensor


def skeleton(model: LanguageModel) -> LanguageModel:
    """``model`` with its trained parameters on the meta device, where they take no memory; the rest is shared."""
    import torch

    return _with_parameters(model, {name: torch.empty_like(p, device="meta") for name, p in model.trained.items()})


def fill(empty: LanguageModel, weights: Mapping[str, Tensor]) -> LanguageModel:
    """The model of which ``empty`` is the skeleton, with the given weights, by parameter name, as its own."""
    return _with_parameters(empty, weights)


def _with_parameters(model: LanguageModel, weights: Mapping[str, Tensor]) -> LanguageModel:
    from torch import nn

    tensors = [*model.module.parameters(), *model.module.buffers()]
    memo: dict[int, object] = {id(tensor): tensor for tensor in tensors}
    memo |= {id(p): nn.Parameter(weights[name], requires_grad=False) for name, p in model.trained.items()}
    module = copy.deepcopy(model.module, memo)
    return replace(model, module=module, head=OutputHead.of(module))
