"""Master weights: fp32 parameters that the optimiser works on while the model computes in bf16.

bf16 has 8 significant bits. Neither an update of 1e-6 nor a gradient's sum over micro-batches survives in it, so both
are kept in fp32. A model that computes in fp32 (or fp64) is its own master, and nothing is stored twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn


class MasterWeights:
    """The masters of the given parameters, by name. From here on these take gradients."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self._parameters = dict(parameters)
        self.by_name = {name: self._master(parameter) for name, parameter in self._parameters.items()}

    @property
    def stored_apart(self) -> dict[str, nn.Parameter]:
        """The masters that are tensors of their own, by parameter name."""
        return {name: master for name, master in self.by_name.items() if master is not self._parameters[name]}

    @contextmanager
    def gradients(self) -> Iterator[None]:
        """Inside, a backward pass adds each gradient to its master's ``grad``, in fp32, as soon as it is complete.

        There are none when the block is entered, and none are kept when it is left: sampling needs the memory.
        """
        self._drop_gradients()
        handles = [
            self._parameters[name].register_post_accumulate_grad_hook(partial(_move_gradient, master))
            for name, master in self.stored_apart.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._drop_gradients()

    def gradient_of(self, parameter: Tensor) -> Tensor | None:
        """Where to add to the gradient of ``parameter`` by hand: its master's, made if it is not there yet.

        None for a tensor that is not trained.
        """
        for name, candidate in self._parameters.items():
            if candidate is parameter and candidate.requires_grad:
                master = self.by_name[name]
                if master.grad is None:
                    master.grad = torch.zeros_like(master)
                return master.grad
        return None

    def clip_gradients(self, max_norm: float) -> float:
        """Scale all gradients down to a global norm of ``max_norm``; returns the norm that they had."""
        return torch.nn.utils.clip_grad_norm_(self.by_name.values(), max_norm).item()

    def shape(self, name: str) -> torch.Size:
        """Of the whole parameter."""
        return self.by_name[name].shape

    def rows(self, name: str) -> slice | None:
        """The part of a tensor shaped like the parameter that is kept in this process; None for all of it."""
        return None

    def whole(self, name: str, tensor: Tensor) -> Tensor:
        """The tensor, shaped like the parameter, of which ``tensor`` is this process's part."""
        return tensor

    def hand_over(self, tensors: Iterator[Tensor], write: Callable[[Iterator[Tensor]], None]) -> None:
        """Have whole ``tensors`` written by whichever process writes files."""
        write(tensors)

    @torch.no_grad()
    def publish(self) -> None:
        """Round the masters into the weights that the model computes with, in place."""
        for name, master in self.stored_apart.items():
            self._parameters[name].copy_(master)

    @property
    def num_bytes(self) -> int:
        """Of all masters that are kept in this process."""
        return sum(master.numel() * master.element_size() for master in self.by_name.values())

    def _master(self, parameter: nn.Parameter) -> nn.Parameter:
        parameter.requires_grad_(True)
        if parameter.dtype in (torch.float32, torch.float64):
            return parameter
        return nn.Parameter(parameter.detach().float())

    def _drop_gradients(self) -> None:
        for name, master in self.by_name.items():
            master.grad = self._parameters[name].grad = None


def _move_gradient(master: nn.Parameter, parameter: Tensor) -> None:
    gradient, parameter.grad = parameter.grad, None
    assert gradient is not None
    master.grad = gradient.float() if master.grad is None else master.grad.add_(gradient)
