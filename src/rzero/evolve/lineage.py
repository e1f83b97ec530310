"""Which checkpoint each role starts an iteration from, and ends it with.

Iteration 0 is the base model. By default each role starts from its own previous checkpoint, as in the paper;
``start_from`` has the Challenger start from the latest Solver, the Solver from the iteration's Challenger, or either
role from the base model. The first two together are one model that plays both roles in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rzero.config import Config
from rzero.runs.store import RunDirectory
from rzero.types import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """The checkpoints of one run, told from its options. Iterations count from 1; 0 is the base model."""

    config: Config
    run: RunDirectory
    base: Path

    def challenger_start(self, iteration: int) -> Path:
        """The Challenger that an iteration trains."""
        start_from = self.config.challenger.start_from
        if iteration == 1 or start_from == "base":
            return self.base
        if start_from == "solver":
            return self.solver(iteration - 1)
        return self.challenger(iteration - 1)

    def challenger(self, iteration: int) -> Path:
        """The Challenger at the end of an iteration: the trained one, or without Challenger RL that of its start."""
        if iteration == 0:
            return self.base
        if not self.config.challenger.train:
            return self.challenger_start(iteration)
        return self.run.phase(iteration, Phase.TRAIN_CHALLENGER).checkpoint

    def solver_start(self, iteration: int) -> Path:
        """The Solver that an iteration trains; it is the one whose votes are the iteration's pseudo-labels."""
        if self.config.solver.start_from == "base":
            return self.base
        if self.config.solver.start_from == "challenger":
            return self.challenger(iteration)
        return self.solver(iteration - 1)

    def voter(self, iteration: int) -> Path:
        """The frozen Solver that votes while the Challenger trains: the one that the iteration will train, or the
        previous one where that will be the Challenger itself.
        """
        if self.config.solver.start_from == "challenger":
            return self.solver(iteration - 1)
        return self.solver_start(iteration)

    def solver(self, iteration: int) -> Path:
        """The Solver at the end of an iteration."""
        if iteration == 0:
            return self.base
        return self.run.phase(iteration, Phase.TRAIN_SOLVER).checkpoint

    def reference(self, phase_start: Path) -> Path:
        """The frozen reference of the KL term."""
        return self.base if self.config.grpo.kl_reference == "base" else phase_start
