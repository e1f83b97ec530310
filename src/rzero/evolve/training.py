"""The step loop that both training phases share: sample, reward, update, save, resume.

A step is safe once its rollouts, its metrics and the learner's state are on disk and ``state.json`` says so. A step
that was interrupted is sampled again from the same seeds, so nothing of it needs saving. Where the learner is in
another process and that is lost, the loop does what resuming the run would do: it goes on from the last save.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rzero.config import RoleConfig
from rzero.engines.base import Learner, Sampler
from rzero.errors import WorkerLostError
from rzero.evolve.context import Context
from rzero.evolve.tracking import position
from rzero.runs.atomic import replace_directory, require_space, write_json, write_jsonl
from rzero.runs.metrics import append_metrics, rebuild_metrics
from rzero.runs.store import PhaseDirectory
from rzero.types import Completion, Group, Phase, Rollout

LEARNER_FILES = ("learner.safetensors", "learner.json")
"""The optimiser's state, which a phase's final checkpoint leaves out: each phase starts with a fresh optimiser."""

MOST_LOSSES = 3
"""Learners that are lost one after the other, with no save between, before the run gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One step's rollouts: ``groups`` for the learner, ``rows`` [rollouts] as data, ``metrics`` of the rewards."""

    groups: Sequence[Group]
    rows: Sequence[dict[str, Any]]
    metrics: dict[str, float]


def train(
    context: Context,
    iteration: int,
    phase: Phase,
    *,
    role: RoleConfig,
    start: Path,
    collect: Callable[[int, Sampler], Batch],
) -> None:
    """Run a training phase from its resume point to its final checkpoint. ``collect`` samples and rewards one step."""
    directory = context.directory(iteration, phase)
    losses, before = 0, -1
    while (done := context.run.state.done_in(iteration, phase)) < role.steps:
        try:
            _take_steps(context, directory, done, role=role, start=start, collect=collect)
        except WorkerLostError as error:
            done = context.run.state.done_in(iteration, phase)
            losses = losses + 1 if done == before else 1
            before = done
            if losses == MOST_LOSSES:
                raise
            context.console.note(f"warning: {error}; going on from step {done} of {phase}")
            context.engine.recover()
            rebuild_metrics(context.run)
    _finish(directory, role.steps)
    context.run.state.complete(iteration, phase)
    shutil.rmtree(directory.root / "resumable", ignore_errors=True)


def _take_steps(
    context: Context,
    directory: PhaseDirectory,
    done: int,
    *,
    role: RoleConfig,
    start: Path,
    collect: Callable[[int, Sampler], Batch],
) -> None:
    """The steps behind the ``done`` first ones, from their save."""
    policy = context.engine.policy(start, reference=context.lineage.reference(start), role=role)
    if done:
        policy.learner.restore(directory.resumable(done))
    size = policy.learner.save_bytes
    for step in range(done + 1, role.steps + 1):
        _step(context, directory, step, policy.learner, collect=lambda n: collect(n, policy.sampler), size=size)
        if step % context.config.checkpoint.every_steps == 0 or step == role.steps:
            _save(context, directory, step, policy.learner, size=size)


def groups_of(
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[Completion]],
    rewards: Sequence[float],
    *,
    policy_version: int,
) -> list[Group]:
    """One group per prompt: ``prompts`` [P], ``completions`` [P][G], and ``rewards`` [P·G] in the same order."""
    values = iter(rewards)
    return [
        Group(
            prompt_ids=tuple(prompt),
            rollouts=tuple(
                Rollout(completion=completion, reward=next(values), policy_version=policy_version)
                for completion in group
            ),
        )
        for prompt, group in zip(prompts, completions, strict=True)
    ]


def _step(
    context: Context,
    directory: PhaseDirectory,
    step: int,
    learner: Learner,
    *,
    collect: Callable[[int], Batch],
    size: int,
) -> None:
    require_space(directory.root, size)  # a full disk should stop the run before the step's work, not after it
    started = time.monotonic()
    batch = collect(step)
    sampled = time.monotonic()
    update = learner.step(batch.groups)
    metrics = {
        **batch.metrics,
        **update,
        "sampling_s": round(sampled - started, 3),
        "update_s": round(time.monotonic() - sampled, 3),
    }
    with replace_directory(directory.step(step)) as path:
        write_jsonl(path / "rollouts.jsonl", batch.rows)
        write_json(path / "metrics.json", metrics)
    append_metrics(context.run, directory, step, metrics)
    place = position(context.config, directory.iteration, directory.phase, step)
    context.tracker.log({f"{directory.phase}/{name}": value for name, value in metrics.items()}, step=place)
    context.console.note(f"{directory.phase} step {step}: {_headline(metrics)}")


def _save(context: Context, directory: PhaseDirectory, step: int, learner: Learner, *, size: int) -> None:
    with replace_directory(directory.resumable(step), expected_bytes=size) as path:
        learner.save(path)
    context.run.state.advance(directory.iteration, directory.phase, step)
    directory.keep_last(step, context.config.checkpoint.keep_last)


def _finish(directory: PhaseDirectory, last: int) -> None:
    """The policy of the last step, with its masters, becomes the phase's checkpoint.

    Hard links, so no second copy is written.
    """
    source = directory.resumable(last)
    with replace_directory(directory.checkpoint) as path:
        for file in sorted(entry for entry in source.rglob("*") if entry.is_file() and entry.name not in LEARNER_FILES):
            target = path / file.relative_to(source)
            target.parent.mkdir(exist_ok=True)
            try:
                os.link(file, target)
            except OSError:  # a file system without hard links
                shutil.copyfile(file, target)


def _headline(metrics: dict[str, float]) -> str:
    shown = ("mean_reward", "zero_variance_frac", "cut_off_frac", "kl", "grad_norm", "sampler_logprob_gap")
    parts = [f"{name} {metrics[name]:.4g}" for name in shown if name in metrics]
    return ", ".join([*parts, f"sampling {metrics['sampling_s']:.0f} s, update {metrics['update_s']:.0f} s"])
