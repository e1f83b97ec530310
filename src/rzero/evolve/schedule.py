"""The order of all phases of a run."""

from __future__ import annotations

from collections.abc import Iterator

from rzero.types import Phase


def schedule(iterations: int) -> Iterator[tuple[int, Phase]]:
    """(iteration, phase) pairs; the base model's evaluation comes first, as iteration 0.

    >>> [f"{iteration} {phase}" for iteration, phase in schedule(1)][:3]
    ['0 evaluate', '1 train_challenger', '1 generate_questions']
    """
    yield 0, Phase.EVALUATE
    for iteration in range(1, iterations + 1):
        for phase in Phase:
            yield iteration, phase
