"""A run directory, read into plain values. An unfinished run gives what it has: only finished phases count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rzero import config as options
from rzero.config import Config
from rzero.report import questions, rollouts
from rzero.report.benchmarks import headlines
from rzero.report.data import Extremes, Figure, Iteration, OptionValue, Questions, Run, StepMetrics
from rzero.report.figures import mean, present, share
from rzero.report.health import health
from rzero.report.jsonl import rows
from rzero.runs.atomic import read_json
from rzero.runs.store import PhaseDirectory, RunDirectory
from rzero.types import Phase, VoteStatus

TRAINING = {Phase.TRAIN_CHALLENGER: "challenger", Phase.TRAIN_SOLVER: "solver"}


def collect(root: Path, *, name: str) -> Run:
    """Everything that the report shows of the run in ``root``. Raises RunDirectoryError if there is none."""
    config = RunDirectory.recorded_config(root)
    run = RunDirectory(root)
    manifest = read_json(root / "run.json")
    benchmarks = headlines(run.benchmarks)
    begun = range(max((iteration for iteration, _ in run.state.completed), default=-1) + 1)
    return Run(
        name=name,
        created=manifest["created"],
        model=Path(manifest["model"]).name,
        seed=config.seed,
        band=(config.curriculum.band_low, config.curriculum.band_high),
        versions=_versions(root),
        options=_options(config),
        iterations=[replace(_iteration(run, config, n), benchmarks=benchmarks.get(n, {})) for n in begun],
        steps=[entry for number in begun for phase in TRAINING for entry in _steps(run.phase(number, phase))],
    )


def _versions(root: Path) -> dict[str, str]:
    attempts = sorted((root / "logs").glob("attempt_*.json"))
    return read_json(attempts[-1])["versions"] if attempts else {}


def _options(config: Config) -> list[OptionValue]:
    values, defaults = options.flat(config), options.flat(Config())
    return [
        OptionValue(name=item.name, value=values[item.name], default=defaults[item.name], meaning=item.meaning)
        for item in options.options()
    ]


def _steps(directory: PhaseDirectory) -> list[StepMetrics]:
    return [
        StepMetrics(
            iteration=directory.iteration,
            phase=str(directory.phase),
            step=int(path.parent.name.removeprefix("step_")),
            metrics=read_json(path),
        )
        for path in sorted(directory.root.glob("steps/step_*/metrics.json"))
    ]


def _iteration(run: RunDirectory, config: Config, number: int) -> Iteration:
    done = {phase for iteration, phase in run.state.completed if iteration == number}
    accuracy, figures = _evaluation(run.phase(number, Phase.EVALUATE)) if Phase.EVALUATE in done else ({}, {})
    for phase in TRAINING:
        figures |= _training(run.phase(number, phase), TRAINING[phase])
    if Phase.GENERATE_QUESTIONS in done:
        figures |= _pool(run.phase(number, Phase.GENERATE_QUESTIONS))
    found = _questions(run, config, number, done)
    if found is not None:
        figures |= _votes(found) | _labels(run, number, found)
    statistics: dict[str, Any] = {}
    if Phase.BUILD_CURRICULUM in done:
        statistics = read_json(run.phase(number, Phase.BUILD_CURRICULUM).file("statistics.json"))
        figures |= present(
            [("curriculum.kept_frac", share(statistics["num_kept"], statistics["num_questions"]))],
        )
    return Iteration(
        iteration=number,
        finished=Phase.EVALUATE in done,
        accuracy=accuracy,
        figures=figures,
        agree_all=statistics.get("agree_all", []),
        agree_kept=statistics.get("agree_kept", []),
        health=health(figures) if number > 0 else [],
        questions=found,
        extremes=_extremes(run, number, done),
    )


def _evaluation(directory: PhaseDirectory) -> tuple[dict[str, dict[str, Figure]], dict[str, Figure]]:
    """Accuracies by test file and kind, and the other figures of the greedy answers."""
    accuracy: dict[str, dict[str, Figure]] = {}
    figures: dict[str, Figure] = {}
    for name, result in read_json(directory.file("evaluation.json"))["results"].items():
        accuracy[name] = {
            kind: Figure(value=found["value"], low=found.get("low"), high=found.get("high"))
            for kind, found in result.items()
            if isinstance(found, dict) and "value" in found
        }
        figures |= present(
            [
                (f"evaluation.{name}.completion_tokens", mean([result["mean_completion_tokens"]])),
                (f"evaluation.{name}.cut_off_frac", share(result["num_cut_off"], result["num_questions"])),
            ]
        )
    return accuracy, figures


def _training(directory: PhaseDirectory, role: str) -> dict[str, Figure]:
    """Each metric's mean over the phase's steps; the interval comes from the spread between steps."""
    steps = [entry.metrics for entry in _steps(directory)]
    names = dict.fromkeys(name for step in steps for name in step)
    values = {name: [step[name] for step in steps if step.get(name) is not None] for name in names}
    return present(
        [(f"{role}.{name}", mean(values[name], bounded=name.endswith("_frac"))) for name in names],  # type: ignore[arg-type]
    )


def _pool(directory: PhaseDirectory) -> dict[str, Figure]:
    statistics = read_json(directory.file("statistics.json"))
    distinct, repeated, sampled = (statistics[f"num_{name}"] for name in ("distinct", "repeated", "sampled"))
    lengths = (row["num_tokens"] for path in sorted(directory.root.glob("parts/part_*.jsonl")) for row in rows(path))
    return present(
        [
            ("pool.distinct_frac", share(distinct, distinct + repeated)),
            ("pool.well_formed_frac", share(distinct + repeated, sampled)),
            ("pool.cut_off_frac", share(statistics["num_cut_off"], sampled)),
            ("pool.completion_tokens", mean(lengths)),
        ]
    )


def _questions(run: RunDirectory, config: Config, number: int, done: set[Phase]) -> Questions | None:
    if Phase.VOTE not in done:
        return None
    kept = None
    if Phase.BUILD_CURRICULUM in done:
        curriculum = rows(run.phase(number, Phase.BUILD_CURRICULUM).file("curriculum.jsonl"))
        kept = {row["question_id"] for row in curriculum}
    return questions.collect(rows(run.phase(number, Phase.VOTE).file("votes.jsonl")), kept, config)


def _votes(found: Questions) -> dict[str, Figure]:
    """Means over questions; the votes on one question depend on each other, so questions are what is counted."""

    def shares(status: VoteStatus) -> list[float]:
        counts = [(sum(n for _, s, n in entry if s == status), sum(n for *_, n in entry)) for entry in found.ballots]
        return [part / whole for part, whole in counts if whole]

    clusters = len(set(found.cluster))
    return present(
        [
            ("votes.self_consistency", mean(found.self_consistency, bounded=True)),
            ("votes.valid_frac", mean(shares(VoteStatus.VALID), bounded=True)),
            ("votes.cut_off_frac", mean(shares(VoteStatus.CUT_OFF), bounded=True)),
            ("pool.clusters_frac", Figure(value=clusters / len(found.id)) if found.id else None),
        ]
    )


def _labels(run: RunDirectory, number: int, found: Questions) -> dict[str, Figure]:
    """What the oracle says; the counts behind its shares follow from the votes."""
    path = run.labels_path(number)
    if not path.exists():
        return {}
    labelled = {
        "all": sum(label is not None for label in found.label),
        "kept": sum(verdict == questions.KEPT for verdict in found.verdict),
    }
    figures: dict[str, Figure | None] = {}
    for group, values in read_json(path).items():
        if group not in labelled:
            continue
        figures[f"labels.{group}.valid_frac"] = _share_of(values.get("valid_frac"), values["num_questions"])
        figures[f"labels.{group}.label_accuracy"] = _share_of(values.get("label_accuracy"), labelled[group])
        difficulty = values.get("mean_difficulty")
        low, high = values.get("difficulty_interval") or (None, None)
        figures[f"labels.{group}.mean_difficulty"] = (
            None if difficulty is None else Figure(value=difficulty, low=low, high=high)
        )
    return present(list(figures.items()))


def _share_of(value: float | None, whole: int) -> Figure | None:
    return None if value is None else share(min(whole, round(value * whole)), whole)


def _extremes(run: RunDirectory, number: int, done: set[Phase]) -> list[Extremes]:
    found: list[Extremes] = []
    for phase in TRAINING:
        steps = sorted(run.phase(number, phase).root.glob("steps/step_*/rollouts.jsonl"))
        if phase not in done or not steps:
            continue
        last = int(steps[-1].parent.name.removeprefix("step_"))
        if phase is Phase.TRAIN_CHALLENGER:
            found.append(rollouts.challenger(steps[-1], last))
        else:
            found.append(rollouts.solver(steps[-1], last, _texts(run, number)))
    return found


def _texts(run: RunDirectory, number: int) -> Mapping[str, str]:
    curriculum = rows(run.phase(number, Phase.BUILD_CURRICULUM).file("curriculum.jsonl"))
    return {row["question_id"]: row["question"] for row in curriculum}
