"""What a benchmark says: a table, notes, one line of ratios, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Report:
    """One benchmark's outcome.

    ``rows`` are cells of text, one row under ``columns`` for each thing that was measured; ``data`` holds every single
    measurement; ``notes`` say what has to be known to read the figures: settings, peers that were left out.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    ratios: Mapping[str, float]
    data: Mapping[str, Any]
    notes: Sequence[str] = field(default_factory=list)

    def show(self, path: Path | None) -> None:
        """Print the report, and write it to ``path`` as JSON if there is one."""
        print(f"## {self.name}\n\n{table(self.columns, self.rows)}\n")
        for note in self.notes:
            print(f"- {note}")
        print(ratio_line(self.name, self.ratios), flush=True)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are as wide as their widest cell.

    >>> print(table(["engine", "tokens/s"], [["ours", "12"]]))
    | engine | tokens/s |
    |--------|----------|
    | ours   | 12       |
    """
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in [columns, *rows]]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def ratio_line(name: str, ratios: Mapping[str, float]) -> str:
    """All ratios of a benchmark on one line.

    >>> ratio_line("sampling", {"ours/vllm-cpu": 1.5, "ours/transformers": 12.345})
    'sampling: ours/vllm-cpu: 1.5, ours/transformers: 12.35'
    """
    return f"{name}: " + ", ".join(f"{key}: {_number(value)}" for key, value in ratios.items())


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"


def gib(num_bytes: float) -> str:
    """Bytes as GiB.

    >>> gib(3 * 2**29)
    '1.50 GiB'
    """
    return f"{num_bytes / 2**30:.2f} GiB"
