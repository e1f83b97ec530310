"""``rzero doctor`` on this machine, and with faults put into its environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from rzero import cli
from rzero.config import load
from rzero.doctor.choices import choices, run_probe
from rzero.doctor.findings import Finding, Status
from rzero.doctor.machine import cpu_flags, machine
from rzero.doctor.packages import packages


def doctor(*words: str, **environment: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, the JSON and the errors of the command in a process of its own."""
    command = [sys.executable, "-m", "rzero.cli", "doctor", "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    return done.returncode, json.loads(done.stdout), done.stderr


def one(findings: list[dict[str, str]], name: str) -> dict[str, str]:
    return next(finding for finding in findings if finding["name"] == name)


def named(findings: list[Finding], name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


def broken_module(place: Path, name: str, code: str) -> str:
    """A PYTHONPATH on which ``name`` is a module of this ``code``, before all others."""
    (place / f"{name}.py").write_text(code)
    return os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])])


def test_this_machine() -> None:
    code, found, errors = doctor()
    assert code == 0 and found["works"], errors
    assert one(found["machine"], "Python")["value"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert one(found["packages"], "math-verify") == {
        "name": "math-verify",
        "status": "ok",
        "value": metadata.version("math-verify"),
        "advice": "",
    }
    assert one(found["a run"], "model")["value"] == "micro opens"
    assert one(found["a run"], "dtype")["value"] in ("bfloat16", "float32")
    assert one(found["a run"], "threads")["value"].isdigit()


def test_the_list_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("machine\n") and "attention kernel" in out and out.endswith("A run would work here.\n")


def test_without_a_compiler_it_works_and_says_that_it_is_slower(tmp_path: Path) -> None:
    """An empty cache as well, or the kernel that was compiled before would be found there."""
    code, found, _ = doctor("--model.dtype", "float32", PATH=str(tmp_path), RZERO_CACHE=str(tmp_path / "cache"), CC="")
    compiler = one(found["machine"], "C compiler")
    assert (
        compiler["status"] == "slow" and "there is no C compiler" in compiler["value"] and "gcc" in compiler["advice"]
    )
    assert code == 0 and one(found["a run"], "attention kernel")["value"] == "plain PyTorch"
    assert "slower" in one(found["a run"], "warning")["value"]


@pytest.mark.parametrize("compiler", ["no-such-cc -O2", "'", " "])
def test_a_compiler_that_is_none(compiler: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", compiler)
    found = named(list(machine(tmp_path)), "C compiler")
    assert found.status is Status.SLOW and "CC" in found.advice


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ImportError('libtorch_cpu.so: undefined symbol')", "undefined symbol"),
        ("import os; os.abort()", "killed by signal 6"),
        ("raise SystemExit(3)", "ended with code 3"),
    ],
)
def test_a_broken_torch_is_a_finding(code: str, said: str, tmp_path: Path) -> None:
    exit_code, found, errors = doctor(PYTHONPATH=broken_module(tmp_path, "torch", code))
    broken = one(found["a run"], "torch and transformers are imported")
    assert exit_code == 1 and not found["works"] and not errors
    assert said in broken["value"] and "pip install" in broken["advice"]


def test_a_torch_that_hangs_is_a_finding() -> None:
    command = [sys.executable, "-c", 'import time; print(\'{"stage": "torch"}\', flush=True); time.sleep(60)']
    said, trouble = run_probe(command, timeout_s=1)
    assert said == {"torch": {}} and "did not end within 1 s" in trouble


def test_what_libraries_print_is_not_taken_for_a_stage() -> None:
    code = (
        'print(\'INFO\'); print(\'[1]\'); print(\'{"stage": "other"}\'); print(\'{"stage": "devices", "devices": []}\')'
    )
    assert run_probe([sys.executable, "-c", code], timeout_s=60)[0] == {"devices": {"devices": []}}


def test_a_package_of_another_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The grader's verdicts depend on ANTLR's version; metadata of another one come first on the path."""
    place = tmp_path / "antlr4_python3_runtime-4.9.3.dist-info"
    place.mkdir()
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: antlr4-python3-runtime\nVersion: 4.9.3\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = named(list(packages(load("micro"))), "antlr4-python3-runtime")
    assert found.status is Status.MISSING and found.value.startswith("4.9.3, ==4.13.2 is needed")
    assert found.advice == 'run: pip install "antlr4-python3-runtime==4.13.2"'


def test_an_extra_is_missing_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "gguf-0.1.dist-info"
    place.mkdir()
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: gguf\nVersion: 0.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    without = named(list(packages(load("micro"))), "gguf")
    needed = named(list(packages(load("micro", {"model.path": "small.gguf"}))), "gguf")
    assert (without.status, needed.status) == (Status.OPTIONAL, Status.MISSING)
    assert "0.1, >=" in needed.value and 'pip install "rzero[gguf]"' in needed.advice


def test_a_place_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may write below a device file, not even root."""
    monkeypatch.setenv("RZERO_CACHE", os.path.join(os.devnull, "cache"))
    found = list(machine(Path(os.devnull) / "runs"))
    assert named(found, "cache").status is Status.MISSING and "RZERO_CACHE" in named(found, "cache").advice
    assert named(found, "runs are written to").status is Status.MISSING


def test_a_model_that_is_not_there_or_does_not_open(micro: Path, tmp_path: Path) -> None:
    absent = list(choices(load("micro", {"model.path": str(tmp_path / "absent")})))
    assert absent[0].status is Status.MISSING and "does not exist" in absent[0].value
    for name in ("config.json", "model.safetensors", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((micro / name).read_bytes())
    found = list(choices(load("micro", {"model.path": str(tmp_path)})))
    broken = named(found, "a model opens")
    assert broken.status is Status.MISSING and "ModelError" in broken.value and "--model micro" in broken.advice


def test_features_of_a_processor(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("model name : x\nflags : fpu amx_bf16 avx2\nFeatures : asimd bf16\n")
    assert {"amx_bf16", "avx2", "asimd", "bf16"} <= cpu_flags(tmp_path / "cpuinfo")
    assert cpu_flags(tmp_path / "absent") == set()


def test_a_misspelled_option_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--engine.thread", "2"]) == 2
    assert "did you mean engine.threads?" in capsys.readouterr().err
