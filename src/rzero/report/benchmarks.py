"""What ``rzero eval --run`` left in a run directory: one number for each benchmark, and the averages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rzero.report.data import Figure
from rzero.runs.atomic import read_json


def headlines(directory: Path) -> dict[int, dict[str, Figure]]:
    """By iteration (0: the base model) and "benchmark: kind"; empty if nothing was evaluated.

    A benchmark that was sampled is there by its mean@k too. Raises RunDirectoryError if the summary is no JSON.
    """
    path = directory / "summary.json"
    if not path.exists():
        return {}
    found: dict[int, dict[str, Figure]] = {}
    for name, model in read_json(path)["models"].items():
        number = 0 if name == "base" else int(name.removeprefix("iteration "))
        found[number] = _tasks(model["tasks"]) | {
            f"{average} average: accuracy": _figure(values) for average, values in model["averages"].items()
        }
    return found


def _tasks(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Figure]:
    return {
        f"{task.removesuffix('_sampled')}: {kind}": _figure(values)
        for task, figures in tasks.items()
        for kind, values in figures.items()
        if kind in ("accuracy", "harmonic") or kind.startswith("mean@")
    }


def _figure(values: tuple[float, float, float]) -> Figure:
    value, low, high = values
    return Figure(value=value, low=low, high=high)
