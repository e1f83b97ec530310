"""TensorBoard event files, through PyTorch's writer; ``tensorboard --logdir RUN/trackers`` shows them."""

from __future__ import annotations

from collections.abc import Mapping

from torch.utils.tensorboard.writer import SummaryWriter

from rzero.runs.trackers.base import TrackedRun


class TensorboardTracker:
    """One event file for each start of the run; events of steps that are done again are purged."""

    def __init__(self, run: TrackedRun) -> None:
        self._writer = SummaryWriter(str(run.folder), purge_step=run.last_step + 1)

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """One scalar for each value."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, global_step=step)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()
