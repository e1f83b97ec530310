"""Seconds of each phase of one iteration, by what they are spent on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rzero.config import Config
from rzero.costs.efficiency import Efficiency
from rzero.costs.fleet import Fleet, shares_weights, weight_bytes
from rzero.costs.host import grading_s, publish_s, repetition_s, save_bytes
from rzero.costs.memory import Memory
from rzero.costs.sampling import Decoder, SamplingTime, sampling_time
from rzero.costs.shape import Shape
from rzero.costs.update import update_time
from rzero.costs.workload import PhaseWork
from rzero.types import Phase


@dataclass(frozen=True, kw_only=True)
class PhaseTime:
    """Seconds of one phase. ``tail`` is part of ``sampling``; ``grading`` is what outlasts the sampling beside it."""

    phase: Phase
    sampling: float
    tail: float
    update: float
    weights: float
    grading: float
    files: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.sampling + self.update + self.weights + self.grading + self.files


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the work is done with. ``disk`` is in bytes/s, ``needs`` what the memory allows."""

    shape: Shape
    fleet: Fleet
    efficiency: Efficiency
    disk: float
    needs: Memory


def phase_times(work: Iterable[PhaseWork], config: Config, machine: Machine) -> list[PhaseTime]:
    """The time of each phase in ``work``."""
    return [_phase(phase, config, machine) for phase in work]


def decoder(config: Config, machine: Machine) -> Decoder:
    """One sampler, with as many rows as its options and its memory for keys and values allow."""
    needs, fleet = machine.needs, machine.fleet
    rows = config.engine.max_rows
    if needs.kv_wanted > needs.kv_room:
        rows = max(1, math.floor(rows * needs.kv_room / needs.kv_wanted))
    return Decoder(
        shape=machine.shape,
        device=fleet.device,
        efficiency=machine.efficiency,
        gpus=fleet.sampler_gpus,
        bytes_per_weight=weight_bytes(config),
        rows=rows,
    )


def _phase(work: PhaseWork, config: Config, machine: Machine) -> PhaseTime:
    one = decoder(config, machine)
    sampled = [sampling_time(batch, one, samplers=machine.fleet.samplers) for batch in work.sampling]
    sampling = sum(map(_total, sampled))
    return PhaseTime(
        phase=work.phase,
        sampling=sampling,
        tail=sum(part.tail for part in sampled),
        update=_update_s(work, config, machine),
        weights=_weights_s(work, config, machine),
        grading=_host_s(work, config, sampling),
        files=_files_s(work, config, machine),
    )


def _total(part: SamplingTime) -> float:
    return part.total


def _trained(config: Config, shape: Shape) -> int:
    return shape.adapter_parameters(config.lora.rank) if config.lora.rank else shape.parameters


def _update_s(work: PhaseWork, config: Config, machine: Machine) -> float:
    if work.training is None:
        return 0.0
    return update_time(
        work.training,
        machine.shape,
        machine.fleet,
        machine.efficiency,
        bytes_per_weight=weight_bytes(config),
        trained=_trained(config, machine.shape),
        reference=config.grpo.kl_weight > 0,
        checkpointing=machine.needs.checkpointing,
        pass_tokens=machine.needs.pass_tokens,
    ).total


def _weights_s(work: PhaseWork, config: Config, machine: Machine) -> float:
    """Once a step in training, and once at the start of any other phase; vLLM swaps to the Solver and back besides."""
    size = machine.shape.parameters * weight_bytes(config)
    shared = shares_weights(config, machine.fleet)
    swaps = 2 if config.engine.sampler == "vllm" and work.phase is Phase.TRAIN_CHALLENGER else 1
    times = swaps * work.training.steps if work.training else 1
    return times * publish_s(size, machine.fleet, shared=shared)


def _host_s(work: PhaseWork, config: Config, sampling: float) -> float:
    """The repetition penalty, for which a step waits, and grading beyond the sampling that it overlaps."""
    penalty = 0.0
    if work.phase is Phase.TRAIN_CHALLENGER and work.training is not None and config.challenger.repetition_weight:
        penalty = work.training.steps * repetition_s(work.training.groups * work.training.group_size)
    grading = grading_s(work.answers, domain=config.domain, workers=config.grading.workers)
    return penalty + max(0.0, grading - sampling)


def _files_s(work: PhaseWork, config: Config, machine: Machine) -> float:
    """Models are opened at the start of a phase, and a training phase saves."""
    size = weight_bytes(config)
    read = work.opened * machine.shape.parameters * size
    written = 0.0
    if work.training is not None:
        saves = math.ceil(work.training.steps / config.checkpoint.every_steps)
        written = saves * save_bytes(_trained(config, machine.shape), bytes_per_weight=size)
    return (read + written) / machine.disk
