"""``rzero synergy``: does R-Zero help supervised fine-tuning that follows it?

For each seed: the base model; R-Zero; the base model fine-tuned; R-Zero's Solver fine-tuned. Both fine-tunings take the
same steps on the same data in the same order. All four are measured on ``evaluate.data`` under one protocol.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rzero import domains
from rzero.analysis.seeds import over_seeds, paired
from rzero.config import Config, change
from rzero.errors import ConfigError
from rzero.evaluate.tasks import data_path
from rzero.evolve.context import Parts
from rzero.evolve.evaluate import evaluate_file
from rzero.evolve.loop import run
from rzero.evolve.open_engine import open_engine
from rzero.evolve.plan import find_model
from rzero.experiments.sft import Labelled, sft
from rzero.experiments.tables import shown
from rzero.grading.grader import Grader
from rzero.runs.atomic import read_json, write_json, write_text
from rzero.runs.console import Console

MODELS = ("base", "rzero", "base, sft", "rzero, sft")


def synergy(config: Config, sft_config: Config, rows: Sequence[Labelled], seeds: Sequence[int], out: Path) -> str:
    """Run, or go on with, the experiment; returns its table as Markdown, which is also in ``out/synergy.md``.

    ``sft_config`` has the options of the fine-tuning alone; evaluation goes by ``config``.
    Raises ConfigError if there is nothing to evaluate on.
    """
    if not config.evaluate.data:
        raise ConfigError("evaluate.data is empty, so there is nothing to compare on; name a test set")
    found: dict[int, dict[str, dict[str, Any]]] = {}
    for seed in seeds:
        directory = out / f"seed_{seed}"
        changed = change(config, {"seed": seed})
        base = find_model(changed)
        solver = run(changed, directory / "rzero").solver
        supervised = change(sft_config, {"seed": seed})
        paths = {
            "base": base,
            "rzero": solver,
            "base, sft": sft(supervised, base, rows, directory / "base_sft"),
            "rzero, sft": sft(supervised, solver, rows, directory / "rzero_sft"),
        }
        if not (directory / "evaluation.json").exists():
            write_json(directory / "evaluation.json", _evaluate(changed, paths))
        found[seed] = read_json(directory / "evaluation.json")
        write_json(out / "synergy.json", found)
        write_text(out / "synergy.md", _table(found) + "\n")
    return (out / "synergy.md").read_text(encoding="utf-8")


def _evaluate(config: Config, paths: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Model -> test set -> its figures."""
    with (
        closing(open_engine(config, paths["base"])) as engine,
        Grader(timeout_s=config.grading.timeout_s, workers=config.grading.workers) as grader,
    ):
        parts = Parts(
            config=config,
            domain=domains.load(config.domain),
            grader=grader,
            engine=engine,
            console=Console(config.progress),
        )
        results: dict[str, dict[str, Any]] = {}
        for name, path in paths.items():
            sampler = engine.sampler(path)
            files = [data_path(entry) for entry in config.evaluate.data]
            results[name] = {file.stem: evaluate_file(parts, file, sampler, title=name)[0] for file in files}
            engine.release()
    return results


def _table(found: Mapping[int, Mapping[str, Mapping[str, Any]]]) -> str:
    """A section a test set and figure: means over seeds, and what R-Zero before SFT adds, paired by seed."""
    first = next(iter(found.values()))["base"]
    sections = []
    for test_set, kind in itertools.chain.from_iterable(
        ((test_set, kind) for kind, value in results.items() if isinstance(value, dict) and "low" in value)
        for test_set, results in first.items()
    ):
        values = {
            name: {seed: 100 * models[name][test_set][kind]["value"] for seed, models in found.items()}
            for name in MODELS
        }
        difference = paired(values["rzero, sft"], values["base, sft"])
        assert difference is not None
        lines = [f"## {test_set}: {kind}, % ({len(found)} seeds)", "", "| | mean ± 95 % over seeds |", "|---|---|"]
        lines += [f"| {name} | {shown(over_seeds(list(table.values())))} |" for name, table in values.items()]
        lines.append(f"| rzero, sft minus base, sft, paired | {shown(difference, sign=True)} |")
        sections.append("\n".join(lines))
    return "\n\n".join(sections)
