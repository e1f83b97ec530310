"""Where a run stands: the one file that says which artefacts count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rzero.errors import RunDirectoryError
from rzero.runs.atomic import read_json, write_json
from rzero.types import Phase


@dataclass(slots=True)
class State:
    """``state.json``: finished phases, and how many steps or parts of the running phase are safe.

    It is written after the artefact it speaks of, so an artefact that it does not mention is from beyond the resume
    point. ``saved`` is called after each write.
    """

    path: Path
    attempt: int = 0
    completed: list[tuple[int, Phase]] = field(default_factory=list)
    running: tuple[int, Phase] | None = None
    done: int = 0
    saved: Callable[[], None] = field(default=lambda: None, compare=False, repr=False)

    @classmethod
    def load(cls, path: Path) -> State:
        """The recorded state, or a fresh one. Raises RunDirectoryError if it is damaged."""
        if not path.exists():
            return cls(path=path)
        raw: dict[str, Any] = read_json(path)
        try:
            running = raw["running"]
            return cls(
                path=path,
                attempt=int(raw["attempt"]),
                completed=[(int(iteration), Phase(phase)) for iteration, phase in raw["completed"]],
                running=(int(running[0]), Phase(running[1])) if running else None,
                done=int(raw["done"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RunDirectoryError(
                f"{path} is damaged ({type(error).__name__}: {error}); restore it, or start again with another --out"
            ) from None

    def save(self) -> None:
        """Write the state atomically."""
        value = {
            "attempt": self.attempt,
            "completed": [[iteration, str(phase)] for iteration, phase in self.completed],
            "running": [self.running[0], str(self.running[1])] if self.running else None,
            "done": self.done,
        }
        write_json(self.path, value)
        self.saved()

    def done_in(self, iteration: int, phase: Phase) -> int:
        """Steps or parts of this phase that are safe."""
        return self.done if self.running == (iteration, phase) else 0

    def advance(self, iteration: int, phase: Phase, done: int) -> None:
        """Record that ``done`` steps or parts of a phase are safe."""
        self.running, self.done = (iteration, phase), done
        self.save()

    def complete(self, iteration: int, phase: Phase) -> None:
        """Record that a phase is finished."""
        self.completed.append((iteration, phase))
        self.running, self.done = None, 0
        self.save()
