"""Runs that differ by options, side by side: means over seeds, and differences from the first run.

Differences are paired, because all runs answer the same test questions: between single runs by question, between
several seeds by seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rzero.report.data import Ablation, AblationRow, Figure, Run
from rzero.report.figures import mean, present
from rzero.report.jsonl import rows
from rzero.runs.store import MAY_CHANGE, RunDirectory
from rzero.types import Outcome, Phase

FIGURES = (
    "labels.all.label_accuracy",
    "labels.kept.label_accuracy",
    "curriculum.kept_frac",
    "pool.distinct_frac",
    "votes.self_consistency",
)
"""What stands beside the accuracies."""

LONGEST_NAME = 3
"""Changes that a row is named by; of more it has the number."""

_IGNORED = {*MAY_CHANGE, "seed", "engine.threads", "model.device"}
"""Options that alter neither the algorithm nor the data: runs that differ by these alone are one row."""

KNOWN: Mapping[tuple[tuple[str, Any], ...], str] = {
    (("challenger.train", False),): "no Challenger RL",
    (("challenger.repetition_weight", 0.0),): "no repetition penalty",
    (("curriculum.band_high", 1.0), ("curriculum.band_low", 0.0)): "no filter",
}
"""The paper's ablations by their changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variant:
    changes: tuple[tuple[str, Any], ...]
    members: list[tuple[Run, Path]]


def ablation(runs: Sequence[Run], roots: Sequence[Path]) -> Ablation | None:
    """The table, or None unless there are two runs and an iteration that all of them finished. ``roots`` [runs]."""
    iteration = min((_last_finished(run) for run in runs), default=0)
    if len(runs) < 2 or iteration < 1:
        return None
    variants = _variants(runs, roots)
    reference = variants[0]
    return Ablation(iteration=iteration, rows=[_row(variant, reference, iteration) for variant in variants])


def _last_finished(run: Run) -> int:
    return max((entry.iteration for entry in run.iterations if entry.finished), default=-1)


def _variants(runs: Sequence[Run], roots: Sequence[Path]) -> list[_Variant]:
    first = _settings(runs[0])
    found: dict[str, _Variant] = {}
    for run, root in zip(runs, roots, strict=True):
        settings = _settings(run)
        names = sorted(name for name in first | settings if settings.get(name) != first.get(name))
        changes = tuple((name, settings.get(name)) for name in names)
        found.setdefault(repr(changes), _Variant(changes=changes, members=[])).members.append((run, root))
    return list(found.values())


def _settings(run: Run) -> dict[str, Any]:
    values = {option.name: option.value for option in run.options if option.name not in _IGNORED}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _row(variant: _Variant, reference: _Variant, iteration: int) -> AblationRow:
    return AblationRow(
        name=_name(variant),
        changes=_changes(variant),
        runs=[run.name for run, _ in variant.members],
        accuracy=_accuracies(variant, iteration),
        difference={} if variant is reference else _differences(variant, reference, iteration),
        figures=present([(name, _over_seeds(variant, iteration, name)) for name in FIGURES]),
    )


def _name(variant: _Variant) -> str:
    changes = _changes(variant)
    if len(changes) > LONGEST_NAME:
        return f"{len(changes)} options changed"
    return KNOWN.get(variant.changes) or "; ".join(changes) or "reference"


def _changes(variant: _Variant) -> list[str]:
    return [f"{name} = {value}" for name, value in variant.changes]


def _accuracies(variant: _Variant, iteration: int) -> dict[str, Figure]:
    """Of one run the interval over questions, of several the interval over seeds."""
    found = [run.iterations[iteration].accuracy for run, _ in variant.members]
    if len(found) == 1:
        return {name: kinds["greedy"] for name, kinds in found[0].items() if "greedy" in kinds}
    names = [name for name in found[0] if all("greedy" in entry.get(name, {}) for entry in found)]
    return present([(name, mean([entry[name]["greedy"].value for entry in found], bounded=True)) for name in names])


def _over_seeds(variant: _Variant, iteration: int, name: str) -> Figure | None:
    found = [run.iterations[iteration].figures.get(name) for run, _ in variant.members]
    there = [figure for figure in found if figure is not None]
    return there[0] if len(there) == 1 else mean([figure.value for figure in there])


def _differences(variant: _Variant, reference: _Variant, iteration: int) -> dict[str, Figure]:
    by_seed = {run.seed: (run, root) for run, root in reference.members}
    pairs = [(own, by_seed[own[0].seed]) for own in variant.members if own[0].seed in by_seed]
    names = dict.fromkeys(name for run, _ in variant.members for name in run.iterations[iteration].accuracy)
    if len(pairs) != 1:
        return present([(name, _by_seed(pairs, iteration, name)) for name in names])
    (_, own), (_, other) = pairs[0]
    return present([(name, _by_question(own, other, iteration, name)) for name in names])


def _by_seed(pairs: Sequence[tuple[tuple[Run, Path], tuple[Run, Path]]], iteration: int, name: str) -> Figure | None:
    accuracies = [
        (own.iterations[iteration].accuracy, ref.iterations[iteration].accuracy) for (own, _), (ref, _) in pairs
    ]
    both = [(own[name], ref[name]) for own, ref in accuracies if name in own and name in ref]
    return mean([own["greedy"].value - ref["greedy"].value for own, ref in both if "greedy" in own and "greedy" in ref])


def _by_question(own: Path, reference: Path, iteration: int, name: str) -> Figure | None:
    ours, theirs = _right(own, iteration, name), _right(reference, iteration, name)
    return mean([float(ours[key]) - float(theirs[key]) for key in ours.keys() & theirs.keys()])


def _right(root: Path, iteration: int, name: str) -> dict[str, bool]:
    """Whether each test question was answered right, greedily."""
    path = RunDirectory(root).phase(iteration, Phase.EVALUATE).file(f"samples_{name}.jsonl")
    return {row["id"]: row["greedy"]["outcome"] == Outcome.RIGHT for row in rows(path)}
