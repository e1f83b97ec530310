"""``rzero ablate``: a grid of variants and seeds, each a run of its own that resumes, and the paper's tables of it.

A run that stalls, as a method may without one of its parts, is a result: it is kept, counted and shown, and the grid
goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rzero.analysis.seeds import over_seeds, paired
from rzero.config import Config, change
from rzero.errors import StalledError
from rzero.evolve.loop import run
from rzero.experiments.tables import shown
from rzero.experiments.variants import FULL
from rzero.runs.atomic import read_json, write_json, write_text
from rzero.runs.console import Console
from rzero.runs.store import RunDirectory

QUESTION_ROWS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("answerable, %", ("labels", "all", "valid_frac"), 100.0),
    ("label accuracy, %", ("labels", "all", "label_accuracy"), 100.0),
    ("label accuracy of kept, %", ("labels", "kept", "label_accuracy"), 100.0),
    ("difficulty", ("labels", "all", "mean_difficulty"), 1.0),
    ("mean p̂", ("curriculum", "mean_self_consistency_all"), 1.0),
    ("kept", ("curriculum", "num_kept"), 1.0),
    ("distinct, of a Challenger step, %", ("challenger", "distinct_frac"), 100.0),
    ("repetition penalty", ("challenger", "mean_repetition"), 1.0),
)
"""What the second table shows of each iteration's summary: label, path, and factor."""

Summaries = Mapping[str, Mapping[int, Sequence[Mapping[str, Any]]]]
"""variant -> seed -> the summaries of iterations 0 (the base model), 1, ..."""


def run_grid(config: Config, variants: Mapping[str, Mapping[str, Any]], seeds: Sequence[int], out: Path) -> str:
    """Run, or take up, every variant with every seed in ``out/<variant>/seed_<n>``; returns the tables as Markdown.

    The tables are also in ``out/ablation.md``, their numbers in ``out/ablation.json``, written after each run.
    """
    console = Console(config.progress)
    stalled: dict[str, str] = {}
    configs = {name: change(config, changes) for name, changes in variants.items()}  # all checked before any runs
    for seed in seeds:
        for name, changed in configs.items():
            directory = out / name / f"seed_{seed}"
            console.note(f"{name}, seed {seed}: {directory}")
            try:
                run(change(changed, {"seed": seed}), directory)
            except StalledError as error:
                stalled[f"{name}, seed {seed}"] = str(error)
                console.note(f"{name}, seed {seed} stalled: {error}")
            _write(collect(out, variants, seeds), stalled, out)
    return (out / "ablation.md").read_text(encoding="utf-8")


def collect(out: Path, variants: Mapping[str, Any], seeds: Sequence[int]) -> dict[str, dict[int, list[dict[str, Any]]]]:
    """The summaries that the grid's runs have written so far."""
    found: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for name in variants:
        for seed in seeds:
            directory = out / name / f"seed_{seed}"
            if RunDirectory.exists(directory):
                paths = sorted(directory.glob("iter_*/summary.json"))
                found.setdefault(name, {})[seed] = [read_json(path) for path in paths]
    return found


def _write(summaries: Summaries, stalled: Mapping[str, str], out: Path) -> None:
    sections = [section for figure in _figures(summaries) for section in _accuracies(summaries, *figure)]
    sections += _questions(summaries)
    if stalled:
        sections.append("## Stalled runs\n\n" + "\n".join(f"- {name}: {reason}" for name, reason in stalled.items()))
    write_text(out / "ablation.md", "\n\n".join(sections) + "\n")
    numbers = {
        f"{test_set}: {kind}": {
            name: {
                f"iteration {n}": asdict(over_seeds(list(values.values())))
                for n, values in _by_iteration(runs, _value_of(test_set, kind)).items()
            }
            for name, runs in summaries.items()
        }
        for test_set, kind in _figures(summaries)
    }
    write_json(out / "ablation.json", {"accuracies": numbers, "stalled": dict(stalled)})


def _figures(summaries: Summaries) -> list[tuple[str, str]]:
    """Test sets and kinds of accuracy that the base model's evaluation has."""
    first = next(iter(next(iter(summaries.values())).values()))
    return [
        (test_set, kind)
        for test_set, results in (first[0]["evaluation"] if first else {}).items()
        for kind, value in results.items()
        if isinstance(value, dict) and "low" in value
    ]


def _value_of(test_set: str, kind: str) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda summary: 100 * summary["evaluation"][test_set][kind]["value"]


def _by_iteration(
    runs: Mapping[int, Sequence[Mapping[str, Any]]], value: Callable[[Mapping[str, Any]], float | None]
) -> dict[int, dict[int, float]]:
    """Iteration -> seed -> value, where there is one."""
    found: dict[int, dict[int, float]] = {}
    for seed, summaries in runs.items():
        for summary in summaries:
            number = value(summary)
            if number is not None:
                found.setdefault(summary["iteration"], {})[seed] = number
    return found


def _accuracies(summaries: Summaries, test_set: str, kind: str) -> list[str]:
    """A row a variant, a column an iteration, and the paired difference to the full method after the last."""
    value = _value_of(test_set, kind)
    tables = {name: _by_iteration(runs, value) for name, runs in summaries.items()}
    last = max((n for table in tables.values() for n in table), default=0)
    head = ["base", *(f"iteration {n}" for n in range(1, last + 1)), f"minus {FULL}, paired", "seeds"]
    lines = [f"## {test_set}: {kind}, %", "", "| | " + " | ".join(head) + " |", "|---|" + "---|" * len(head)]
    for name, table in tables.items():
        cells = [shown(over_seeds(list(table[n].values()))) if n in table else "" for n in range(last + 1)]
        difference = paired(table.get(last, {}), tables.get(FULL, {}).get(last, {})) if name != FULL else None
        cells.append(shown(difference, sign=True) if difference else "")
        cells.append(f"{len(table.get(last, {}))} of {len(summaries[name])}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return ["\n".join(lines)]


def _questions(summaries: Summaries) -> list[str]:
    """One table a variant: what its questions and labels were like, a column an iteration."""
    sections = []
    for name, runs in summaries.items():
        last = max((len(found) - 1 for found in runs.values()), default=0)
        if last < 1:
            continue
        lines = [f"## Questions: {name}", "", "| | " + " | ".join(f"iteration {n}" for n in range(1, last + 1)) + " |"]
        lines.append("|---|" + "---|" * last)
        for label, path, factor in QUESTION_ROWS:
            table = _by_iteration(runs, lambda summary, path=path, factor=factor: _at(summary, path, factor))
            if table:
                cells = [shown(over_seeds(list(table[n].values()))) if n in table else "" for n in range(1, last + 1)]
                lines.append(f"| {label} | " + " | ".join(cells) + " |")
        sections.append("\n".join(lines))
    return sections


def _at(summary: Mapping[str, Any], path: Sequence[str], factor: float) -> float | None:
    value: Any = summary
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return None if value is None else factor * value
