"""The command line as a user meets it: in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rzero import cli, config
from rzero.runs.atomic import read_json
from tiny_run import TINY


def test_help_and_version() -> None:
    assert rzero("--version").stdout.startswith("rzero 0.")
    assert "rzero run" in rzero("--help").stdout
    assert "--out" in rzero("run", "--help").stdout
    assert rzero().returncode == 2


def rzero(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rzero.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def tiny(**changes: object) -> list[str]:
    options = {**TINY, "iterations": 1, **changes}
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of one finished tiny run."""
    out = tmp_path_factory.mktemp("cli") / "run"
    done = rzero("run", "--out", out, *tiny())
    assert done.returncode == 0, done.stderr
    return out


def copy_of(model: Path, place: Path) -> Path:
    return Path(shutil.copytree(model, place))


def refused(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one line with which the command is refused."""
    assert cli.main(list(map(str, words))) == 2
    printed = capsys.readouterr()
    lines = [line for line in printed.err.split("\n") if line.startswith("rzero: ")]
    assert len(lines) == 1 and "Traceback" not in printed.err
    return lines[0]


def test_a_run_says_what_it_will_do_and_what_it_did(finished: Path) -> None:
    again = rzero("run", "--out", finished, *tiny(progress="plain"))
    assert again.returncode == 0
    assert "x 16 = 16 rollouts" in again.stderr
    assert "all 7 phases are finished; nothing to do" in again.stderr
    assert str(finished / "iter_01" / "train_solver" / "checkpoint") in again.stdout


def test_status(finished: Path) -> None:
    done = rzero("status", finished)
    assert "7 of 7 phases" in done.stdout and "greedy" in done.stdout and "kept" in done.stdout


def test_config_lists_every_option_with_its_meaning() -> None:
    listed = rzero("config", "laptop", "--solver.steps", "9").stdout
    for option in config.options():
        assert option.name in listed and option.meaning in listed
    assert "solver.steps = 9" in listed
    assert json.loads(rzero("config", "laptop", "--json").stdout)["iterations"] == 2


def test_more_iterations_go_on_from_where_it_stands(finished: Path, tmp_path: Path) -> None:
    longer = Path(shutil.copytree(finished, tmp_path / "longer"))
    done = rzero("run", "--out", longer, *tiny(iterations=2, progress="plain"))
    assert done.returncode == 0, done.stderr
    assert "resuming: 7 of 13 phases finished; next is train_challenger of iteration 2" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "command 'rnu' does not exist; did you mean 'run'?"),
        (["run", "labtop"], "did you mean 'laptop'?"),
        (["run", "--grpo.clip_hihg", "1"], "did you mean grpo.clip_high?"),
        (["run", "--modle", "x"], "option modle does not exist"),
        (["run", "--seed"], "option seed has no value"),
        (["run", "--solver.steps", "-1"], "solver.steps='-1'"),
        (["run", "--solver", "3"], "solver is a section, with the options solver."),
        (["run", "laptop"], "model.path is not given"),
        (["run", "--model", "no/such/model/here"], "model 'no/such/model/here' does not exist"),
        (["run", "--domain", "algebra"], "domain='algebra' is not built in"),
        (["run", "--domain", "nowhere:domain"], "module 'nowhere' cannot be imported"),
        (["run", "--domain", "math:pi"], "has no name, oracle"),
        (["run", "--challenger.reward", "math:pi"], "is not a function"),
        (["run", "--solver.reward", "own"], "solver.reward='own'"),
        (["run", "--evaluate.data", "absent.jsonl"], "absent.jsonl cannot be read"),
        (["run", "--model.device", "cuda:99"], "model.device='cuda:99'"),
        (["status", "absent"], "absent holds no rzero run"),
    ],
)
def test_bad_words(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refused(capsys, *words)
    assert not (tmp_path / "runs" / "rzero" / "iter_00").exists()


def test_damaged_models(micro: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truncated = copy_of(micro, tmp_path / "truncated")
    weights = truncated / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "model.safetensors" in refused(capsys, "run", "--model", truncated, "--out", tmp_path / "out")

    fake = tmp_path / "fake.gguf"
    fake.write_bytes(b"not a model")
    assert "GGUF" in refused(capsys, "run", "--model", fake, "--out", tmp_path / "out")

    endless = copy_of(micro, tmp_path / "endless")
    for name, keys in (("tokenizer_config.json", ["eos_token"]), ("generation_config.json", ["eos_token_id"])):
        content = read_json(endless / name)
        (endless / name).write_text(json.dumps({key: value for key, value in content.items() if key not in keys}))
    model = read_json(endless / "config.json")
    (endless / "config.json").write_text(json.dumps({**model, "eos_token_id": None}))
    assert "no end token" in refused(capsys, "run", "--model", endless, "--out", tmp_path / "out")

    short = copy_of(micro, tmp_path / "short")
    model = read_json(short / "config.json")
    (short / "config.json").write_text(json.dumps({**model, "max_position_embeddings": 2}))
    said = refused(capsys, "run", "--model", short, "--out", tmp_path / "short_out", *tiny())
    assert "the Challenger's prompt has" in said and "context has 2" in said


def test_ask_a_run_and_a_model(finished: Path) -> None:
    asked = rzero("ask", finished, "12+30*4", "3 apples. [31m How many now?", "--write", "2", "--engine.threads", "1")
    assert asked.returncode == 0, asked.stderr
    assert "12+30*4" in asked.stdout and "true answer: 132" in asked.stdout
    assert asked.stdout.count("p̂ = ") == 4 and "of 6 votes say" in asked.stdout
    assert "" not in asked.stdout
    base = rzero("ask", finished, "7+5", "--iteration", "0")
    model = rzero("ask", "micro", "7+5", "--vote.num_votes", "6", "--engine.threads", "1")
    assert base.stdout == model.stdout and "true answer: 12" in model.stdout


def test_questions_may_look_like_options(capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--vote.num_votes", "2", "--engine.threads", "1"]
    assert cli.main(["ask", "micro", "-5+3", *quick]) == 0
    assert "true answer: -2" in capsys.readouterr().out
    assert cli.main(["ask", "micro", *quick, "--", "--5+3", "7\udcff"]) == 0
    assert capsys.readouterr().out.count("p̂ = ") == 2


def test_test_data_may_not_change_under_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "mine.jsonl"
    data.write_text('{"question": "1+1", "answer": "2", "id": null}\n{"question": "2+1", "answer": 3, "id": null}\n')
    options = tiny(**{"evaluate.data": data, "solver.steps": 1, "challenger.train": "false"})
    assert cli.main(["run", "--out", str(tmp_path / "out"), *options]) == 0
    data.write_text('{"question": "1+2", "answer": "3"}\n')
    assert "the test data mine changed" in refused(capsys, "run", "--out", tmp_path / "out", *options)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ask", "micro"], "there is nothing to ask"),
        (["ask", "micro", " "], "there is nothing to ask"),
        (["ask", "micro", "1+1", "--iteration", "2"], "not a run directory"),
        (["ask", "no/such/thing/here", "1+1"], "does not exist"),
    ],
)
def test_bad_questions(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(capsys, *words)


def test_a_directory_of_another_run_is_not_touched(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def content() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in sorted(finished.rglob("*")) if path.is_file()}

    before = content()
    said = refused(capsys, "run", "--out", finished, *tiny(seed=1))
    assert "seed: 0 -> 1" in said
    assert content() == before

    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("mine")
    assert "holds no rzero run" in refused(capsys, "run", "--out", foreign, *tiny())
    assert [path.name for path in foreign.iterdir()] == ["thesis.tex"]

    assert "is a file" in refused(capsys, "run", "--out", foreign / "thesis.tex", *tiny())


def test_another_model_in_the_same_directory(
    finished: Path, micro: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = copy_of(micro, tmp_path / "moved")
    assert cli.main(["run", "--out", str(finished), "--model", str(moved), *tiny()]) == 0
    capsys.readouterr()
    generation = read_json(moved / "generation_config.json")
    (moved / "generation_config.json").write_text(json.dumps({**generation, "temperature": 0.5, "do_sample": True}))
    assert "fingerprint" in refused(capsys, "run", "--out", finished, "--model", moved, *tiny())


def test_an_unwritable_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody may write below a device file, not even root."""
    said = refused(capsys, "run", "--out", Path(os.devnull) / "out", *tiny())
    assert "cannot be written" in said or "is a file" in said


def test_two_processes_cannot_share_a_directory(finished: Path) -> None:
    code = (
        "import fcntl, sys, time; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); "
        "print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, finished / ".lock"], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        done = rzero("run", "--out", finished, *tiny())
        assert done.returncode == 2 and "in use by another rzero process" in done.stderr
    finally:
        holder.kill()
        holder.communicate()


def test_an_empty_curriculum_stops_and_says_what_to_change(tmp_path: Path) -> None:
    band = {"curriculum.band_low": 0.999, "curriculum.band_high": 0.9999}
    done = rzero("run", "--out", tmp_path / "out", *tiny(**band))
    assert done.returncode == 3
    assert "iteration 1: the curriculum has 0 of" in done.stderr and "too_hard" in done.stderr
    assert "Traceback" not in done.stderr
    again = rzero("run", "--out", tmp_path / "out", *tiny(**band))
    assert again.returncode == 3
