"""What the user sees while a run goes on: a bar with the time left per phase, short notes, tables.

``bar`` draws with rich, ``plain`` prints a line now and then (for logs and pipes), ``none`` is silent. Notes and
tables also go to the attempt's log file.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

Advance = Callable[[int], None]
_PLAIN_INTERVAL_S = 20.0


class Console:
    """Prints to standard error, so that standard output stays free for results."""

    def __init__(self, mode: Literal["auto", "bar", "plain", "none"] = "auto", *, log: Path | None = None) -> None:
        self.mode = mode if mode != "auto" else ("bar" if sys.stderr.isatty() else "plain")
        self._screen = RichConsole(stderr=True, quiet=self.mode == "none", width=None if sys.stderr.isatty() else 120)
        self._log = log

    def note(self, text: str) -> None:
        """One line for the user and the log."""
        self._screen.print(text, markup=False, highlight=False, soft_wrap=True)
        self._write(f"{time.strftime('%H:%M:%S')} {text}")

    def table(self, table: Table) -> None:
        """A table for the user and the log."""
        self._screen.print(table)
        if self._log is not None:
            with open(self._log, "a", encoding="utf-8") as file:
                RichConsole(file=file, width=140).print(table)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Advance]:
        """Yields ``advance(n)``; ``total`` counts completions, steps or whatever ``title`` speaks of."""
        started = time.monotonic()
        if self.mode == "bar":
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            with Progress(*columns, console=self._screen, transient=True) as progress:
                task = progress.add_task(title, total=total)
                yield lambda n: progress.advance(task, n)
        else:
            yield self._plain_progress(title, total)
        self.note(f"{title}: done in {_duration(time.monotonic() - started)}")

    def _plain_progress(self, title: str, total: int) -> Advance:
        started = last = time.monotonic()
        done = 0

        def advance(n: int) -> None:
            nonlocal done, last
            done += n
            now = time.monotonic()
            if now - last >= _PLAIN_INTERVAL_S and 0 < done < total:
                last = now
                left = (now - started) / done * (total - done)
                self.note(f"{title}: {done} of {total}, about {_duration(left)} left")

        return advance

    def _write(self, line: str) -> None:
        if self._log is not None:
            with open(self._log, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(line + "\n")


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds in words.

    >>> _duration(42.4), _duration(75), _duration(7380)
    ('42 s', '1 min 15 s', '2 h 3 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
