"""What R-Zero does to the bundled micro model, over seeds, with controls: runs a resumable grid, prints its tables.

python tools/micro_study.py run --out runs/study --seeds 0,1,2,3,4 [--variants full,oracle,random,no_door]
python tools/micro_study.py report --out runs/study
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import rzero
from rzero.runs.store import RunDirectory

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

VARIANTS: dict[str, dict[str, object]] = {
    "full": {},
    "oracle": {"solver.reward": "label_controls:oracle_label"},
    "random": {"solver.reward": "label_controls:random_label", "iterations": 1},
    "no_door": {"vote.min_valid_frac": 0.0},
    "no_challenger": {"challenger.train": False},
    "no_filter": {"curriculum.band_low": 0.0, "curriculum.band_high": 1.0},
    "no_repetition": {"challenger.repetition_weight": 0.0},
}
MEASURES = ("greedy", "mean@8", "maj@8", "pass@8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("run", "report"))
    parser.add_argument("--out", type=Path, default=Path("runs/study"))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--variants", default="full,oracle,random,no_door")
    parser.add_argument("--model", default="micro")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an option for all runs")
    known = parser.parse_args()
    seeds = [int(seed) for seed in known.seeds.split(",")]
    variants = known.variants.split(",")
    if known.action == "report":
        report(known.out, variants, seeds)
        return
    common = dict(entry.split("=", 1) for entry in known.set)
    for seed in seeds:
        for variant in variants:
            changes = {"seed": seed, "model.path": known.model, "progress": "none", **common, **VARIANTS[variant]}
            rzero.run(rzero.load("micro", changes), known.out / variant / f"seed_{seed}")
            print(f"{variant} seed {seed}: done", flush=True)


def report(root: Path, variants: Sequence[str], seeds: Sequence[int]) -> None:
    for variant in variants:
        runs = [path for seed in seeds if (path := root / variant / f"seed_{seed}").is_dir()]
        if runs:
            print(f"\n## {variant} ({len(runs)} seeds)\n")
            accuracies(runs)
            if "random" not in variant:
                questions(runs)
            styles(runs)


def accuracies(runs: Sequence[Path]) -> None:
    """Each iteration's accuracies, seed by seed, and the paired difference to the base over questions and seeds."""
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
        print(f"| {'base' if iteration == 0 else f'iteration {iteration}'} | " + " | ".join(cells) + " |")


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
    """Sampled answers by style and level: how often each style is chosen, and how often it is right."""
    levels = {row["id"]: row["level"] for row in test_rows()}
    print("\n| | step by step | right: step by step, levels 1-5 | right: direct, levels 1-5 |")
    print("|---|---|---|---|")
    for iteration in range(last(runs) + 1):
        counts = {(style, level): [0, 0] for style in (True, False) for level in range(1, 6)}
        for run in runs:
            for row in samples(run, iteration):
                for sample in row["samples"]:
                    entry = counts[not sample["completion"].lstrip().startswith("\\boxed"), levels[row["id"]]]
                    entry[0] += sample["outcome"] == "right"
                    entry[1] += 1
        total = sum(entry[1] for entry in counts.values())
        chosen = sum(entry[1] for (style, _), entry in counts.items() if style) / total
        rows = [overall(counts, style) for style in (True, False)]
        print(f"| {'base' if iteration == 0 else f'iteration {iteration}'} | {chosen:.0%} | {rows[0]} | {rows[1]} |")


def overall(counts: dict[tuple[bool, int], list[int]], style: bool) -> str:
    """All levels together, then each level, in percent."""
    entries = [counts[style, level] for level in range(1, 6)]
    right, total = sum(entry[0] for entry in entries), sum(entry[1] for entry in entries)
    by_level = " / ".join(f"{100 * entry[0] / entry[1]:.0f}" if entry[1] else "-" for entry in entries)
    return f"{100 * right / max(1, total):.1f} ({by_level})"


def paired(run: Path, iteration: int, measure: str) -> tuple[float, float]:
    """Mean difference to the base in points over the test questions, and half its 95 % interval."""
    before, after = ([share(row, measure) for row in samples(run, n)] for n in (0, iteration))
    differences = [100 * (b - a) for a, b in zip(before, after, strict=True)]
    return fmean(differences), 1.96 * stdev(differences) / math.sqrt(len(differences))


def share(row: dict[str, Any], measure: str) -> float:
    if measure == "greedy":
        return float(row["greedy"]["outcome"] == "right")
    return fmean(sample["outcome"] == "right" for sample in row["samples"])


def last(runs: Sequence[Path]) -> int:
    """The last iteration that all runs have finished."""
    return min(max(n for n, phase in RunDirectory(run).state.completed if phase == "evaluate") for run in runs)


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


if __name__ == "__main__":
    main()
