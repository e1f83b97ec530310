"""Which checkpoint starts, votes and ends where, for each way in which the roles may be chained."""

from __future__ import annotations

from pathlib import Path

import pytest

from rzero.config import Config, change
from rzero.evolve.lineage import Lineage
from rzero.runs.store import RunDirectory

BASE = Path("base")


def names(tmp_path: Path, config: Config, changes: dict[str, object]) -> list[str]:
    """For iteration 2: start of the Challenger, voter in its reward, start of the Solver (the voter for labels)."""
    lineage = Lineage(config=change(config, changes), run=RunDirectory(tmp_path), base=BASE)
    paths = [lineage.challenger_start(2), lineage.voter(2), lineage.solver_start(2)]
    return [str(path.relative_to(tmp_path)) if path != BASE else "base" for path in paths]


CHALLENGER = "iter_0{}/train_challenger/checkpoint"
SOLVER = "iter_0{}/train_solver/checkpoint"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [CHALLENGER.format(1), SOLVER.format(1), SOLVER.format(1)]),
        ({"challenger.start_from": "solver"}, [SOLVER.format(1), SOLVER.format(1), SOLVER.format(1)]),
        ({"challenger.start_from": "base", "solver.start_from": "base"}, ["base", "base", "base"]),
        (
            {"challenger.start_from": "solver", "solver.start_from": "challenger"},  # one model in both roles
            [SOLVER.format(1), SOLVER.format(1), CHALLENGER.format(2)],
        ),
        (
            {"challenger.start_from": "solver", "solver.start_from": "challenger", "challenger.train": False},
            [SOLVER.format(1), SOLVER.format(1), SOLVER.format(1)],
        ),
    ],
)
def test_where_an_iteration_starts(
    tmp_path: Path, tiny_config: Config, changes: dict[str, object], expected: list[str]
) -> None:
    assert names(tmp_path, tiny_config, changes) == expected
