"""What share of a device's limits the engines reach: inputs with defaults, each of which says where it is from.

None of the defaults for GPUs was measured with rzero: ``bench/gpu.py`` measures update and decoding on one, and
``rzero plan`` takes the results as options. None is fitted to a published time of R-Zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rzero.costs.device import Device


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """Shares of a device's FLOP/s that an update, a prefill and the matrix products of decoding reach, the share of its
    memory's bandwidth that decoding reaches, and the seconds that each layer of a decoding step takes however few rows
    there are.

    An update's share is of the least work: each prompt once for its group, no recomputation.
    """

    update: float
    prefill: float
    decode_flops: float
    decode_bandwidth: float
    layer_s: float
    source: str


_CPU = Efficiency(
    update=0.55,
    prefill=0.6,
    decode_flops=0.68,
    decode_bandwidth=0.8,
    layer_s=0.7e-3,
    source="measured with SmolLM2-135M in bf16 on two cores: update by bench/rate.py; prefill of 128 tokens and "
    "decoding of 1 to 256 rows by the difference of two runs",
)
_TORCHTITAN = "update: torchtitan's 33 % of an H100's FLOP/s (FSDP2, Llama 3.1 8B, 8 GPUs, uncompiled)"
_VLLM = Efficiency(
    update=0.33,
    prefill=0.5,
    decode_flops=0.5,
    decode_bandwidth=0.6,
    layer_s=50e-6,
    source=f"{_TORCHTITAN}; decoding: 77 % of the bandwidth is published for vLLM with one row (Llama 3.1 8B, A100), "
    "less is assumed for many; prefill and the time of a layer are assumed",
)
_EMBEDDED = replace(
    _VLLM,
    decode_bandwidth=0.2,
    layer_s=0.8e-3,
    source=f"{_TORCHTITAN}; decoding: assumed, for pages that are copied before they are read and kernels that are "
    "launched one by one; prefill assumed",
)


def default_efficiency(device: Device, sampler: str) -> Efficiency:
    """The figures for ``engine.sampler`` on ``device``."""
    if device.name == "cpu":
        return _CPU
    return _EMBEDDED if sampler == "embedded" else _VLLM


def with_changes(efficiency: Efficiency, changes: Mapping[str, float]) -> Efficiency:
    """``efficiency`` with some of its figures replaced by given ones."""
    if not changes:
        return efficiency
    return replace(efficiency, **changes, source=f"given: {', '.join(changes)}; {efficiency.source}")
