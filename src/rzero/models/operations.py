"""Lend a model's norms, gated activations and rotary positions functions of our own, for the length of a pass.

As with attention (``attention.py``), the model's own code runs. A submodule is given another ``forward`` only if it is
recognised by its structure *and* computes the same as ours on random input; everything else is left alone. Whoever uses
the module outside :func:`own_operations` does not notice.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from rzero.models.lending import Loan, lent

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

_ROTARY = "apply_rotary_pos_emb"
_EPSILONS = ("variance_epsilon", "eps", "epsilon")

_known: WeakKeyDictionary[nn.Module, list[Loan]] = WeakKeyDictionary()


@contextmanager
def own_operations(module: PreTrainedModel) -> Iterator[None]:
    """Inside, the submodules of ``module`` that :func:`replacements` finds compute with our functions.

    With checkpointed layers the backward pass belongs inside too.
    """
    if module not in _known:
        _known[module] = replacements(module)
    with lent(_known[module]):
        yield


def replacements(module: PreTrainedModel) -> list[Loan]:
    """Submodules of the decoder and what may stand for their ``forward``; none but on a CPU with a C compiler."""
    from rzero.models import elementwise

    if module.device.type != "cpu" or module.dtype not in elementwise.DTYPES or not elementwise.available():
        return []
    import torch

    with torch.no_grad():
        found = [(part, _replacement(part)) for part in module.get_decoder().modules()]
    return [(part, "forward", forward) for part, forward in found if forward is not None]


def _replacement(part: nn.Module) -> Callable[..., Any] | None:
    if "forward" in vars(part):
        return None  # somebody else's
    names = {name for name, _ in part.named_children()}
    if {"gate_proj", "up_proj", "down_proj", "act_fn"} == names:
        return _gated_layer(part)
    if not names and [name for name, _ in part.named_parameters()] == ["weight"] and not list(part.buffers()):
        return _norm(part)
    return _attention(part)


def _norm(part: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """Root-mean-square norms in the two forms that there are."""
    from rzero.models.elementwise import LANES, Norm

    weight: Any = part.weight
    eps = next((vars(part)[name] for name in _EPSILONS if isinstance(vars(part).get(name), float)), None)
    if eps is None or weight.dim() != 1 or weight.shape[0] % LANES:
        return None
    x, other = _random(weight, 3, weight.shape[0]), _random(weight, weight.shape[0])
    for norm in (Norm(eps=eps, offset=0.0, early=True), Norm(eps=eps, offset=1.0, early=False)):
        if _agrees(lambda: _with_weight(part, other, x), lambda norm=norm: norm(x, other)):
            return lambda x: norm(x, part.weight)  # pyright: ignore[reportArgumentType]
    return None


def _gated_layer(part: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """Feed-forward parts that are down(activation(gate(x)) * up(x))."""
    from rzero.models.elementwise import LANES, gated

    modules: Any = part
    rows: Tensor = modules.gate_proj.weight
    if rows.shape[0] % LANES:
        return None
    x = _random(rows, 3, rows.shape[1])
    for gelu in (False, True):

        def forward(x: Tensor, gelu: bool = gelu) -> Tensor:
            return modules.down_proj(gated(modules.gate_proj(x), modules.up_proj(x), gelu=gelu))

        if _agrees(lambda: part(x), lambda forward=forward: forward(x)):
            return forward
    return None


def _attention(part: nn.Module) -> Callable[..., Any] | None:
    """The layer's own code, in which the name of the rotary function means ours."""
    from rzero.models.elementwise import LANES, rotate

    own: Any = inspect.unwrap(type(part).forward)
    size = getattr(part, "head_dim", None)
    theirs = getattr(own, "__globals__", {}).get(_ROTARY)
    if theirs is None or _ROTARY not in own.__code__.co_names or not isinstance(size, int) or size % (2 * LANES):
        return None
    like = next(part.parameters())
    query, key = _random(like, 2, 4, 3, size), _random(like, 2, 2, 3, size)
    angles = _random(like, 2, 3, size), _random(like, 2, 3, size)
    for index in (0, 1):
        if not _agrees(
            lambda index=index: theirs(query, key, *angles)[index],
            lambda index=index: rotate(query, key, *angles)[index],
        ):
            return None

    def rotary(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, *others: Any, **named: Any) -> Any:
        plain = not others and not named and cos.dtype is query.dtype
        return rotate(query, key, cos, sin) if plain else theirs(query, key, cos, sin, *others, **named)

    lending = FunctionType(own.__code__, {**own.__globals__, _ROTARY: rotary}, own.__name__, None, own.__closure__)
    lending.__defaults__, lending.__kwdefaults__ = own.__defaults__, own.__kwdefaults__
    return MethodType(lending, part)


def _with_weight(part: nn.Module, weight: Tensor, x: Tensor) -> Tensor:
    """A norm's own weight may be all ones, which would hide what is done with it."""
    from torch.func import functional_call

    return functional_call(part, {"weight": weight}, (x,))


def _random(like: Tensor, *shape: int) -> Tensor:
    import torch

    generator = torch.Generator().manual_seed(len(shape) + shape[0])  # the process's own state is others'
    return torch.randn(*shape, generator=generator).to(like.dtype)


def _agrees(theirs: Callable[[], Tensor], ours: Callable[[], Tensor]) -> bool:
    """Whether the two differ by rounding at most. Damaged weights are equal to themselves."""
    import torch

    try:
        expected = theirs()
    except (TypeError, RuntimeError):  # it wants other arguments
        return False
    found = ours()
    close = 8 * torch.finfo(found.dtype).eps
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=close, atol=close, equal_nan=True)
