"""What a tracker is, and the guard that keeps a broken one from ending a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Tracker(Protocol):
    """Takes numbers by name. ``step`` counts training steps through the whole run."""

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Record ``values`` at ``step``."""
        ...

    def close(self) -> None:
        """Write out what is buffered."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """What a tracker is told of the run.

    ``identity`` is the same at every start of the run, ``name`` is for people, ``folder`` is the tracker's own place in
    the run directory, ``options`` are by dotted name. Steps above ``last_step`` will be done again.
    """

    identity: str
    name: str
    folder: Path
    options: Mapping[str, Any]
    last_step: int


class NoTracker:
    """``tracker = "none"``: the run directory alone."""

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class Guarded:
    """A tracker of which any failure is a single warning; after it nothing more is sent."""

    def __init__(self, tracker: Tracker, *, warn: Callable[[str], None]) -> None:
        self._tracker: Tracker = tracker
        self._warn = warn

    def log(self, values: Mapping[str, float], *, step: int) -> None:
        """Record, or give up on the tracker."""
        self._attempt(lambda: self._tracker.log(values, step=step))

    def close(self) -> None:
        """Close, or give up on the tracker."""
        self._attempt(self._tracker.close)

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # a foreign library's network, disk and service errors are beyond listing
            self._tracker = NoTracker()
            self._warn(
                f"warning: the tracker failed ({type(error).__name__}: {error}) and is switched off; the run goes on, "
                "and metrics.jsonl has every number"
            )
