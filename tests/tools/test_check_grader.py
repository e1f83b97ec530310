"""Gold answers against themselves: a few always, all of them where RZERO_BENCHMARKS names a directory of the data."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from check_grader import TASKS, unequal

from rzero.evaluate.benchmarks import BENCHMARKS
from rzero.evaluate.sources import load_benchmark

DATA = os.environ.get("RZERO_BENCHMARKS")
GOLDS = [r"\left( 3, \frac{1}{2} \right)", "$2x$", r"\text{Lena}", "$1$, $2$", "41_7", "6 - 5i", "(0,1)", "p - q"]


def test_golds_equal_themselves_in_a_box_and_in_another_spelling() -> None:
    assert unequal(GOLDS) == []
    assert unequal(GOLDS, differently=True) == []


def test_a_gold_that_cannot_be_boxed_is_found() -> None:
    assert unequal(["x}{y", "5"]) == ["x}{y"]


@pytest.mark.skipif(DATA is None, reason="RZERO_BENCHMARKS does not name a directory of benchmark data")
@pytest.mark.parametrize("task", TASKS)
def test_every_gold_of_the_benchmarks_equals_itself(task: str) -> None:
    golds = [row.gold for row in load_benchmark(BENCHMARKS[task], Path(str(DATA))).rows]
    assert unequal(golds) == []
    assert unequal(golds, differently=True) == []
