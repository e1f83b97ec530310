"""``rzero report``: read the run directories, write the page."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from rzero import __version__
from rzero.report import page
from rzero.report.ablation import ablation
from rzero.report.collect import collect
from rzero.report.data import Report
from rzero.report.room import fit
from rzero.runs.atomic import write_text

NAME = "report.html"
"""The report of a single run, inside its directory."""


def default_place(directories: Sequence[Path]) -> Path:
    """Where the page goes if nobody says: into the run's directory, or for several runs into the current one."""
    return directories[0] / NAME if len(directories) == 1 else Path("comparison.html")


def write_report(directories: Sequence[Path], out: Path) -> Path:
    """Write the page for these runs to the file ``out``; the first run is what the others are compared with.

    Raises RunDirectoryError if a directory holds no run, MissingExtraError without the plotting library.
    """
    runs, notes = fit([collect(root, name=name) for root, name in zip(directories, names(directories), strict=True)])
    report = Report(
        title=" · ".join(run.name for run in runs),
        written=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        rzero=__version__,
        runs=runs,
        ablation=ablation(runs, directories),
        notes=notes,
    )
    write_text(out, page.render(report))
    return out


def write_if_possible(directory: Path, *, warn: Callable[[str], None]) -> None:
    """The report of a run that goes on, if the plotting library is installed. Whatever fails, ``warn`` gets a line."""
    if not page.available():
        return
    try:
        write_report([directory], default_place([directory]))
    except Exception as error:  # a picture of the run must never end the run
        kind = type(error).__name__
        warn(f"warning: the report was not written ({kind}: {error}); the run goes on. Later: rzero report {directory}")


def names(directories: Sequence[Path]) -> list[str]:
    """Short names that tell the runs apart: the directory's own name, with its parents' where names repeat.

    >>> names([Path("runs/a"), Path("runs/b")]), names([Path("x/full"), Path("y/full")])
    (['a', 'b'], ['x/full', 'y/full'])
    """
    parts = [path.absolute().parts[1:] for path in directories]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        found = ["/".join(part[-depth:]) for part in parts]
        if max(Counter(found).values(), default=1) == 1:
            return found
    return [f"{'/'.join(part[-1:])} ({number})" for number, part in enumerate(parts, 1)]
