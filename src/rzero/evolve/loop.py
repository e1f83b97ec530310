"""The whole co-evolution.

Every phase reads files and writes one artefact, so the loop holds no state: it asks the run directory what is finished
and does the rest. To resume is to run it again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rzero import domains
from rzero.analysis import labels
from rzero.config import Config
from rzero.errors import ConfigError
from rzero.evolve import plan, summary, tracking
from rzero.evolve.build_curriculum import build_curriculum
from rzero.evolve.context import Context
from rzero.evolve.evaluate import evaluate
from rzero.evolve.generate_questions import generate_questions
from rzero.evolve.open_engine import open_engine
from rzero.evolve.schedule import schedule
from rzero.evolve.train_challenger import train_challenger
from rzero.evolve.train_solver import train_solver
from rzero.evolve.vote import vote
from rzero.grading.grader import Grader
from rzero.models.fingerprint import fingerprint
from rzero.report.write import write_if_possible
from rzero.runs.atomic import write_json
from rzero.runs.console import Console
from rzero.runs.metrics import rebuild_metrics
from rzero.runs.mirror import working_copy
from rzero.runs.store import RunDirectory
from rzero.runs.trackers.opening import open_tracker
from rzero.types import Phase

PHASES: dict[Phase, Callable[[Context, int], None]] = {
    Phase.TRAIN_CHALLENGER: train_challenger,
    Phase.GENERATE_QUESTIONS: generate_questions,
    Phase.VOTE: vote,
    Phase.BUILD_CURRICULUM: build_curriculum,
    Phase.TRAIN_SOLVER: train_solver,
    Phase.EVALUATE: evaluate,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a finished run leaves: its directory, the last checkpoints, and each iteration's summary (iteration 0: the
    base).
    """

    directory: Path
    solver: Path
    challenger: Path
    summaries: list[dict[str, Any]]


def run(config: Config, out: str | Path) -> RunResult:
    """Run R-Zero into ``out``, a directory or a URL, or take up the run that is there.

    Raises the errors of :mod:`rzero.errors`; whatever happens, what was saved stays, and the same call goes on from
    there.
    """
    if not config.model.path:
        raise ConfigError("model.path is not given; name a model directory, a GGUF file or a hub id with --model")
    domain = domains.load(config.domain)
    data = plan.check_options(config)
    note = Console(config.progress).note
    with working_copy(out, note=note) as copy:
        RunDirectory.check(copy.root, config)
        base = plan.find_base(config)
        for line in plan.sizes(config, base):
            note(line)
        with (
            RunDirectory.open(
                copy.root, config, model_fingerprint=fingerprint(base), base=base, data=data, saved=copy.saved
            ) as directory,
            Grader(timeout_s=config.grading.timeout_s, workers=config.grading.workers) as grader,
            closing(open_engine(config, base)) as engine,
        ):
            console = Console(config.progress, log=directory.log_path)
            for change in directory.machine_changes(engine.machine):
                console.note(f"warning: {change} since the run began; from here on results are rounded differently")
            rebuild_metrics(directory)
            with open_tracker(config, directory, last_step=_last_step(config, directory), warn=console.note) as tracker:
                return evolve(
                    Context(
                        config=config,
                        run=directory,
                        base=base,
                        domain=domain,
                        grader=grader,
                        engine=engine,
                        console=console,
                        tracker=tracker,
                    )
                )


def evolve(context: Context) -> RunResult:
    """Do what the run directory says is left."""
    config, state = context.config, context.run.state
    phases = list(schedule(config.iterations))
    left = [entry for entry in phases if entry not in state.completed]
    context.console.note(_where(context, len(phases), left))
    _check_prompt(context)
    summaries = [_summarise(context, n) for n in range(config.iterations + 1) if _finished(n, left)]
    for iteration, phase in left:
        PHASES[phase](context, iteration)
        context.engine.release()
        if phase is Phase.EVALUATE:
            summaries.append(_summarise(context, iteration))
            context.console.table(summary.table(summaries))
            place = tracking.position(config, iteration, phase)
            context.tracker.log(tracking.figures(summaries[-1]), step=place)
            write_if_possible(context.run.root, warn=context.console.note)
    return RunResult(
        directory=context.run.root,
        solver=context.lineage.solver(config.iterations),
        challenger=context.lineage.challenger(config.iterations),
        summaries=summaries,
    )


def _last_step(config: Config, directory: RunDirectory) -> int:
    """The last training step that is safe, counted through the whole run."""
    left = [entry for entry in schedule(config.iterations) if entry not in directory.state.completed]
    iteration, phase = left[0] if left else (config.iterations, Phase.EVALUATE)
    return tracking.position(config, iteration, phase, directory.state.done_in(iteration, phase))


def _summarise(context: Context, iteration: int) -> dict[str, Any]:
    if not context.run.labels_path(iteration).exists():
        measure_labels(context, iteration)
    return summary.summarise(context.run, iteration)


def measure_labels(context: Context, iteration: int) -> None:
    """Hold an iteration's pseudo-labels against the domain's oracle, where it has one. No phase reads the result."""
    if iteration == 0 or context.domain.oracle is None:
        return
    votes = context.directory(iteration, Phase.VOTE).rows("votes.jsonl")
    curriculum = context.directory(iteration, Phase.BUILD_CURRICULUM).rows("curriculum.jsonl")
    kept = labels.kept(votes, {row["question_id"] for row in curriculum})
    figures = {
        name: asdict(labels.measure(rows, oracle=context.domain.oracle, grader=context.grader))
        for name, rows in (("all", votes), ("kept", kept))
    }
    write_json(context.run.labels_path(iteration), figures)


def _check_prompt(context: Context) -> None:
    length, limit = len(context.engine.render(context.domain.challenger_prompt())), context.engine.max_context
    if length >= limit:
        raise ConfigError(
            f"domain={context.config.domain!r}: the Challenger's prompt has {length} tokens but the model's context "
            f"has {limit}; "
            "use a model with a longer context or a domain with a shorter prompt"
        )


def _finished(iteration: int, left: list[tuple[int, Phase]]) -> bool:
    return all(entry[0] != iteration for entry in left)


def _where(context: Context, total: int, left: list[tuple[int, Phase]]) -> str:
    """What was found and what comes next."""
    root = context.run.root
    if not left:
        return f"{root}: all {total} phases are finished; nothing to do (raise iterations to go on)"
    iteration, phase = left[0]
    done = context.run.state.done_in(iteration, phase)
    found = "new run" if context.run.state.attempt == 1 else f"resuming: {total - len(left)} of {total} phases finished"
    inside = f", after {done} finished steps or parts of it" if done else ""
    return f"{root}: {found}; next is {phase} of iteration {iteration}{inside}"
