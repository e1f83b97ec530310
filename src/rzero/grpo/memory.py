"""What a training step will take in memory, and what there is: so that a batch that cannot fit is refused beforehand.

On a CPU an allocation that the machine cannot back does not fail; some process is killed later. So the step's need is
estimated before it begins:

- gradients and, before the first update, AdamW's moments, for each trained parameter in its master's precision;
- the output head's buffers: one chunk of logits, its weight's gradient, and as much again for the embedding's; and the
  scores and logits that are worked on at a time;
- for each token of the largest pass, what the layers keep for the backward pass. It is not derived from an
  architecture's formulas but counted on the model itself, in two small passes; one layer's share is added for what is
  on its way. Checkpointed, each layer keeps its input alone, and one layer at a time the rest.

Nothing that the process holds already (weights, masters, reference) is part of the estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from rzero.errors import EngineError

_GIB = 1 << 30
# What torch's allocators and libraries say; RuntimeError is the only type that they raise it with.
_SHORTAGE = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc")
_ROOM = 0.8  # of what is available is planned with before layers are checkpointed
# Of what would just fit, this much is advised: malloc's heap breaks into pieces, and a CPU process was seen to grow by
# 1.25 times the estimate, which itself was twice the tensors that were alive at a time.
_SAFE = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMemory:
    """Bytes that a step needs: ``fixed``, and ``per_token`` for each token of its largest pass."""

    fixed: int
    per_token: int

    def bytes_for(self, num_tokens: int) -> int:
        """With passes of at most ``num_tokens`` tokens.

        >>> StepMemory(fixed=100, per_token=3).bytes_for(10)
        130
        """
        return self.fixed + self.per_token * num_tokens

    def most_tokens(self, available: int) -> int:
        """The largest pass that ``available`` bytes are enough for; 0 if there is none.

        >>> StepMemory(fixed=100, per_token=3).most_tokens(130), StepMemory(fixed=100, per_token=3).most_tokens(50)
        (10, 0)
        """
        return max(0, (available - self.fixed) // self.per_token)


def plan_checkpointing(needs: dict[bool, StepMemory], *, num_tokens: int, longest: int, available: int) -> bool:
    """Whether to checkpoint, out of the choices in ``needs``, for a largest pass of ``num_tokens`` tokens.

    Without checkpointing wherever that fits easily. Raises EngineError if nothing fits; ``longest`` is the number of
    tokens of the longest rollout with its prompt, which cannot be split.
    """
    if False in needs and (len(needs) == 1 or needs[False].bytes_for(num_tokens) <= _ROOM * available):
        choice = False
    else:
        choice = True
    need = needs[choice]
    if need.bytes_for(num_tokens) > available:
        raise EngineError(
            f"an update needs about {need.bytes_for(num_tokens) / _GIB:.2f} GiB with {num_tokens} tokens in one pass, "
            f"and {available / _GIB:.2f} GiB are available; "
            + advice(int(_SAFE * need.most_tokens(available)), longest=longest, checkpointing=choice)
        )
    return choice


def advice(most_tokens: int, *, longest: int, checkpointing: bool) -> str:
    """What to change where passes of ``most_tokens`` tokens would fit."""
    other = "" if checkpointing else ", or set grpo.checkpointing=on"
    if most_tokens >= longest:
        return f"set grpo.tokens_per_microbatch={most_tokens} or lower{other}"
    if most_tokens:
        return (
            f"{most_tokens} tokens would fit, but the longest rollout with its prompt has {longest} and cannot be "
            f"split: lower max_new_tokens, and set grpo.tokens_per_microbatch={most_tokens}{other}"
        )
    return f"gradients and optimiser alone do not fit: take a smaller model, or a machine with more memory{other}"


@contextmanager
def explained_shortage(num_tokens: int, *, longest: int, checkpointing: bool) -> Iterator[None]:
    """Turn a failed allocation inside into an EngineError that says what to lower; the estimate was too low then."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and not any(word in str(error) for word in _SHORTAGE):
            raise
        reason = " ".join(str(error).split())[:200]
        raise EngineError(
            f"memory ran out in an update with {num_tokens} tokens in one pass ({reason}); the weights are those of "
            f"the last good update; " + advice(max(1, num_tokens // 2), longest=longest, checkpointing=checkpointing)
        ) from error


def kept_bytes(run: Callable[[], Tensor], *, besides: set[int]) -> int:
    """Bytes of the tensors that ``run`` keeps for a backward pass, each storage once, without those in ``besides``."""
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in besides:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = run()  # held until the count is done, or storages would be given out again
    del out
    return sum(storages.values())
