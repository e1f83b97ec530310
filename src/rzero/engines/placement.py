"""How many cores and GPUs each sampler and each learner gets of what a cluster has.

Samplers and learners work in turns, never at the same time. So on cores they share: samplers reserve theirs, learners
reserve none and use the same. On a GPU both keep their memory, so each has a share of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rzero.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine of the cluster."""

    name: str
    cpus: int
    gpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one process gets: ``threads`` on the CPU, and GPUs, which may be a part of one."""

    threads: int
    gpus: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The share of each sampler and of each learner."""

    sampler: Share
    learner: Share


def place(nodes: Sequence[Node], *, samplers: int, learners: int, threads: int, device: str) -> Placement:
    """``threads`` 0: as many cores as all processes of a kind can have alike. ``device`` cpu uses no GPU.

    Raises ConfigError that says what there is and what is needed.

    >>> nodes = [Node(name="a", cpus=8, gpus=2), Node(name="b", cpus=8, gpus=2)]
    >>> place(nodes, samplers=3, learners=1, threads=0, device="auto")
    Placement(sampler=Share(threads=4, gpus=1.0), learner=Share(threads=8, gpus=1.0))
    """
    gpus = 0.0 if device == "cpu" else _gpus(nodes, samplers=samplers, learners=learners)
    if device.startswith("cuda") and not gpus:
        raise ConfigError(f"model.device={device!r}, but {_found(nodes)}; set model.device=auto, or add GPUs")
    return Placement(
        sampler=Share(threads=_threads(nodes, samplers, threads, option="engine.num_samplers"), gpus=gpus),
        learner=Share(threads=_threads(nodes, learners, threads, option="engine.num_learners"), gpus=gpus),
    )


def _threads(nodes: Sequence[Node], count: int, threads: int, *, option: str) -> int:
    for each in range(threads or max((node.cpus for node in nodes), default=0), 0, -1):
        if sum(node.cpus // each for node in nodes) >= count:
            return each
        if threads:
            break
    asked = f"{option}={count}" + (f" with engine.threads={threads}" if threads else "")
    raise ConfigError(
        f"{asked} needs {count} times {threads or 1} CPU, but {_found(nodes)}; lower {option}"
        + (" or engine.threads" if threads else "")
        + ", or add nodes"
    )


def _gpus(nodes: Sequence[Node], *, samplers: int, learners: int) -> float:
    """GPUs of each process: one, or with a single learner an equal part of one; 0 where the cluster has none."""
    found, needed = sum(node.gpus for node in nodes), samplers + learners
    if not found:
        return 0.0
    if found >= needed:
        return 1.0
    if learners > 1:
        raise ConfigError(
            f"engine.num_samplers={samplers} and engine.num_learners={learners} need {needed} GPUs, but "
            f"{_found(nodes)}; lower one of them, or set engine.num_learners=1, which may share a GPU with samplers"
        )
    return 1 / -(-needed // found)


def _found(nodes: Sequence[Node]) -> str:
    """What the cluster has, in words.

    >>> _found([Node(name="a", cpus=2, gpus=0)])
    'the cluster has 2 CPUs and 0 GPUs (a: 2 CPUs, 0 GPUs)'
    """
    each = ", ".join(f"{node.name}: {node.cpus} CPUs, {node.gpus} GPUs" for node in nodes)
    total = f"{sum(node.cpus for node in nodes)} CPUs and {sum(node.gpus for node in nodes)} GPUs"
    return f"the cluster has {total} ({each or 'no node'})"
