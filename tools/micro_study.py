"""What R-Zero does to the bundled micro model, over seeds, with controls: runs a resumable grid, prints its tables.

python tools/micro_study.py run --out runs/study --seeds 0,1,2,3,4 --variants full,oracle,random
python tools/micro_study.py crossplay --out runs/study --seeds 0,1,2,3,4 --variants full
python tools/micro_study.py report --out runs/study
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from micro import tables
from micro.crossplay import crossplay

import rzero

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
CROSSPLAY = "crossplay.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("run", "crossplay", "report"))
    parser.add_argument("--out", type=Path, default=Path("runs/study"))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--model", default="micro")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an option for all runs")
    known = parser.parse_args()
    seeds = [int(seed) for seed in known.seeds.split(",")]
    variants = known.variants.split(",")
    if known.action == "report":
        report(known.out, variants, seeds)
    elif known.action == "crossplay":
        for run in (path for variant in variants for path in finished(known.out, variant, seeds)):
            if not (run / CROSSPLAY).exists():
                (run / CROSSPLAY).write_text(json.dumps(crossplay(run)))
    else:
        common = dict(entry.split("=", 1) for entry in known.set)
        for seed, variant in ((seed, variant) for seed in seeds for variant in variants):
            changes = {"seed": seed, "model.path": known.model, "progress": "none", **VARIANTS[variant], **common}
            rzero.run(rzero.load("micro", changes), known.out / variant / f"seed_{seed}")
            print(f"{variant} seed {seed}: done", flush=True)


def finished(root: Path, variant: str, seeds: Sequence[int]) -> Iterator[Path]:
    """The runs of a variant that have at least one finished iteration."""
    for seed in seeds:
        run = root / variant / f"seed_{seed}"
        if (run / "iter_01" / "summary.json").exists():
            yield run


def report(root: Path, variants: Sequence[str], seeds: Sequence[int]) -> None:
    """All tables of the runs below ``root``."""
    for variant in variants:
        runs = list(finished(root, variant, seeds))
        if not runs:
            continue
        print(f"\n## {variant} ({len(runs)} seeds)\n")
        evaluated = tables.evaluated(runs)
        if evaluated:
            tables.accuracies(runs)
        tables.questions(runs)
        if evaluated:
            tables.styles(runs)
        tables.two_way([json.loads(path.read_text()) for run in runs if (path := run / CROSSPLAY).exists()])
        tables.costs(runs)


if __name__ == "__main__":
    main()
