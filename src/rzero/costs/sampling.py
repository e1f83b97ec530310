"""Seconds of sampling: prefill, and decoding against bandwidth and FLOP/s, with the tail of long completions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rzero.costs.device import Device
from rzero.costs.efficiency import Efficiency
from rzero.costs.shape import Shape, causal
from rzero.costs.workload import Sampling


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """One sampler: ``gpus`` devices that hold one copy of the weights, and decode up to ``rows`` rows side by side."""

    shape: Shape
    device: Device
    efficiency: Efficiency
    gpus: int
    bytes_per_weight: int
    rows: int

    def step_s(self, rows: float, context: float) -> float:
        """Seconds of one decoding step of ``rows`` rows that look at ``context`` positions each.

        The longer of: reading all weights and the rows' keys and values once; multiplying. A step of any size costs
        ``efficiency.layer_s`` in each layer on top.
        """
        read = self.bytes_per_weight * (self.shape.layer_weights + self.shape.head_weights)
        read += rows * context * self.shape.kv_bytes(self.bytes_per_weight)
        work = rows * self.shape.forward(tokens=1, attended=math.ceil(context), predicted=1)
        return self.shape.layers * self.efficiency.layer_s + max(
            read / (self.gpus * self.device.bandwidth * self.efficiency.decode_bandwidth),
            work / (self.gpus * self.device.rate(self.bytes_per_weight) * self.efficiency.decode_flops),
        )

    def prefill_s(self, prompts: float, length: int) -> float:
        """Seconds of reading ``prompts`` prompts of ``length`` tokens."""
        work = prompts * self.shape.forward(tokens=length, attended=causal(length), predicted=1)
        return work / (self.gpus * self.device.rate(self.bytes_per_weight) * self.efficiency.prefill)


@dataclass(frozen=True, kw_only=True)
class SamplingTime:
    """Seconds of all batches of one kind; ``tail`` is the part of ``decode`` in which slots stand empty."""

    prefill: float
    decode: float
    tail: float

    @property
    def total(self) -> float:
        """Prefill and decoding."""
        return self.prefill + self.decode


def sampling_time(batch: Sampling, decoder: Decoder, *, samplers: int) -> SamplingTime:
    """``batch`` divided among ``samplers`` equal decoders.

    While rows wait, every slot is full. The last rows to be admitted end at any time up to the longest completion's:
    in those ``batch.longest`` steps the slots are as full as the mean length says.
    """
    rows = math.ceil(batch.rows / samplers)
    slots = min(rows, decoder.rows)
    context = batch.prompt + batch.mean / 2
    full = (rows - slots) * batch.mean / slots * decoder.step_s(slots, context)
    occupied = slots * batch.mean / batch.longest
    tail = batch.longest * decoder.step_s(occupied, context)
    # With all completions of mean length the same tokens would take so many steps with full slots.
    unavoidable = batch.mean * decoder.step_s(slots, context)
    return SamplingTime(
        prefill=batch.count * decoder.prefill_s(math.ceil(batch.prompts / samplers), batch.prompt),
        decode=batch.count * (full + tail),
        tail=batch.count * max(0.0, tail - unavoidable),
    )
