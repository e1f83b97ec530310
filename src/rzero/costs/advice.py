"""What does not fit on a device, and which option to change, in the order in which it hurts least."""

from __future__ import annotations

from rzero.config import Config
from rzero.costs.fleet import Fleet
from rzero.costs.memory import Memory

_GIB = 1 << 30


def advice(config: Config, fleet: Fleet, needs: Memory, *, longest_rollout: int) -> list[str]:
    """One line for each thing that does not fit; none if all fits."""
    if needs.weights > 0.5 * needs.usable and needs.kv_row > needs.kv_room:
        return [
            f"a sampler's weights take {needs.weights / _GIB:.1f} GiB of a device's {needs.usable / _GIB:.1f}: spread "
            f"each sampler over more devices (--sampler-gpus {2 * fleet.sampler_gpus})"
        ]
    return [*_update(config, needs, longest_rollout), *_sampling(config, needs)]


def _update(config: Config, needs: Memory, longest_rollout: int) -> list[str]:
    over = needs.update_peak - needs.usable
    if over <= 0:
        return []
    activations = needs.per_token * needs.pass_tokens
    room = activations - over
    said = f"an update takes {over / _GIB:.1f} GiB too much on each device: "
    if not needs.checkpointing:
        return [f"{said}set grpo.checkpointing=on, or auto"]
    fitting = int(room / needs.per_token)
    if fitting >= longest_rollout:
        return [f"{said}set grpo.tokens_per_microbatch={fitting} or lower"]
    if fitting >= 1024:
        return [
            f"{said}passes of {fitting} tokens would fit, but the longest rollout has {longest_rollout}: lower "
            f"max_new_tokens to {fitting - (longest_rollout - _longest(config))} or less, and "
            f"grpo.tokens_per_microbatch to {fitting}"
        ]
    return [f"{said}{'; '.join(_larger(config))}"]


def _larger(config: Config) -> list[str]:
    """What remains where weights, masters and moments themselves are too large."""
    ways = ["take more GPUs (--gpus), over which masters, moments and gradients are sharded"]
    if not config.lora.rank:
        ways.insert(0, "train adapters: lora.rank=16")
    if config.grpo.kl_weight:
        ways.append("grpo.kl_weight=0 saves the reference, and changes the algorithm")
    return ways


def _sampling(config: Config, needs: Memory) -> list[str]:
    if needs.kv_row <= needs.kv_room:
        return []
    free = needs.usable - needs.beside - needs.weights
    if free < needs.kv_row:
        return [
            f"beside the weights {max(0.0, free) / _GIB:.1f} GiB are left for keys and values, and one completion of "
            f"full length takes {needs.kv_row / _GIB:.1f}: lower max_new_tokens, or {'; '.join(_larger(config))}"
        ]
    return [
        f"one completion of full length takes {needs.kv_row / _GIB:.1f} GiB of keys and values, and there are "
        f"{needs.kv_room / _GIB:.1f} for them: set engine.kv_gib={needs.kv_row / _GIB:.1f} or more"
    ]


def _longest(config: Config) -> int:
    return max(config.challenger.max_new_tokens, config.solver.max_new_tokens)
