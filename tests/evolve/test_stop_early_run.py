"""A run whose votes stop early: what it writes adds up, and nothing in it passes for a p̂ that nobody knows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import rzero
from rzero.runs.atomic import read_json, read_jsonl
from tiny_run import TINY


@pytest.mark.slow
def test_what_a_run_writes_of_cancelled_votes(tmp_path: Path) -> None:
    changes = {"iterations": 1, "evaluate.data": "", "vote.stop_early": True, "solver.steps": 1, "challenger.steps": 1}
    root = rzero.run(rzero.load("micro", {**TINY, **changes}), tmp_path / "run").directory / "iter_01"
    rows = read_jsonl(root / "vote" / "votes.jsonl")
    stopped = [row for row in rows if "num_cancelled" in row]
    assert 0 < len(stopped) < len(rows)
    for row in rows:
        statuses = Counter(vote["status"] for vote in row["votes"])
        assert statuses["cancelled"] == row.get("num_cancelled", 0)
        assert statuses["valid"] == row["num_valid"] and sum(statuses.values()) == row["num_votes"] == 6
    for row in stopped:
        low, high = row["agree_bounds"]
        assert row["self_consistency"] is None and low <= row["num_agree"] <= high <= 6

    ids = {row["id"] for row in stopped}
    curriculum = read_jsonl(root / "build_curriculum" / "curriculum.jsonl")
    assert all((item["self_consistency"] is None) == (item["question_id"] in ids) for item in curriculum)
    statistics = read_json(root / "build_curriculum" / "statistics.json")
    assert statistics["stopped_early"]["num_questions"] == len(stopped)
    assert sum(statistics["agree_all"]) == len(rows) - len(stopped)
    assert statistics["mean_self_consistency_all"] is None

    summary = read_json(root / "summary.json")
    assert summary["votes"]["num_cancelled"] == sum(row["num_cancelled"] for row in stopped)
    assert summary["votes"]["num_tokens"] == sum(row["num_tokens"] for row in rows)
    challenger = summary["challenger"]
    assert "mean_self_consistency" not in challenger and "mean_uncertainty" not in challenger
    assert challenger["mean_self_consistency_low"] <= challenger["mean_self_consistency_high"]
    assert challenger["mean_uncertainty_low"] <= challenger["mean_uncertainty_high"]
    assert challenger["vote_tokens"] > 0 <= challenger["cancelled_votes_frac"]
