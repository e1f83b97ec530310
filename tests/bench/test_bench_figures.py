"""Repeats, ratios, tables and the command line of the benchmarks."""

from __future__ import annotations

import doctest
import importlib
import json
from pathlib import Path

import pytest

import all as all_benches
from harness.options import parse
from harness.report import Report, ratio_line, table
from harness.rounds import interleave, paired_ratio, spread


@pytest.mark.parametrize(
    "name", ["all", "harness.problems", "harness.report", "harness.rounds", "harness.random_model"]
)
def test_examples_in_docstrings(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0 and found.failed == 0


def test_engines_take_turns_in_an_order_that_rotates() -> None:
    calls: list[str] = []

    def call(name: str) -> int:
        calls.append(name)
        return len(calls)

    found = interleave({n: lambda n=n: call(n) for n in "abc"}, rounds={"a": 3, "b": 3, "c": 1})
    assert calls == ["a", "b", "c", "b", "a", "a", "b"]
    assert found == {"a": [1, 5, 6], "b": [2, 4, 7], "c": [3]}


def test_a_slow_spell_does_not_move_a_ratio() -> None:
    ours, theirs = [10.0, 5.0, 10.0], [2.0, 1.0, 2.0]  # everything took twice as long in the second round
    assert paired_ratio(ours, theirs) == 5.0
    assert paired_ratio(ours, theirs[:1]) == 5.0


def test_spread_has_median_and_ends() -> None:
    assert spread([1000.4]) == "1,000"
    assert spread([3.0, 1.0, 2.26], 1) == "2.3 (1.0 to 3.0)"


def test_a_table_is_as_wide_as_its_cells() -> None:
    lines = table(["a", "long name"], [["wider", "1"], ["", "22"]]).splitlines()
    assert lines == [
        "| a     | long name |",
        "|-------|-----------|",
        "| wider | 1         |",
        "|       | 22        |",
    ]
    with pytest.raises(ValueError):
        table(["a", "b"], [["only one"]])


def test_a_report_ends_with_its_ratios_and_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(
        name="speed",
        columns=["engine", "tokens/s"],
        rows=[["ours", "30"]],
        ratios={"ours/theirs": 3.0, "answers/s": 123456.7},
        data={"raw": [30.0]},
        notes=["settings"],
    )
    path = tmp_path / "new" / "speed.json"
    report.show(path)
    shown = capsys.readouterr().out.splitlines()
    assert shown[-1] == "speed: ours/theirs: 3, answers/s: 123,457"
    assert "- settings" in shown
    assert json.loads(path.read_text())["data"] == {"raw": [30.0]}


def test_ratio_line_without_a_peer() -> None:
    assert ratio_line("training", {}) == "training: "


@pytest.mark.parametrize("name", all_benches.NAMES)
def test_every_benchmark_takes_the_same_command_line(name: str, micro: Path, tmp_path: Path) -> None:
    module = importlib.import_module(name)
    argv = ["--quick", "--threads", "3", "--model", str(micro), "--json", str(tmp_path / "x.json")]
    options = parse(module.__doc__, argv)
    assert (options.quick, options.threads, options.json) == (True, 3, tmp_path / "x.json")
    assert options.model == micro.resolve()
    assert callable(module.main)


def test_unusable_options_are_told(capsys: pytest.CaptureFixture[str], micro: Path, tmp_path: Path) -> None:
    for argv, words in (
        (["--threads", "0", "--model", str(micro)], "at least one"),
        (["--model", str(tmp_path)], "fetch_model"),
        (["--fast"], "--fast"),
    ):
        with pytest.raises(SystemExit):
            parse("A benchmark.", argv)
        assert words in capsys.readouterr().err
    assert parse("A benchmark.", ["--model", str(tmp_path)], needs_model=False).quick is False


def test_goals_are_met_from_the_right_side() -> None:
    faster = all_benches.Goal(benchmark="b", ratio="r", must=2, aim=4)
    assert [faster.verdict(value) for value in (1.9, 2.0, 3.9, 4.0)] == ["missed", "must", "must", "aim"]
    smaller = all_benches.Goal(benchmark="b", ratio="r", must=4, aim=3, at_most=True)
    assert [smaller.verdict(value) for value in (4.1, 4.0, 3.1, 3.0)] == ["missed", "must", "must", "aim"]


def test_the_goals_table_says_what_was_not_measured() -> None:
    shown = all_benches.goals_table({"sampling": {"ratios": {"ours/vllm": 1.4}}}).splitlines()
    (vllm,) = [line for line in shown if "ours/vllm" in line]
    (trl,) = [line for line in shown if line.startswith("| training")]
    assert "1.4" in vllm and "must" in vllm.split("|")[-2]
    assert "not measured" in trl
    assert {goal.benchmark for goal in all_benches.GOALS} <= set(all_benches.NAMES)
