"""A model's weights in equal parts over all processes of a group, by PyTorch's FSDP2, and their masters.

Each decoder layer is gathered when it computes and let go of afterwards; embeddings, final norm and head are one more
unit, which is there from the beginning of a pass to its end. Gradients are added up over the processes, in fp32, and
each keeps the rows that it keeps of the weights: row by row, parameter after parameter, the first rows in process 0.
So masters, gradients and optimiser state of a parameter are plain tensors with some of its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rzero.errors import ConfigError, EngineError
from rzero.grpo.masters import MasterWeights
from rzero.grpo.passes import decoder_layers
from rzero.grpo.ranks import Ranks
from rzero.models.language_model import LanguageModel


class ShardedMasters(MasterWeights):
    """Masters of the trained parameters of ``model``, whose module is sharded here, in place.

    Each process must hold the whole model, and the same one. From one layer to the next a process then lets go of what
    is the others'; at no time does it hold more than one layer in fp32 as a whole.

    Raises EngineError if the processes hold different models, and ConfigError if the weights have several precisions.
    """

    def __init__(self, model: LanguageModel, *, device: torch.device, ranks: Ranks) -> None:
        self._ranks = ranks
        self._dtype = model.dtype
        _check(model, ranks)
        _shard(model, device=device)
        super().__init__(model.trained)

    @property
    def stored_apart(self) -> dict[str, nn.Parameter]:
        """All masters, if the model computes in less than their precision."""
        return self.by_name if self._dtype != _master_dtype(self._dtype) else {}

    @property
    def num_bytes(self) -> int:
        """Of all masters in process 0, where they are largest."""
        shapes = [(parameter.shape, parameter.element_size()) for parameter in self._parameters.values()]
        return sum(self._most_rows(shape) * shape[1:].numel() * size for shape, size in shapes)

    @contextmanager
    def gradients(self) -> Iterator[None]:
        """Inside, backward passes add up gradients; none are there when the block is entered, none when it is left."""
        self._drop_gradients()
        try:
            yield
        finally:
            self._drop_gradients()

    def clip_gradients(self, max_norm: float) -> float:
        """Scale all gradients down to a norm of ``max_norm`` over all processes; returns the norm that they had."""
        for name, master in self.by_name.items():
            gradient: Any = self._parameters[name].grad
            master.grad = None if gradient is None else gradient.to_local()
        gradients = [master.grad for master in self.by_name.values() if master.grad is not None]
        own = torch.nn.utils.get_total_norm(gradients).item()
        (square,) = self._ranks.total([own * own])
        norm = square**0.5
        torch.nn.utils.clip_grads_with_norm_(
            self.by_name.values(), max_norm, torch.tensor(norm, dtype=_master_dtype(self._dtype))
        )
        return norm

    def publish(self) -> None:
        """Nothing is to be done: the masters are rounded when they are gathered for a pass."""

    def shape(self, name: str) -> torch.Size:
        """Of the whole parameter."""
        return self._parameters[name].shape

    def rows(self, name: str) -> slice:
        """Those that are kept in this process."""
        shape = self.shape(name)
        start = min(self._ranks.rank * self._most_rows(shape), shape[0])
        return slice(start, start + self.by_name[name].shape[0])

    def whole(self, name: str, tensor: Tensor) -> Tensor:
        """All rows, out of those that each process keeps; called by all together."""
        if not tensor.dim():  # the optimiser's count of steps
            return tensor
        shape = self.shape(name)
        most = self._most_rows(shape)
        own = tensor.new_zeros(most, *shape[1:])
        own[: len(tensor)] = tensor.detach()
        everything = tensor.new_empty(most * self._ranks.size, *shape[1:])
        dist.all_gather(list(everything.chunk(self._ranks.size)), own)
        return everything[: shape[0]]

    def hand_over(self, tensors: Iterator[Tensor], write: Callable[[Iterator[Tensor]], None]) -> None:
        """Have whole ``tensors`` written by process 0; called by all together, and if it fails it fails in all."""
        failure = None
        if not self._ranks.rank:
            try:
                write(tensors)
            except Exception as error:  # raised again, when the others have not been left waiting
                failure = error
        for _ in tensors:
            pass
        self._ranks.agree(failure)

    def _master(self, parameter: nn.Parameter) -> nn.Parameter:
        sharded: Any = parameter.detach()
        return nn.Parameter(sharded.to_local())

    def _most_rows(self, shape: torch.Size) -> int:
        return -(-shape[0] // self._ranks.size)


def is_sharded(module: nn.Module) -> bool:
    """Whether the weights of ``module`` are only together inside its forward pass."""
    from torch.distributed.fsdp import FSDPModule

    return isinstance(module, FSDPModule)


def shard_frozen(model: LanguageModel, *, device: torch.device) -> None:
    """Shard the module of a ``model`` that is read only, in place, unless it is already."""
    if not is_sharded(model.module):
        model.module.requires_grad_(False)
        _shard(model, device=device)


def _shard(model: LanguageModel, *, device: torch.device) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    from torch.distributed.tensor import DTensor

    trained = {id(parameter) for parameter in model.trained.values() if parameter.requires_grad}
    ignored = set() if model.base is None else set(model.base.module.parameters())
    # Inputs are left as they are: the layers see what they see in a module that is not sharded.
    policy = MixedPrecisionPolicy(
        param_dtype=model.dtype, reduce_dtype=_master_dtype(model.dtype), cast_forward_inputs=False
    )
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for module in [*reversed(decoder_layers(model)), model.module]:
        for parameter in module.parameters():
            if id(parameter) in trained and not isinstance(parameter, DTensor):
                parameter.data = parameter.data.to(_master_dtype(parameter.dtype))
        unit = fully_shard(module, mesh=mesh, mp_policy=policy, ignored_params=ignored)
        # Each token carries its share of the whole update's denominator, so gradients are added, not averaged.
        unit.set_gradient_divide_factor(1.0)
        unit.set_force_sum_reduction_for_comms(True)


def _check(model: LanguageModel, ranks: Ranks) -> None:
    dtypes = sorted({str(parameter.dtype).removeprefix("torch.") for parameter in model.trained.values()})
    if len(dtypes) > 1:
        raise ConfigError(
            f"{model.path} has weights in {' and '.join(dtypes)}, which cannot be sharded together; "
            f"set model.dtype=float32, or train it with one learner"
        )
    whole = {torch.float64: torch.int64, torch.float32: torch.int32}
    sums = (p.detach().view(whole.get(p.dtype, torch.int16)).sum(dtype=torch.int64) for p in model.trained.values())
    if not ranks.same(sum(int(total) for total in sums) % (1 << 52)):
        raise EngineError(
            f"the processes of the sharded learner opened different models (here: {model.path}); open the same one"
        )


def _master_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
