"""``rzero eval``: one model, or a run's base model and each iteration's Solver, under one protocol in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from rzero import domains
from rzero.config import Config
from rzero.engines.base import SamplingParams
from rzero.errors import ConfigError
from rzero.evaluate import benchmarks
from rzero.evaluate.averages import Figure, averages
from rzero.evaluate.harness import Decoding, Part, require_lm_eval, run_parts
from rzero.evaluate.scoring import RATES
from rzero.evaluate.sources import load_benchmark
from rzero.evolve.context import Parts
from rzero.evolve.lineage import Lineage
from rzero.evolve.open_engine import open_engine
from rzero.evolve.plan import find_model
from rzero.experiments.saved_completions import SavedCompletions
from rzero.grading.grader import Grader
from rzero.runs.atomic import write_json
from rzero.runs.console import Console
from rzero.runs.store import RunDirectory, versions
from rzero.seeds import derive_seed
from rzero.types import Completion, Phase, Prompt

DEFAULT_K = 32
"""Samples of each question for mean@k, where a benchmark asks for it and ``evaluate.num_samples`` is 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What all models of a table share. ``limit`` 0 takes all rows; ``data`` None loads from the hub."""

    config: Config
    tasks: tuple[str, ...]
    data: Path | None
    limit: int = 0

    def parts(self) -> list[Part]:
        """The tasks with their data: greedy, and sampled where the benchmark or ``evaluate.num_samples`` asks for it.

        Raises ConfigError for an unknown task, DataError for data that cannot be used.
        """
        options = self.config.evaluate
        found: list[Part] = []
        for benchmark in benchmarks.find(self.tasks):
            loaded = load_benchmark(benchmark, self.data)
            k = options.num_samples or (DEFAULT_K if benchmark.sampled else 0)
            for samples in dict.fromkeys([0, k]):
                if samples and not options.temperature:
                    raise ConfigError(
                        "evaluate.temperature=0.0 would repeat one greedy answer; give it a value above 0 for mean@k"
                    )
                decoding = Decoding(
                    k=samples,
                    max_new_tokens=options.max_new_tokens,
                    temperature=options.temperature if samples else 0.0,
                    top_p=options.top_p,
                    top_k=options.top_k,
                    seed=derive_seed(self.config.seed, "eval", benchmark.name),
                )
                name = f"{benchmark.name}_sampled" if samples else benchmark.name
                found.append(Part(name=name, benchmark=benchmark, loaded=loaded, decoding=decoding))
        return found


def models_of_run(root: Path) -> tuple[Config, dict[str, Path]]:
    """A run's options, and its base model and finished Solvers by name."""
    config = RunDirectory.recorded_config(root)
    run = RunDirectory(root)
    lineage = Lineage(config=config, run=run, base=run.base)
    solvers = {"base": run.base}
    for number, phase in run.state.completed:
        if phase is Phase.TRAIN_SOLVER:
            solvers[f"iteration {number}"] = lineage.solver(number)
    return config, solvers


def evaluate_models(models: Mapping[str, Path | None], protocol: Protocol, out: Path) -> Table:
    """Evaluate each model (None: the one that ``model.path`` names), write all files below ``out``, return the table.

    ``out/summary.json`` holds every figure with its interval; lm-eval's files are below ``out/<model>``. Completions
    that an interrupted evaluation left in ``out`` are not sampled again.
    """
    require_lm_eval()
    config, parts = protocol.config, protocol.parts()
    paths = {name: find_model(config) if path is None else path for name, path in models.items()}
    console = Console(config.progress)
    domain = domains.load(config.domain)
    record = {
        "options": config.model_dump(mode="json"),
        "versions": versions(),
        "skipped": {part.name: part.loaded.skipped for part in parts},
        "chance": {part.name: part.loaded.chance for part in parts},
    }
    summary: dict[str, dict[str, Any]] = {}
    with (
        closing(open_engine(config, next(iter(paths.values())))) as engine,
        Grader(timeout_s=config.grading.timeout_s, workers=config.grading.workers) as grader,
    ):
        shared = Parts(config=config, domain=domain, grader=grader, engine=engine, console=console)
        for name, path in paths.items():
            found = run_parts(
                parts,
                domain=domain,
                grader=grader,
                sample=_sampling(shared, SavedCompletions(shared, path, out / "completions"), name),
                limit=protocol.limit,
                out=out,
                model=name,
                record=record | {"model": str(path)},
            )
            engine.release()
            summary[name] = {"tasks": found, "averages": averages(_headlines(parts, found))}
            write_json(out / "summary.json", record | {"limit": protocol.limit, "models": summary})
    return _table(parts, summary)


def _sampling(shared: Parts, saved: SavedCompletions, name: str) -> Any:
    def sample(prompts: Sequence[Prompt], params: SamplingParams) -> list[list[Completion]]:
        kind = f"{params.n} samples each" if params.temperature else "greedy"
        with shared.console.progress(f"{name}: {len(prompts)} questions, {kind}", len(prompts) * params.n) as advance:
            return saved.sample(prompts, params, on_progress=advance)

    return sample


def headline(part: Part) -> str | None:
    """The figure of this part that stands for its benchmark in averages; None if the other part has it."""
    if part.benchmark.sampled:
        return f"mean@{part.decoding.k}" if part.decoding.k else None
    return None if part.decoding.k else "accuracy"


def _headlines(parts: Sequence[Part], found: Mapping[str, Mapping[str, Any]]) -> dict[str, Figure]:
    chosen = [(part, headline(part)) for part in parts]
    return {part.benchmark.name: found[part.name][name] for part, name in chosen if name is not None}


def _table(parts: Sequence[Part], summary: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(title="Accuracy in percent with its 95 % interval", title_justify="left")
    table.add_column("task")
    table.add_column("figure")
    for name in summary:
        table.add_column(escape(name), justify="right")
    for part in parts:
        results = [model["tasks"][part.name] for model in summary.values()]
        figures = [name for name in results[0] if name != "num_questions" and name not in RATES]
        for name in figures:
            label = _label(part, results[0]) if name == figures[0] else ""
            table.add_row(label, name, *(_percent(result[name]) for result in results))
        for name in RATES:
            if any(result[name][0] for result in results):
                table.add_row(
                    "", f"  {name.replace('_', ' ')}", *(f"{100 * result[name][0]:.1f}" for result in results)
                )
    for name in ("math", "general", "overall"):
        if all(name in model["averages"] for model in summary.values()):
            table.add_row(name, "average", *(_percent(model["averages"][name]) for model in summary.values()))
    return table


def _label(part: Part, result: Mapping[str, Any]) -> str:
    chance, skipped = part.loaded.chance, sum(part.loaded.skipped.values())
    notes = [f"n={result['num_questions']}"]
    notes += [f"chance {100 * chance:.1f}"] if chance is not None else []
    notes += [f"{skipped} rows skipped"] if skipped else []
    return f"{part.benchmark.name} ({', '.join(notes)})"


def _percent(figure: Figure) -> str:
    value, low, high = (100 * part for part in figure)
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"
