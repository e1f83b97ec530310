from __future__ import annotations

from pathlib import Path

import pytest

from rzero import config
from rzero.errors import ConfigError


def test_order_is_preset_then_file_then_overrides(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("seed = 7\n[solver]\nsteps = 3\n")
    loaded = config.load(str(file), {"solver.steps": "4"})
    assert (loaded.seed, loaded.solver.steps) == (7, 4)
    assert loaded.solver.group_size == config.Config().solver.group_size


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"grpo.clip_hihg": "1"}, "option grpo.clip_hihg does not exist; did you mean grpo.clip_high?"),
        ({"clip_high": "1"}, "option clip_high does not exist; did you mean grpo.clip_high?"),
        ({"zzzz": "1"}, "rzero config"),
        ({"solver.steps": "0"}, "solver.steps='0' cannot be used: input should be greater than or equal to 1"),
        ({"solver.steps": "many"}, "solver.steps='many'"),
        ({"vote.temperature": "nan"}, "vote.temperature"),
        ({"challenger.start_from": "nowhere"}, "'previous', 'solver' or 'base'"),
        ({"curriculum.band_low": "0.8"}, "curriculum.band_low=0.8 is above curriculum.band_high=0.75"),
        ({"seed.inner": "1"}, "seed"),
    ],
)
def test_bad_options_are_one_line_that_helps(overrides: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load("paper", overrides)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        config.load("paper", {"solver.steps": "0", "vote.num_votes": "0"})
    assert len(str(caught.value).split("\n")) == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [("labtop", "did you mean 'laptop'?"), ("absent.toml", "does not exist"), ("src", "does not exist")],
)
def test_a_source_that_is_not_there(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        config.load(name)


def test_true_is_no_number_and_a_section_no_value(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("iterations = true\n")
    with pytest.raises(ConfigError, match="iterations=true cannot be used: it is a number"):
        config.load(str(file))
    file.write_text('model = "x"\n')
    for overrides in ({}, {"model.path": "micro"}):
        with pytest.raises(
            ConfigError, match=r"model='x' cannot be used: model is a section, with the options model\.path"
        ):
            config.load(str(file), overrides)


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text("seed = 1\nsolver = [\n")
    with pytest.raises(ConfigError, match="line"):
        config.load(str(file))


def test_differences_name_option_and_both_values() -> None:
    old, new = config.Config(), config.load("paper", {"model.dtype": "auto", "vote.top_k": 0, "seed": 3})
    assert config.differences(old, new) == ["seed: 0 -> 3"]


def test_json_round_trip() -> None:
    loaded = config.load("micro", {"evaluate.data": "a.jsonl,b.jsonl"})
    assert loaded.evaluate.data == ("a.jsonl", "b.jsonl")
    assert config.validate(loaded.model_dump(mode="json")) == loaded
