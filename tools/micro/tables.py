"""The study's tables, in Markdown, from the files of finished runs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, TypeAlias

from rzero.runs.store import RunDirectory

MEASURES = ("greedy", "mean@8", "maj@8", "pass@8")
DONE = re.compile(r"(train_challenger|generate_questions|vote|train_solver|evaluate)\b.*: done in (.*)")
UNITS = {"s": 1, "min": 60, "h": 3600}
Counts: TypeAlias = list[list[int]]
"""[levels][right, all]"""


def accuracies(runs: Sequence[Path]) -> None:
    """Each iteration's accuracies, mean (and seed by seed), and each seed's paired difference to the base."""
    print("| | " + " | ".join(MEASURES) + " | mean@8 - base, paired 95 % | greedy - base, paired 95 % |")
    print("|---|" + "---|" * (len(MEASURES) + 2))
    for iteration in range(last(runs) + 1):
        cells = []
        for measure in MEASURES:
            values = [100 * evaluation(run, iteration)[measure]["value"] for run in runs]
            cells.append(f"{fmean(values):.1f} ({'/'.join(f'{value:.1f}' for value in values)})")
        for measure in ("mean@8", "greedy"):
            gains = [paired(run, iteration, measure) for run in runs]
            cells.append("; ".join(f"{gain:+.1f} ± {half:.1f}" for gain, half in gains) if iteration else "")
        print(f"| {name(iteration)} | " + " | ".join(cells) + " |")


def questions(runs: Sequence[Path]) -> None:
    """What the oracle says of each iteration's questions: mean over seeds (smallest to largest)."""
    print("\n| | answerable | label accuracy | of kept | difficulty | of kept | mean p̂ of kept | kept |")
    print("|---|---|---|---|---|---|---|---|")
    for iteration in range(1, last(runs) + 1):
        found = [json.loads((run / f"iter_{iteration:02d}" / "summary.json").read_text()) for run in runs]
        labels = [summary["labels"] for summary in found]
        cells = [
            spread([100 * entry["all"]["valid_frac"] for entry in labels]),
            spread([100 * entry["all"]["label_accuracy"] for entry in labels]),
            spread([100 * entry["kept"]["label_accuracy"] for entry in labels]),
            spread([entry["all"]["mean_difficulty"] for entry in labels], 2),
            spread([entry["kept"]["mean_difficulty"] for entry in labels], 2),
            spread([summary["curriculum"]["mean_self_consistency_kept"] for summary in found], 2),
            spread([summary["curriculum"]["num_kept"] for summary in found], 0),
        ]
        print(f"| iteration {iteration} | " + " | ".join(cells) + " |")


def styles(runs: Sequence[Path]) -> None:
    """Sampled answers by style and level: how often each style is chosen, and how often it is right; greedy beside."""
    levels = {row["id"]: row["level"] for row in test_rows()}
    print("\n| | step by step | right: step by step, levels 1-5 | right: direct, levels 1-5 | greedy, levels 1-5 |")
    print("|---|---|---|---|---|")
    for iteration in range(last(runs) + 1):
        sampled: dict[bool, Counts] = {style: [[0, 0] for _ in range(5)] for style in (True, False)}
        greedy: Counts = [[0, 0] for _ in range(5)]
        for run in runs:
            for row in samples(run, iteration):
                level = levels[row["id"]] - 1
                count(greedy[level], row["greedy"])
                for sample in row["samples"]:
                    count(sampled[not sample["completion"].lstrip().startswith("\\boxed")][level], sample)
        totals = {style: sum(total for _, total in counts) for style, counts in sampled.items()}
        cells = [f"{totals[True] / sum(totals.values()):.0%}", *map(by_level, (sampled[True], sampled[False], greedy))]
        print(f"| {name(iteration)} | " + " | ".join(cells) + " |")


def count(entry: list[int], answer: dict[str, Any]) -> None:
    """Add one answer to [right, all]."""
    entry[0] += answer["outcome"] == "right"
    entry[1] += 1


def by_level(counts: Counts) -> str:
    """All levels together, then each level, in percent.

    >>> by_level([[1, 2], [0, 2]])
    '25.0 (50 / 0)'
    """
    right, total = (sum(column) for column in zip(*counts, strict=True))
    return (
        f"{100 * right / max(1, total):.1f} (" + " / ".join(f"{100 * r / n:.0f}" if n else "-" for r, n in counts) + ")"
    )


def two_way(found: Sequence[list[list[float]]]) -> None:
    """Each Solver on each iteration's answerable questions: mean@8 against the oracle, mean over seeds."""
    if not found:
        return
    print(
        f"\n| Solver ({len(found)} seeds) | "
        + " | ".join(f"questions of iteration {n + 1}" for n in range(len(found[0][0])))
        + " |"
    )
    print("|---|" + "---|" * len(found[0][0]))
    for solver, rows in enumerate(zip(*found, strict=True)):
        cells = [spread([100 * value for value in column]) for column in zip(*rows, strict=True)]
        print(f"| {name(solver)} | " + " | ".join(cells) + " |")


def costs(runs: Sequence[Path]) -> None:
    """Seconds by phase and tokens a second, mean over the runs, from the runs' own logs and metrics."""
    seconds: dict[str, list[float]] = {}
    speeds: dict[str, list[float]] = {}
    for run in runs:
        spent: dict[str, float] = {}
        for log in sorted((run / "logs").glob("*.log")):
            for title, duration in DONE.findall(log.read_text(encoding="utf-8")):
                spent[title] = spent.get(title, 0.0) + in_seconds(duration)
        for path in run.glob("iter_*/train_solver/steps/*/metrics.json"):
            step = json.loads(path.read_text())
            spent["train_solver"] = spent.get("train_solver", 0.0) + step["update_s"]
            rollouts = len((path.parent / "rollouts.jsonl").read_text().splitlines())
            speeds.setdefault("sampling", []).append(rollouts * step["mean_completion_tokens"] / step["sampling_s"])
            speeds.setdefault("update", []).append(step["num_tokens"] / step["update_s"])
        for path in run.glob("iter_*/train_challenger/steps/*/metrics.json"):
            spent["train_challenger"] = spent.get("train_challenger", 0.0) + json.loads(path.read_text())["update_s"]
        for phase, value in spent.items():
            seconds.setdefault(phase, []).append(value)
    total = sum(fmean(values) for values in seconds.values())
    print(
        f"\nSeconds of a run, {total:.0f} in all:",
        ", ".join(f"{key} {fmean(value):.0f}" for key, value in seconds.items()),
    )
    print("Tokens a second in train_solver:", ", ".join(f"{key} {median(value):,.0f}" for key, value in speeds.items()))


def in_seconds(duration: str) -> float:
    """What the console wrote, in seconds.

    >>> in_seconds("42 s"), in_seconds("1 min 15 s")
    (42.0, 75.0)
    """
    parts = duration.split()
    return sum(float(value) * UNITS[unit] for value, unit in zip(parts[::2], parts[1::2], strict=True))


def paired(run: Path, iteration: int, measure: str) -> tuple[float, float]:
    """Mean difference to the base in points over the test questions, and half its 95 % interval."""
    before, after = ([share(row, measure) for row in samples(run, n)] for n in (0, iteration))
    differences = [100 * (b - a) for a, b in zip(before, after, strict=True)]
    return fmean(differences), 1.96 * stdev(differences) / math.sqrt(len(differences))


def share(row: dict[str, Any], measure: str) -> float:
    if measure == "greedy":
        return float(row["greedy"]["outcome"] == "right")
    return fmean(sample["outcome"] == "right" for sample in row["samples"])


def name(iteration: int) -> str:
    """Row titles: iteration 0 is the base."""
    return f"iteration {iteration}" if iteration else "base"


def last(runs: Sequence[Path]) -> int:
    """The last iteration that all runs have finished."""
    return min(max(n for n, phase in RunDirectory(run).state.completed if phase == "evaluate") for run in runs)


def evaluated(runs: Sequence[Path]) -> bool:
    """Whether the runs were put to the test set; `evaluate.data=` leaves it out."""
    return all((run / "iter_01" / "evaluate" / "samples_arithmetic_test.jsonl").exists() for run in runs)


def evaluation(run: Path, iteration: int) -> dict[str, Any]:
    path = run / f"iter_{iteration:02d}" / "evaluate" / "evaluation.json"
    return json.loads(path.read_text())["results"]["arithmetic_test"]


def samples(run: Path, iteration: int) -> Iterator[dict[str, Any]]:
    path = run / f"iter_{iteration:02d}" / "evaluate" / "samples_arithmetic_test.jsonl"
    for line in path.read_text().splitlines():
        yield json.loads(line)


def test_rows() -> list[dict[str, Any]]:
    from rzero.evaluate.tasks import data_path

    return [json.loads(line) for line in data_path("arithmetic").read_text().splitlines()]


def spread(values: Sequence[float], digits: int = 1) -> str:
    return f"{fmean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
