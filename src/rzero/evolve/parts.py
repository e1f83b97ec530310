"""Long sampling phases in parts, each safe once it is saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rzero.evolve.context import Context
from rzero.runs.atomic import read_jsonl, write_jsonl
from rzero.types import Phase


def in_parts(
    context: Context,
    iteration: int,
    phase: Phase,
    *,
    total: int,
    work: Callable[[int, range], list[dict[str, Any]]],
) -> list[dict[str, Any]]:
    """The rows of ``work(part, indices)`` over 0..total-1 in parts of fixed borders; parts that are safe are read, not
    redone.

    The borders depend on the options alone, so an interrupted run samples the same batches as an uninterrupted one.
    """
    directory = context.directory(iteration, phase)
    done = context.run.state.done_in(iteration, phase)
    size = context.config.generate.questions_per_part
    rows: list[dict[str, Any]] = []
    for part, start in enumerate(range(0, total, size), start=1):
        if part <= done:
            rows += read_jsonl(directory.part(part))
            continue
        new = work(part, range(start, min(start + size, total)))
        write_jsonl(directory.part(part), new)
        context.run.state.advance(iteration, phase, part)
        rows += new
    return rows
