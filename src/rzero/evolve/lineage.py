"""Which checkpoint each role starts an iteration from, and ends it with.

Iteration 0 is the base model. By default each role starts from its own previous checkpoint, as in the paper;
``start_from`` has the Challenger start from the latest Solver, or either role from the base model.
"""

from __future__ import annotations

from pathlib import Path

from rzero.evolve.context import Context
from rzero.types import Phase


def challenger_start(context: Context, iteration: int) -> Path:
    """The Challenger that iteration ``iteration`` (from 1) trains."""
    start_from = context.config.challenger.start_from
    if iteration == 1 or start_from == "base":
        return context.base
    if start_from == "solver":
        return solver(context, iteration - 1)
    return challenger(context, iteration - 1)


def challenger(context: Context, iteration: int) -> Path:
    """The Challenger at the end of an iteration: the trained one, or without Challenger RL the one it started from."""
    if iteration == 0:
        return context.base
    if not context.config.challenger.train:
        return challenger_start(context, iteration)
    return context.directory(iteration, Phase.TRAIN_CHALLENGER).checkpoint


def solver_start(context: Context, iteration: int) -> Path:
    """The Solver that iteration ``iteration`` (from 1) trains; it is the one that votes in that iteration."""
    if context.config.solver.start_from == "base":
        return context.base
    return solver(context, iteration - 1)


def solver(context: Context, iteration: int) -> Path:
    """The Solver at the end of an iteration."""
    if iteration == 0:
        return context.base
    return context.directory(iteration, Phase.TRAIN_SOLVER).checkpoint


def reference(context: Context, phase_start: Path) -> Path:
    """The frozen reference of the KL term."""
    return context.base if context.config.grpo.kl_reference == "base" else phase_start
