"""Bytes on each device: what lies there through a training phase, and what sampling and updating add to it.

Masters, moments and gradients are those of the trained parameters, which are an adapter's with LoRA. FSDP2 cuts them
into equal parts, one on each learner's device, and gathers the weights in compute precision layer by layer. A sampler
holds whole weights, unless it is the learner's own module. Keys and values are let go before an update; vLLM on the
learner's device sleeps then, with its weights on the host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rzero.config import Config, flat
from rzero.costs.fleet import Fleet, shares_weights, weight_bytes
from rzero.costs.shape import Shape
from rzero.costs.workload import Lengths

MASTER, MOMENTS, GRADIENT = 4, 8, 4
"""Bytes for each trained parameter, always in fp32; a model that computes in fp32 is its own master."""
_CHUNK = 1024  # tokens in one product with the head, as in grpo/logprobs.py
_WORK, _WORK_CPU = 3 << 30, 40 << 20  # scores and logits that are worked on at a time, as in grpo/passes.py
_USABLE = 0.93  # of a device's memory: context, libraries and fragments take the rest
_ROOM = 0.8  # of what is left is planned with before layers are checkpointed, as in grpo/memory.py
_PAGE = 16  # tokens


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on one device, by what they are: a learner's ``always`` and while ``updating``; a sampler's own ``weights``
    and what lies ``beside`` them, the learner's where both are on one device.

    ``checkpointing`` is what ``grpo.checkpointing`` comes to; the largest pass has ``pass_tokens`` tokens, of which
    each takes ``per_token``. ``kv_wanted`` is what all rows that may run side by side would take at their mean length,
    ``kv_row`` what one of the longest takes, ``kv_room`` what there is for keys and values.
    """

    always: Mapping[str, float]
    updating: Mapping[str, float]
    weights: float
    beside: float
    kv_wanted: float
    kv_row: float
    kv_room: float
    usable: float
    checkpointing: bool
    pass_tokens: int
    per_token: float = field(repr=False)

    @property
    def update_peak(self) -> float:
        """While updating."""
        return sum(self.always.values()) + sum(self.updating.values())

    @property
    def sampling_peak(self) -> float:
        """While sampling, with as much for keys and values as there is or as is wanted."""
        return self.weights + self.beside + min(self.kv_wanted, self.kv_room)

    @property
    def fits(self) -> bool:
        """Whether an update and at least one completion of full length fit."""
        return self.update_peak <= self.usable and self.kv_row <= self.kv_room


def kept_per_token(shape: Shape, *, bytes_per_weight: int) -> float:
    """Bytes that one layer's forward pass keeps for each token's backward pass.

    Counted on Llama and Qwen3 modules of varied sizes: entries of the compute precision for each entry of the hidden
    state (norms keep theirs in fp32 as well), of queries, keys and values, and of the feed-forward part.
    """
    low = bytes_per_weight == 2
    hidden = 8.5 if low else 6.25
    rotated = (5 if low else 4) if shape.head_norms else 2
    entries = hidden * shape.hidden + rotated * (shape.query_dim + shape.kv_dim) + 4 * shape.intermediate
    return bytes_per_weight * entries


def memory(config: Config, shape: Shape, lengths: Lengths, fleet: Fleet) -> Memory:
    """What a training phase takes on each device of ``fleet``; the larger of the two roles' where they differ."""
    size, shards, rank = weight_bytes(config), fleet.learners, config.lora.rank
    trained = shape.adapter_parameters(rank) if rank else shape.parameters
    usable = _USABLE * fleet.device.memory
    always = _always(config, shape, fleet, trained)
    pass_tokens = max(config.grpo.tokens_per_microbatch, lengths.prompt + _longest(config))
    fixed = {
        "gradients": GRADIENT * trained / shards,
        "head, scores and logits at work": (_CHUNK + 2 * shape.hidden) * shape.vocab * size
        + (_WORK_CPU if fleet.device.name == "cpu" else _WORK),
    }
    tokens = {
        choice: _per_token(shape, size, checkpointing=choice) * pass_tokens
        for choice in _choices(config.grpo.checkpointing)
    }
    weights = _sampler_weights(config, shape, fleet)
    room = usable - sum(always.values()) - sum(fixed.values())
    fitting = [choice for choice in tokens if tokens[choice] <= _ROOM * room]
    checkpointing = (fitting or list(tokens))[0 if fitting else -1]
    beside = sum(always.values()) if fleet.together else 0.0
    free = max(0.0, usable - beside - weights)
    kv = shape.kv_bytes(size) / fleet.sampler_gpus
    rows = min(config.engine.max_rows, _rows(config, fleet))
    return Memory(
        always=always,
        updating=fixed | {f"activations of {pass_tokens:,} tokens": tokens[checkpointing]},
        weights=weights,
        beside=beside,
        kv_wanted=rows * kv * (lengths.prompt + lengths.answer + _PAGE),
        kv_row=kv * (lengths.prompt + _longest(config) + _PAGE),
        kv_room=max(0.0, min(free, _kv_limit(config, fleet, weights, free))),
        usable=usable,
        checkpointing=checkpointing,
        pass_tokens=pass_tokens,
        per_token=_per_token(shape, size, checkpointing=checkpointing),
    )


def _always(config: Config, shape: Shape, fleet: Fleet, trained: int) -> dict[str, float]:
    size, shards = weight_bytes(config), fleet.learners
    found: dict[str, float] = {}
    if shards == 1 or config.lora.rank:
        found["base model" if config.lora.rank else "policy"] = size * shape.parameters
    else:
        found["embedding, head and two layers, gathered"] = size * (
            shape.parameters - shape.layer_weights + 2 * shape.layer_weights / shape.layers
        )
    if config.lora.rank:
        found["policy's adapter"] = size * trained
    if size == 2 or shards > 1:
        found["fp32 masters"] = MASTER * trained / shards
    found["AdamW's moments"] = MOMENTS * trained / shards
    frozen = trained if config.lora.rank else shape.parameters
    if config.grpo.kl_weight:
        found["reference"] = size * frozen / shards
    if config.challenger.train and shares_weights(config, fleet):
        found["voting Solver"] = size * frozen
    return found


def _sampler_weights(config: Config, shape: Shape, fleet: Fleet) -> float:
    """On each of its devices. vLLM swaps the weights of policy and Solver, the embedded sampler holds both."""
    if shares_weights(config, fleet):
        return 0.0
    both = config.engine.sampler == "embedded" and config.challenger.train and not config.lora.rank
    return (2 if both else 1) * weight_bytes(config) * shape.parameters / fleet.sampler_gpus


def _kv_limit(config: Config, fleet: Fleet, weights: float, free: float) -> float:
    """What the options leave for keys and values: the embedded sampler takes half of what is free by itself."""
    if config.engine.kv_gib:
        return config.engine.kv_gib * 2**30
    if config.engine.sampler == "embedded":
        return free / 2
    return flat(config).get("engine.vllm_memory", _USABLE) * fleet.device.memory - weights


def _choices(option: str) -> tuple[bool, ...]:
    return {"on": (True,), "off": (False,)}.get(option, (False, True))


def _per_token(shape: Shape, size: int, *, checkpointing: bool) -> float:
    """Of a pass, as the learner estimates it: all layers' activations or their inputs alone, and two layers at work."""
    layer = kept_per_token(shape, bytes_per_weight=size)
    return (shape.layers * shape.hidden * size if checkpointing else (shape.layers - 1) * layer) + 2 * layer


def _longest(config: Config) -> int:
    return max(config.challenger.max_new_tokens, config.solver.max_new_tokens)


def _rows(config: Config, fleet: Fleet) -> int:
    """Completions of the largest batch, for each sampler."""
    challenger, solver = config.challenger, config.solver
    votes = challenger.prompts_per_step * challenger.group_size * config.vote.num_votes
    return -(-max(votes, solver.prompts_per_step * solver.group_size) // fleet.samplers)
