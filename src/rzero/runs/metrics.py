"""``metrics.jsonl``: one line per finished training step, for plotting and for ``tail -f``.

The truth is each step's own ``metrics.json``; this file is rebuilt from them whenever a run starts, so a kill cannot
leave it wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rzero.runs.atomic import read_json, write_jsonl
from rzero.runs.store import PhaseDirectory, RunDirectory


def rebuild_metrics(run: RunDirectory) -> None:
    """Write the file anew from the steps that are on disk."""
    rows: list[Mapping[str, Any]] = []
    for path in sorted(run.root.glob("iter_*/*/steps/step_*/metrics.json")):
        phase, step = path.parts[-4], int(path.parts[-2].removeprefix("step_"))
        iteration = int(path.parts[-5].removeprefix("iter_"))
        rows.append({"iteration": iteration, "phase": phase, "step": step, **read_json(path)})
    write_jsonl(run.metrics_path, rows)


def append_metrics(run: RunDirectory, directory: PhaseDirectory, step: int, metrics: Mapping[str, float]) -> None:
    """Add one step's line."""
    row = {"iteration": directory.iteration, "phase": str(directory.phase), "step": step, **metrics}
    with open(run.metrics_path, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
