"""The tracker that the option ``tracker`` names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import util

from rzero.config import Config, flat
from rzero.errors import MissingExtraError
from rzero.runs.store import RunDirectory
from rzero.runs.trackers.base import Guarded, NoTracker, TrackedRun, Tracker


def require(config: Config) -> None:
    """Raises MissingExtraError unless the package of ``tracker`` is installed; the extras are named like the option."""
    if config.tracker != "none" and util.find_spec(config.tracker) is None:
        raise MissingExtraError(
            f"tracker={config.tracker!r} needs the package {config.tracker}, which is not installed; run: pip install "
            f'"rzero[{config.tracker}]", or choose another tracker'
        )


@contextmanager
def open_tracker(
    config: Config, run: RunDirectory, *, last_step: int, warn: Callable[[str], None]
) -> Iterator[Tracker]:
    """Yields the tracker, closed at the end; one that cannot be opened is a warning and no tracker."""
    tracked = TrackedRun(
        identity=_identity(run),
        name=run.root.absolute().name,
        folder=run.tracker_folder(config.tracker),
        options=flat(config),
        last_step=last_step,
    )
    try:
        tracker = _open(config.tracker, tracked)
    except Exception as error:  # see Guarded
        warn(
            f"warning: tracker={config.tracker!r} could not be opened ({type(error).__name__}: {error}); the run goes "
            "on without, and metrics.jsonl has every number"
        )
        tracker = NoTracker()
    guarded = Guarded(tracker, warn=warn)
    try:
        yield guarded
    finally:
        guarded.close()


def _open(name: str, run: TrackedRun) -> Tracker:
    if name == "tensorboard":
        from rzero.runs.trackers.tensorboard import TensorboardTracker

        return TensorboardTracker(run)
    if name == "wandb":
        from rzero.runs.trackers.wandb import WandbTracker

        return WandbTracker(run)
    if name == "trackio":
        from rzero.runs.trackers.trackio import TrackioTracker

        return TrackioTracker(run)
    return NoTracker()


def _identity(run: RunDirectory) -> str:
    """Directory and time of the first start: letters, digits, ``-`` and ``_``, as all trackers accept."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", f"{run.root.absolute().name}-{run.created}")
