"""How far `rzero plan` is from runs that were made: predicted over measured seconds of sampling and updating.

    python bench/plan.py runs/small runs/demo --device cpu

Of a run it takes the options and what nobody knows beforehand: mean lengths of prompts, questions and answers, and the
share of groups without variance. Votes are taken to be as long as the answers that the Solver is trained on. The
efficiencies are the defaults of `rzero plan`; nothing is fitted to the runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.report import Report
from rzero import config as options
from rzero import domains
from rzero.costs.device import Device, find_device
from rzero.costs.estimate import estimate
from rzero.costs.fleet import Fleet
from rzero.costs.shapes import find_shape
from rzero.costs.workload import Lengths
from rzero.models.open import open_tokenizer
from rzero.models.rendering import Renderer

PHASES = ("train_challenger", "train_solver")


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is taken from a run directory: its options, the steps of its first iteration, and its lengths."""

    config: options.Config
    model: Path
    steps: dict[str, list[dict[str, Any]]]
    lengths: Lengths

    def mean(self, phase: str, key: str) -> float:
        """Of a metric over a phase's steps."""
        return statistics.fmean(step[key] for step in self.steps[phase])


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="DIR", help="run directories with a finished iteration")
    parser.add_argument("--device", default="cpu", help="what they ran on, as in rzero plan --gpu (default: cpu)")
    parser.add_argument("--json", type=Path, help="write the report to this file, too")
    given = parser.parse_args()
    compare(given.runs, find_device(given.device)).show(given.json)


def compare(runs: list[Path], device: Device) -> Report:
    """Both training phases of each run's first iteration."""
    rows, ratios, data = [], {}, {}
    for root in runs:
        run = read(root)
        predicted = predict(run, device)
        for phase in PHASES:
            for what in ("sampling", "update"):
                measured = sum(step[f"{what}_s"] for step in run.steps[phase])
                ratio = predicted[phase][what] / measured
                name = f"{root.name} {phase} {what}"
                rows.append(
                    [root.name, phase, what, f"{predicted[phase][what]:.1f}", f"{measured:.1f}", f"{ratio:.2f}"]
                )
                ratios[name] = ratio
                data[name] = {"predicted_s": predicted[phase][what], "measured_s": measured}
    return Report(
        name="plan",
        columns=["run", "phase", "what", "predicted, s", "measured, s", "predicted / measured"],
        rows=rows,
        ratios=ratios,
        data=data,
        notes=[f"device: {device.name}, {device.source}", "the first iteration's training steps"],
    )


def predict(run: Run, device: Device) -> dict[str, dict[str, float]]:
    """Seconds of sampling and updating in both training phases; groups without variance are not updated on."""
    _, shape = find_shape(str(run.model))
    found = estimate(run.config, shape, Fleet(device=device), run.lengths)
    times = {str(phase.phase): phase for phase in found.phases}
    return {
        phase: {
            "sampling": times[phase].sampling + times[phase].grading,
            "update": times[phase].update * (1 - run.mean(phase, "zero_variance_frac")),
        }
        for phase in PHASES
    }


def read(root: Path) -> Run:
    """The run in ``root``."""
    recorded = json.loads((root / "run.json").read_text(encoding="utf-8"))
    lines = (root / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["iteration"] == 1]
    steps = {phase: [row for row in rows if row["phase"] == phase] for phase in PHASES}
    config = options.validate(recorded["options"])
    model = Path(recorded["model"])
    lengths = Lengths(
        prompt=_prompt_tokens(root, config, model),
        question=round(statistics.fmean(row["mean_completion_tokens"] for row in steps["train_challenger"])),
        answer=round(statistics.fmean(row["mean_completion_tokens"] for row in steps["train_solver"])),
    )
    return Run(config=config, model=model, steps=steps, lengths=lengths)


def _prompt_tokens(root: Path, config: options.Config, model: Path) -> int:
    """Mean length of the Solver's prompts to the curriculum's questions."""
    renderer = Renderer(open_tokenizer(model))
    domain = domains.load(config.domain)
    text = (root / "iter_01" / "build_curriculum" / "curriculum.jsonl").read_text(encoding="utf-8")
    questions = [json.loads(line)["question"] for line in text.splitlines()]
    return round(statistics.fmean(len(renderer.render(domain.solver_prompt(question))) for question in questions))


if __name__ == "__main__":
    main()
