"""Seconds on the host and on the way to the disk and the samplers: grading, the repetition penalty, weights, saves."""

from __future__ import annotations

import math

from rzero.costs.fleet import Fleet
from rzero.costs.memory import MASTER, MOMENTS

REPETITION_S = 8e-8
"""Of one pair of questions in the repetition penalty; measured on one core with 2,048 questions of 20 words."""
SYMBOLIC_S = 12e-3
"""Of one symbolic comparison in a worker; measured on one core with surds and polynomials that differ."""
SYMBOLIC_SHARE = 0.2
"""Of the answers in a domain whose answers are not all numbers; the others are numbers or spelled alike; assumed."""
_NUMBERS = ("arithmetic", "grade_school")
HOST_RATE, STORE_RATE = 10e9, 3e9
"""Bytes/s, assumed: between a device and its host's memory, and between two nodes' object stores."""


def repetition_s(questions: int) -> float:
    """Of the penalty over one step's questions, all of them compared with all.

    >>> round(repetition_s(2048), 2)
    0.34
    """
    return REPETITION_S * questions**2


def grading_s(answers: int, *, domain: str, workers: int) -> float:
    """Of comparing ``answers``, by ``workers`` processes; numbers take no time that counts."""
    return 0.0 if domain in _NUMBERS else answers * SYMBOLIC_SHARE * SYMBOLIC_S / workers


def publish_s(weights: float, fleet: Fleet, *, shared: bool) -> float:
    """Of handing ``weights`` bytes to all samplers through Ray's object store.

    Off the device, to the other nodes in rounds in which every node that has them serves one more, and onto the
    devices. Nothing where learner and sampler are one module.
    """
    if shared:
        return 0.0
    rounds = math.ceil(math.log2(fleet.nodes)) if fleet.nodes > 1 else 0
    return 2 * weights / HOST_RATE + rounds * weights / STORE_RATE


def save_bytes(trained: int, *, bytes_per_weight: int) -> float:
    """Of one resumable save: weights, moments, and masters where they are tensors of their own."""
    return trained * (bytes_per_weight + MOMENTS + (MASTER if bytes_per_weight == 2 else 0))
