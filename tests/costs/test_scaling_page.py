"""The figures on docs/scaling.md are what ``rzero plan`` prints."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rzero import cli

PAGE = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
COMMON = "--engine.sampler vllm --engine.vllm_memory 0.85 --engine.max_rows 512 --generate.questions_per_part 8000"
ROWS = re.findall(r"^\| ([48]B, .*?) \| `(.*?)` \| (.*) \|$", PAGE, re.MULTILINE)


def planned(words: str, capsys: pytest.CaptureFixture[str]) -> dict:
    assert cli.main(["plan", "paper", *words.split(), "--json"]) == 0, capsys.readouterr()
    return json.loads(capsys.readouterr().out)


def test_all_machines_are_there() -> None:
    assert f"`{COMMON}`" in " ".join(PAGE.split())
    assert [name for name, *_ in ROWS] == [
        "4B, 1 × 24 GB",
        "4B, 1 × 80 GB",
        "4B, 8 × 80 GB",
        "8B, 8 × 80 GB",
        "8B, 2 × 8 × 80 GB",
    ]


@pytest.mark.parametrize(("name", "words", "figures"), ROWS, ids=[name for name, *_ in ROWS])
def test_rows_are_what_is_planned(name: str, words: str, figures: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = planned(f"{words} {COMMON}", capsys)
    memory, phases = found["memory"], [phase["total"] / 60 for phase in found["seconds"].values()]
    peaks = f"{memory['update_peak'] / 2**30:.0f}, {memory['sampling_peak'] / 2**30:.0f}"
    minutes = ", ".join(f"{value:,.0f}" for value in phases)
    split = f"{found['learners']} + {found['samplers']}" if "--gpus" in words else "1"
    expected = [f"{peaks} of {memory['usable'] / 2**30:.0f}", split, str(found["rows"]), minutes, f"{sum(phases):,.0f}"]
    assert figures.split(" | ") == expected


def test_figures_of_the_large_run(capsys: pytest.CaptureFixture[str]) -> None:
    words = f"--model Llama-3-70B-shape --gpus 512 --sampler-gpus 8 {COMMON}"
    for extra, start in (("", "one iteration"), (" --checkpoint.every_steps 5 --disk-rate 100e9", "`--checkpoint")):
        phases = planned(words + extra, capsys)["seconds"].values()
        columns = ("sampling", "tail", "update", "weights", "files", "total")
        sums = [sum(phase[name] for phase in phases) / 60 for name in columns]
        (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| {start}")]
        shown = [float(cell) for cell in row.strip("| ").split(" | ")[1:]]
        assert shown == pytest.approx(sums, rel=0.04)
