"""True answers are measured with and never trained on: a lying oracle changes no byte of what training writes."""

from __future__ import annotations

from pathlib import Path

import pytest

import rzero
from rzero.domains.arithmetic import Arithmetic
from rzero.domains.base import Truth
from rzero.runs.atomic import read_json
from tiny_run import TINY


class LyingOracle:
    def solve(self, question: str) -> Truth:
        return Truth(answer=str(len(question)))

    def difficulty(self, question: str) -> float:
        return 1.0


honest = Arithmetic()
lying = Arithmetic(oracle=LyingOracle())


@pytest.mark.slow
def test_a_lying_oracle_changes_nothing_but_the_measurements(tmp_path: Path) -> None:
    outs = {}
    for name in ("honest", "lying"):
        outs[name] = tmp_path / name
        changes = {"domain": f"test_no_gold:{name}", "iterations": 1, "evaluate.data": ""}
        rzero.run(rzero.load("micro", {**TINY, **changes}), outs[name])
    files = sorted(
        path.relative_to(outs["honest"])
        for path in outs["honest"].rglob("*")
        if path.suffix in (".jsonl", ".safetensors") and path.name != "metrics.jsonl"
    )
    assert len(files) > 10
    for file in files:
        assert (outs["honest"] / file).read_bytes() == (outs["lying"] / file).read_bytes(), file
    measured = [read_json(out / "iter_01" / "labels.json") for out in outs.values()]
    assert measured[0]["all"]["label_accuracy"] > measured[1]["all"]["label_accuracy"]
    assert measured[1]["all"]["valid_frac"] == 1.0
