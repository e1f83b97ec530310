"""What a tracker is told, and when: the metrics of each training step, and the figures of each iteration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rzero.config import Config
from rzero.types import Phase


def position(config: Config, iteration: int, phase: Phase, done: int = 0) -> int:
    """How many training steps of the whole run lie before this place: ``done`` steps into ``phase`` of ``iteration``.

    >>> config = Config.model_validate({"challenger": {"steps": 5}, "solver": {"steps": 15}})
    >>> position(config, 2, Phase.TRAIN_CHALLENGER, 3), position(config, 2, Phase.VOTE)
    (23, 25)
    >>> position(config, 2, Phase.EVALUATE)
    40
    """
    challenger, solver = config.challenger.steps if config.challenger.train else 0, config.solver.steps
    before = {Phase.TRAIN_CHALLENGER: 0, Phase.EVALUATE: challenger + solver}.get(phase, challenger)
    inside = done if phase in (Phase.TRAIN_CHALLENGER, Phase.TRAIN_SOLVER) else 0
    return (iteration - 1) * (challenger + solver) + before + inside


def figures(summary: Mapping[str, Any]) -> dict[str, float]:
    """The figures of an iteration's ``summary.json`` by name; the training metrics were told step by step.

    >>> figures({"evaluation": {"quiz": {"greedy": {"value": 0.5}}}, "labels": {"all": {"label_accuracy": 0.75}}})
    {'evaluate/quiz/greedy': 0.5, 'labels/all/label_accuracy': 0.75}
    """
    found = {
        f"evaluate/{test}/{kind}": figure["value"]
        for test, result in summary["evaluation"].items()
        for kind, figure in result.items()
        if isinstance(figure, dict) and "value" in figure
    }
    for section in ("pool", "curriculum"):
        found |= _numbers(section, summary.get(section, {}))
    for group, values in summary.get("labels", {}).items():
        found |= _numbers(f"labels/{group}", values)
    return found


def _numbers(prefix: str, values: Mapping[str, Any]) -> dict[str, float]:
    return {f"{prefix}/{name}": value for name, value in values.items() if isinstance(value, (int, float))}
