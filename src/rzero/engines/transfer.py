"""Weights on their way to an engine with a copy of its own, and the proof that they arrived.

An engine may keep weights transposed, padded with zeros, or several matrices as one. The sum over the squares of the
elements' bit patterns does not change by that, and those of matrices that are joined add up. So what an engine holds is
compared with what was sent to the last bit, wherever the engine shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from rzero.engines.weights import read_checkpoint
from rzero.errors import EngineError

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_WORD = 1 << 64
_CHUNK = 1 << 22  # elements that are squared at a time: 32 MB


def bit_sum(tensor: Tensor) -> int:
    """The sum over the squares of the elements' bit patterns, modulo 2^64; independent of their order.

    >>> bit_sum(torch.tensor([[1.0, 2.0, 0.0]])) == bit_sum(torch.tensor([2.0, 1.0]))
    True
    """
    flat = tensor.detach().reshape(-1).view(_INTEGERS[tensor.element_size()])
    return sum(int(part.long().square().sum()) for part in flat.split(_CHUNK)) % _WORD


class Transfer:
    """(name, tensor) pairs for an engine that holds the model ``module`` (on any device; only its names count).

    ``source`` is a checkpoint directory or pairs, cast to ``dtype`` and taken one at a time. Tied weights may come
    under any or all of their names and are handed on once. While it is iterated over, it raises EngineError for a name
    that the model does not have or a wrong shape, and at the end if weights did not come.
    """

    def __init__(self, module: nn.Module, source: Path | Iterable[tuple[str, Tensor]], *, dtype: torch.dtype) -> None:
        self._module = module
        self._source = source
        self._dtype = dtype
        self.sums: dict[str, int] = {}
        """What was handed on: the :func:`bit_sum` of each weight, by name."""

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        first = {id(parameter): name for name, parameter in self._module.named_parameters()}
        targets = {
            name: (first[id(parameter)], parameter.shape)
            for name, parameter in self._module.named_parameters(remove_duplicate=False)
        }
        kind = type(self._module).__name__
        for name, tensor in self._pairs(targets.keys() | dict(self._module.named_buffers()).keys()):
            if name not in targets:
                continue
            canonical, shape = targets[name]
            if tensor.shape != shape:
                raise EngineError(
                    f"weight {name!r} has shape {tuple(tensor.shape)}, {kind} has {tuple(shape)}; load a checkpoint "
                    "of this model"
                )
            if canonical not in self.sums:
                cast = tensor.detach().to(self._dtype)
                self.sums[canonical] = bit_sum(cast)
                yield canonical, cast
        missing = sorted(set(first.values()) - self.sums.keys())
        if missing:
            raise EngineError(
                f"{len(missing)} weights of {kind} did not come (first: {missing[0]!r}); load a whole checkpoint"
            )

    def _pairs(self, known: set[str]) -> Iterator[tuple[str, Tensor]]:
        if isinstance(self._source, Path):
            # A published file may hold more than the model has use for.
            yield from (pair for pair in read_checkpoint(self._source) if pair[0] in known)
            return
        for name, tensor in self._source:
            if name not in known:
                raise EngineError(
                    f"weight {name!r} is not in {type(self._module).__name__}; load a checkpoint of this model"
                )
            yield name, tensor


def differing(sent: Mapping[str, int], held: Mapping[str, int], *, joined: Mapping[str, Sequence[str]]) -> list[str]:
    """Names in ``held`` whose sum is not that of what was ``sent``; names that were not sent are passed over.

    ``joined`` says which layers the engine keeps as one, as in ``{"qkv_proj": ["q_proj", "k_proj", "v_proj"]}``. Raises
    EngineError if nothing could be compared.

    >>> differing({"a.q.weight": 3, "a.k.weight": 4}, {"a.qk.weight": 8}, joined={"qk": ["q", "k"]})
    ['a.qk.weight']
    """
    sums = {
        name: sum(sent[part] for part in parts) % _WORD
        for name, parts in ((name, _parts(name, joined)) for name in held)
        if all(part in sent for part in parts)
    }
    if not sums:
        raise EngineError(
            "none of the weights that the engine holds has the name of one that was sent, so whether they arrived "
            "cannot be told; use engine.sampler=embedded for this model"
        )
    return sorted(name for name, value in sums.items() if held[name] != value)


def _parts(name: str, joined: Mapping[str, Sequence[str]]) -> list[str]:
    for whole, parts in joined.items():
        if f".{whole}." in name:
            return [name.replace(f".{whole}.", f".{part}.") for part in parts]
    return [name]
