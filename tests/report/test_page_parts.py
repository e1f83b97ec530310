"""Room on the page, differences between runs, and a report that fails beside a run that does not."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_run import make_run
from rzero.report.ablation import ablation
from rzero.report.as_json import as_json
from rzero.report.collect import collect
from rzero.report.data import Questions, Run
from rzero.report.room import fit
from rzero.report.write import write_if_possible


@settings(deadline=None)  # a busy machine says nothing of the code
@given(st.text())
def test_no_text_ends_the_data(text: str) -> None:
    written = as_json({"text": text})
    assert "<" not in written and json.loads(written) == {"text": text}


def collected(root: Path) -> tuple[Run, Path]:
    return collect(root, name=root.name), root


def pool(run: Run) -> Questions:
    questions = run.iterations[-1].questions
    assert questions is not None
    return questions


def test_long_texts_are_cut_before_questions_are_left_out(tmp_path: Path) -> None:
    run, _ = collected(make_run(tmp_path / "run", [f"{number} " + "x" * 900 for number in range(300)]))
    (whole,), notes = fit([run])
    assert notes == [] and pool(whole) == pool(run)

    (cut,), notes = fit([run], room=200_000)
    assert {len(text) for text in pool(cut).text} == {400}
    assert len(notes) == 1 and "300 questions are longer" in notes[0]
    assert [hidden + 400 for hidden in pool(cut).hidden_characters] == [len(text) for text in pool(run).text]

    (few,), notes = fit([run], room=40_000)
    assert len(as_json(asdict(pool(few)))) < 45_000
    count = len(pool(few).id)
    assert 50 < count < 200 and pool(few).total == 300
    assert f"room for {count} of 300 questions" in notes[0]
    assert pool(few).id[0] == "i01-q00001" and pool(few).id[-1] > "i01-q00295"
    assert {len(column) for column in asdict(pool(few)).values() if isinstance(column, list)} == {count}


def test_one_seed_is_compared_question_by_question(tmp_path: Path) -> None:
    full = collected(make_run(tmp_path / "full", right=(True, True, True, False)))
    bare = collected(make_run(tmp_path / "bare", options={"challenger.train": False}, right=(True, False, True, True)))
    table = ablation([full[0], bare[0]], [full[1], bare[1]])
    assert table is not None and table.iteration == 1
    reference, variant = table.rows
    assert (reference.name, variant.name) == ("reference", "no Challenger RL")
    assert reference.difference == {}
    difference = variant.difference["quiz"]
    assert difference.value == 0.0  # one question won, one lost
    assert difference.low is not None and difference.low < -0.5


def test_seeds_are_averaged_and_paired(tmp_path: Path) -> None:
    scores = {"full": [2, 4, 3], "open": [1, 3, 1]}
    runs, roots = [], []
    for name, rights in scores.items():
        for seed, right in enumerate(rights):
            changes = {"curriculum.band_low": 0, "curriculum.band_high": 1} if name == "open" else {}
            answers = [place < right for place in range(4)]
            root = make_run(tmp_path / f"{name}{seed}", options={"seed": seed, **changes}, right=answers)
            runs.append(collected(root)[0])
            roots.append(root)
    table = ablation(runs, roots)
    assert table is not None
    full, without = table.rows
    assert full.runs == ["full0", "full1", "full2"] and without.name == "no filter"
    assert full.accuracy["quiz"].value == pytest.approx(0.75)
    difference = without.difference["quiz"]
    assert difference.value == pytest.approx(-1 / 3)
    # Of -1/4, -1/4 and -1/2: standard deviation 0.14434, t quantile for two degrees of freedom 4.3027.
    assert difference.high == pytest.approx(-1 / 3 + 4.3027 * 0.14434 / 3**0.5, abs=1e-4)


def test_many_changes_are_counted(tmp_path: Path) -> None:
    changes = {"evaluate.data": "quiz,other", "solver.steps": 3, "vote.num_votes": 4, "generate.top_k": 5}
    roots = [make_run(tmp_path / "a"), make_run(tmp_path / "b", options=changes)]
    table = ablation([collected(root)[0] for root in roots], roots)
    assert table is not None and table.rows[1].name == "4 options changed"
    assert "solver.steps = 3" in table.rows[1].changes


def test_one_run_is_no_ablation(tmp_path: Path) -> None:
    run, root = collected(make_run(tmp_path / "run"))
    assert ablation([run], [root]) is None


def test_a_report_that_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    root = make_run(tmp_path / "run")
    (root / "report.html").mkdir()
    (root / "report.html" / "file").touch()
    warnings: list[str] = []
    write_if_possible(root, warn=warnings.append)
    assert len(warnings) == 1 and "the run goes on" in warnings[0]
