"""``rzero ablate``: a small grid that runs, resumes, survives a stalled run and prints its tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_run import SMALL, words

from rzero import cli
from rzero.config import Config, change, load
from rzero.errors import ConfigError
from rzero.experiments.ablate import run_grid
from rzero.experiments.variants import PAPER, VARIANTS, choose


def test_every_variant_is_a_change_of_options_and_of_nothing_else(tiny_config: Config) -> None:
    seen = [change(tiny_config, changes) for changes in VARIANTS.values()]
    assert len({config.model_dump_json() for config in seen}) == len(VARIANTS)
    assert list(choose(["all"])) == list(VARIANTS)
    assert set(PAPER) <= set(VARIANTS)
    with pytest.raises(ConfigError, match="did you mean 'no_filter'"):
        choose(["no_filters"])


def test_a_list_of_seeds_must_be_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ablate", "micro", "--seeds", "0,x"]) == 2
    assert "--seeds '0,x' is not a list of whole numbers" in capsys.readouterr().err


@pytest.mark.slow
def test_a_grid_runs_resumes_and_shows_its_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["ablate", "micro", "--out", str(tmp_path), "--variants", "one_model", *words()]
    assert cli.main([*command, "--seeds", "0"]) == 0
    assert "| one_model |" in capsys.readouterr().out
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.safetensors")}
    assert cli.main([*command, "--seeds", "0,1"]) == 0
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    shown = capsys.readouterr().out
    assert "## arithmetic_test: greedy, %" in shown
    assert "2 of 2" in shown
    assert "## Questions: one_model" in shown
    assert "label accuracy of kept" in shown
    numbers = json.loads((tmp_path / "ablation.json").read_text())["accuracies"]
    assert numbers["arithmetic_test: greedy"]["full"]["iteration 1"]["num_seeds"] == 2
    # The same base model, whatever the variant.
    bases = [numbers["arithmetic_test: greedy"][name]["iteration 0"]["mean"] for name in ("full", "one_model")]
    assert bases[0] == bases[1]


@pytest.mark.slow
def test_a_stalled_run_is_a_result(tmp_path: Path) -> None:
    config = load("micro", SMALL)
    changes = {"full": {}, "hopeless": {"curriculum.min_questions": 10_000}}
    shown = run_grid(config, changes, [0], tmp_path)
    assert "## Stalled runs" in shown
    assert "hopeless, seed 0: iteration 1: the curriculum has" in shown
    assert "| hopeless |" in shown
