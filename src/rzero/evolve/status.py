"""Where a run stands, told from its directory alone; no model is opened."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from rich.console import Console

from rzero.evolve.schedule import schedule
from rzero.evolve.summary import table
from rzero.runs.atomic import read_json
from rzero.runs.store import RunDirectory


def describe(root: Path) -> Iterator[str]:
    """Lines for the user. Raises RunDirectoryError if ``root`` holds no run."""
    config = RunDirectory.recorded_config(root)
    run = RunDirectory(root)
    manifest = read_json(root / "run.json")
    phases = list(schedule(config.iterations))
    left = [entry for entry in phases if entry not in run.state.completed]
    yield f"run        {root}, started {manifest['created']}, attempt {run.state.attempt}"
    yield f"model      {manifest['model']}"
    yield f"finished   {len(phases) - len(left)} of {len(phases)} phases"
    if left:
        iteration, phase = left[0]
        done = run.state.done_in(iteration, phase)
        yield f"next       {phase} of iteration {iteration}" + (
            f", after {done} finished steps or parts" if done else ""
        )
        yield "           run the same command again to go on"
    paths = [run.summary_path(iteration) for iteration in range(config.iterations + 1)]
    summaries = [read_json(path) for path in paths if path.exists()]
    if summaries:
        text = StringIO()
        Console(file=text, width=120).print(table(summaries))
        yield text.getvalue().rstrip()
