"""Weights & Biases. Offline unless ``WANDB_MODE`` says otherwise; ``wandb sync`` uploads later."""

from __future__ import annotations

import os
from collections.abc import Mapping

import wandb

from rzero.runs.trackers.base import TrackedRun

PROJECT = "rzero"


class WandbTracker:
    """One W&B run, taken up again under its identity. ``step`` is a value of ours, since W&B's own may not go back."""

    def __init__(self, run: TrackedRun) -> None:
        mode = os.environ.get("WANDB_MODE", "offline")
        run.folder.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=run.identity,
            name=run.name,
            dir=run.folder,
            config=dict(run.options),
            mode=mode,  # type: ignore[arg-type]  # the package checks it, with a message of its own
            resume="allow" if mode == "online" else None,
            settings=wandb.Settings(silent=True, console="off"),
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """One row of W&B's history."""
        self._run.log({"step": step, **values})

    def close(self) -> None:
        """Wait until everything is written."""
        self._run.finish()
