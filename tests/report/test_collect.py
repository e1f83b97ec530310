"""The report's figures of a real run, held against the files that they come from."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from rzero import config
from rzero.cli import main
from rzero.errors import MissingExtraError, RunDirectoryError
from rzero.evolve.loop import run
from rzero.report.collect import collect
from rzero.report.data import Run
from rzero.report.write import write_report
from rzero.runs.atomic import read_json, read_jsonl
from tiny_run import TINY


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the micro model, two iterations."""
    root = tmp_path_factory.mktemp("real") / "run"
    run(config.load("micro", TINY | {"evaluate.num_samples": 2}), root)
    return root


@pytest.fixture(scope="session")
def found(real: Path) -> Run:
    return collect(real, name="real")


def test_figures_are_those_of_the_files(real: Path, found: Run) -> None:
    assert [(entry.iteration, entry.finished) for entry in found.iterations] == [(0, True), (1, True), (2, True)]
    for entry in found.iterations:
        summary = read_json(real / f"iter_{entry.iteration:02d}" / "summary.json")
        for test, result in summary["evaluation"].items():
            assert set(entry.accuracy[test]) == {"greedy", "mean@2", "maj@2", "pass@2"}
            for kind, figure in entry.accuracy[test].items():
                assert (figure.value, figure.low, figure.high) == tuple(
                    result[kind][name] for name in ("value", "low", "high")
                )
        if entry.iteration == 0:
            assert entry.health == [] and entry.questions is None
            continue
        values = {name: figure.value for name, figure in entry.figures.items()}
        assert values["solver.mean_reward"] == pytest.approx(summary["solver"]["mean_reward"])
        assert values["challenger.mean_repetition"] == pytest.approx(summary["challenger"]["mean_repetition"])
        assert values["pool.completion_tokens"] == pytest.approx(summary["pool"]["mean_completion_tokens"])
        curriculum = summary["curriculum"]
        assert values["votes.self_consistency"] == pytest.approx(curriculum["mean_self_consistency_all"])
        assert values["votes.valid_frac"] == pytest.approx(
            curriculum["votes"]["valid"] / sum(curriculum["votes"].values())
        )
        assert values["labels.kept.label_accuracy"] == pytest.approx(summary["labels"]["kept"]["label_accuracy"])
        difficulty = entry.figures["labels.all.mean_difficulty"]
        assert [difficulty.low, difficulty.high] == summary["labels"]["all"]["difficulty_interval"]
        assert values["labels.all.label_accuracy"] == pytest.approx(summary["labels"]["all"]["label_accuracy"])
        assert entry.agree_all == curriculum["agree_all"]
        for figure in entry.figures.values():
            assert figure.low is None or figure.high is None or figure.low <= figure.value <= figure.high


def test_benchmarks_stand_beside_the_iterations(real: Path, tmp_path: Path) -> None:
    root = tmp_path / "run"
    shutil.copytree(real, root)
    data = tmp_path / "data"
    data.mkdir()
    rows = [{"id": str(n), "question": f"{n} + {n}", "answer": str(2 * n)} for n in range(10, 18)]
    (data / "amc23.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    short = ["--evaluate.num_samples", "2", "--evaluate.max_new_tokens", "24"]
    assert main(["eval", "--run", str(root), "--tasks", "amc23", "--data", str(data), *short]) == 0
    summary = read_json(root / "eval" / "summary.json")["models"]
    entries = collect(root, name="real").iterations
    for entry, name in zip(entries, ("base", "iteration 1", "iteration 2"), strict=True):
        assert set(entry.benchmarks) == {"amc23: accuracy", "amc23: mean@2"}
        figure = entry.benchmarks["amc23: mean@2"]
        assert [figure.value, figure.low, figure.high] == summary[name]["tasks"]["amc23_sampled"]["mean@2"]
    assert collect(real, name="real").iterations[0].benchmarks == {}


def test_questions_and_verdicts_are_those_of_the_votes(real: Path, found: Run) -> None:
    for entry in found.iterations[1:]:
        questions = entry.questions
        assert questions is not None
        folder = real / f"iter_{entry.iteration:02d}"
        rows = read_jsonl(folder / "vote" / "votes.jsonl")
        assert questions.text == [row["question"] for row in rows]
        assert questions.self_consistency == [row["self_consistency"] for row in rows]
        assert [sum(count for *_, count in votes) for votes in questions.ballots] == [6] * len(rows)
        statistics = read_json(folder / "build_curriculum" / "statistics.json")
        counts = {name: questions.verdict.count(name) for name in ("kept", *statistics["rejected"])}
        assert counts == {"kept": statistics["num_kept"], **statistics["rejected"]}
        assert sum(1 / size for size in questions.cluster_size) == pytest.approx(len(set(questions.cluster)))


def test_the_best_and_worst_rollouts_are_in_the_last_step(real: Path, found: Run) -> None:
    challenger, solver = found.iterations[1].extremes
    rows = read_jsonl(real / "iter_01" / "train_challenger" / "steps" / "step_0002" / "rollouts.jsonl")
    rewards = sorted(row["reward"] for row in rows)
    assert (
        challenger.step == 2 and challenger.best[0].reward == rewards[-1] and challenger.worst[0].reward == rewards[0]
    )
    rows = read_jsonl(real / "iter_01" / "train_solver" / "steps" / "step_0002" / "rollouts.jsonl")
    assert solver.best[0].reward == max(row["reward"] for row in rows)
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(row["question_id"], []).append(row["reward"])
    hardest = min(fmean(values) for values in groups.values() if max(values) == 1)
    assert dict(solver.best[0].facts)["group's mean reward"] == f"{hardest:.2f}"


def test_steps_and_options_are_all_there(real: Path, found: Run) -> None:
    rows = read_jsonl(real / "metrics.jsonl")
    steps = [{"iteration": s.iteration, "phase": s.phase, "step": s.step, **s.metrics} for s in found.steps]
    assert steps == rows
    assert [option.name for option in found.options] == [option.name for option in config.options()]


def test_the_loop_wrote_the_page_and_the_command_writes_it_again(
    real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new folder" / "page.html"
    assert main(["report", str(real), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    for page in (real / "report.html", out):
        assert [len(one["iterations"]) for one in data_of(page)["runs"]] == [3]
    urls = set(re.findall(r"""(?:src|href)=["']?https?:""", out.read_text(encoding="utf-8").split("<script>")[0]))
    assert not urls


def test_an_unfinished_run_shows_what_it_has(real: Path, tmp_path: Path) -> None:
    root = tmp_path / "run"
    shutil.copytree(real, root, ignore=shutil.ignore_patterns("checkpoint", "resumable"))
    whole = read_json(root / "state.json")["completed"]
    for done in range(len(whole) + 1):
        (root / "state.json").write_text(
            json.dumps({"attempt": 1, "completed": whole[:done], "running": None, "done": 0})
        )
        entries = collect(root, name="run").iterations
        assert len(entries) == (whole[done - 1][0] + 1 if done else 0)
        assert all(entry.finished for entry in entries[:-1])
        if done == 5 - 1:  # voted on, and no curriculum yet
            questions = entries[-1].questions
            assert questions is not None and set(questions.verdict) == {"pending"}
    write_report([root], tmp_path / "report.html")


def test_votes_of_a_later_version_are_shown_as_they_are(real: Path, tmp_path: Path) -> None:
    root = tmp_path / "run"
    shutil.copytree(real, root, ignore=shutil.ignore_patterns("checkpoint", "resumable"))
    path = root / "iter_01" / "vote" / "votes.jsonl"
    rows = read_jsonl(path)
    for row in rows:
        row["num_cancelled"] = 1
        row["votes"][0] = {"answer": None, "status": "cancelled", "completion": ""}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    questions = collect(root, name="run").iterations[1].questions
    assert questions is not None
    assert all((None, "cancelled", 1) in votes for votes in questions.ballots)


def test_bad_input(real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunDirectoryError, match="holds no rzero run"):
        write_report([tmp_path], tmp_path / "report.html")
    assert main(["report", str(real), "--solver.steps", "3"]) == 2
    assert "--solver.steps" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_without_the_plotting_library(real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(MissingExtraError, match=r'pip install "rzero\[report\]"'):
        write_report([real], tmp_path / "report.html")


def data_of(page: Path) -> Any:
    text = page.read_text(encoding="utf-8")
    start = text.index('<script type="application/json" id="data">') + len('<script type="application/json" id="data">')
    return json.loads(text[start : text.index("</script>", start)])
