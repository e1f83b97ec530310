"""An estimate as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rzero.config import Config
from rzero.costs.estimate import Estimate
from rzero.costs.fleet import Fleet
from rzero.costs.memory import Memory
from rzero.costs.shape import Shape
from rzero.costs.workload import Lengths

_GIB = 1 << 30
_COLUMNS = ("sampling", "of it tail", "update", "weights", "grading", "files", "total")


def show(name: str, shape: Shape, fleet: Fleet, lengths: Lengths, config: Config, found: Estimate) -> Iterator[str]:
    """Sizes and assumptions, memory, time, and what does not fit."""
    yield f"{name} ({shape.parameters / 1e9:.3g} G parameters) on {_where(fleet)}, {_engine(config)}"
    yield (
        f"Assumed mean lengths: prompt {lengths.prompt}, question {lengths.question}, answer {lengths.answer} tokens "
        "(--prompt-tokens, --question-tokens, --answer-tokens); one completion of each batch is as long as its limit"
    )
    yield f"Work of an iteration: {found.sampled / 1e6:,.1f} M tokens sampled, {found.trained / 1e6:,.1f} M trained on"
    yield ""
    yield from _memory(found.memory, together=fleet.together)
    yield ""
    yield from _times(found)
    yield ""
    yield from ([f"DOES NOT FIT: {problem}" for problem in found.problems] or ["It fits."])
    yield ""
    yield f"Device: {fleet.device.source}"
    yield f"Efficiency: {found.efficiency.source}"


def _where(fleet: Fleet) -> str:
    if fleet.together:
        return f"1 x {fleet.device.name}"
    nodes = "" if fleet.nodes == 1 else f" in {fleet.nodes} nodes"
    each = "" if fleet.sampler_gpus == 1 else f" of {fleet.sampler_gpus} GPUs each"
    return (
        f"{fleet.gpus} x {fleet.device.name}{nodes}: engine.num_learners={fleet.learners}, "
        f"engine.num_samplers={fleet.samplers}{each}"
    )


def _engine(config: Config) -> str:
    kind = f"LoRA of rank {config.lora.rank}" if config.lora.rank else "all parameters"
    return f"{config.engine.sampler} sampler, {kind}"


def _memory(needs: Memory, *, together: bool) -> Iterator[str]:
    where = "the device" if together else "each learner's and each sampler's device"
    yield f"Memory on {where}, GiB of {needs.usable / _GIB:.1f} usable"
    yield from _items(needs.always)
    if needs.weights:
        yield from _items({"weights": needs.weights}, "while sampling: ")
    yield from _items(needs.updating, "while updating: ")
    yield from _items({"keys and values": min(needs.kv_wanted, needs.kv_room)}, "while sampling: ")
    checkpointed = " (layers checkpointed)" if needs.checkpointing else ""
    yield f"  peak: {needs.update_peak / _GIB:.1f} updating{checkpointed}, {needs.sampling_peak / _GIB:.1f} sampling"


def _items(items: Mapping[str, float], when: str = "") -> Iterator[str]:
    for name, size in items.items():
        yield f"  {when + name:50}{size / _GIB:8.2f}"


def _times(found: Estimate) -> Iterator[str]:
    yield f"Time of an iteration, minutes ({found.rows} rows in each sampler)"
    yield f"  {'':20}" + "".join(f"{column:>11}" for column in _COLUMNS)
    rows: list[tuple[str, tuple[float, ...]]] = [
        (str(p.phase), (p.sampling, p.tail, p.update, p.weights, p.grading, p.files, p.total)) for p in found.phases
    ]
    rows.append(("all", tuple(map(sum, zip(*(seconds for _, seconds in rows), strict=True)))))
    for phase, seconds in rows:
        yield f"  {phase:20}" + "".join(f"{_minutes(value):>11}" for value in seconds)


def _minutes(seconds: float) -> str:
    """Minutes in about three digits.

    >>> _minutes(0), _minutes(3.0), _minutes(90), _minutes(8700)
    ('0', '0.05', '1.5', '145')
    """
    minutes = seconds / 60
    return f"{minutes:.3g}" if minutes < 1000 else f"{minutes:,.0f}"
