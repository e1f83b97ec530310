"""trackio: a local database, shown by ``trackio show``. It lies where trackio keeps it (``TRACKIO_DIR``)."""

from __future__ import annotations

from collections.abc import Mapping

import trackio

from rzero.runs.trackers.base import TrackedRun

PROJECT = "rzero"


class TrackioTracker:
    """One trackio run, taken up again under its identity."""

    def __init__(self, run: TrackedRun) -> None:
        self._run = trackio.init(
            project=PROJECT,
            name=run.identity,
            config=dict(run.options),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """One row of the run."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Wait until everything is written."""
        self._run.finish()
