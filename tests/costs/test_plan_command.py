"""``rzero plan`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rzero import cli


def plan(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = cli.main(["plan", *words])
    return code, capsys.readouterr().out


def test_a_plan_says_its_assumptions_and_its_sources(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = plan(capsys, "paper", "--model", "Qwen3-4B-shape", "--gpus", "8", "--gpu", "h100")
    assert code == 0
    for said in (
        "4.02 G parameters",
        "8 x h100",
        "prompt 200, question 400, answer 800",
        "AdamW's moments",
        "It fits.",
    ):
        assert said in out
    assert "train_solver" in out and "data sheet" in out and "torchtitan" in out


def test_json_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = plan(capsys, "paper", "--model", "Qwen3-4B", "--gpus=8", "--answer-tokens", "900", "--json")
    found = json.loads(out)
    assert code == 0 and found["memory"]["fits"] and found["lengths"]["answer"] == 900
    assert set(found["seconds"]) == {"train_challenger", "generate_questions", "vote", "train_solver"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--gpu", "h100"], "lora.rank=16"),
        (["--gpu", "rtx4090", "--lora.rank", "16", "--grpo.checkpointing", "off"], "grpo.checkpointing=on"),
        (["--gpu", "rtx4090", "--lora.rank", "16", "--grpo.tokens_per_microbatch", "90000"], "tokens_per_microbatch="),
        (["--gpu", "rtx4090", "--lora.rank", "16", "--solver.max_new_tokens", "60000"], "max_new_tokens"),
        (["--gpu", "rtx4090", "--lora.rank", "16", "--engine.kv_gib", "0.1"], "set engine.kv_gib="),
        (["--gpu", "h100", "--gpus", "64", "--model", "Llama-3-70B"], "--sampler-gpus 2"),
    ],
)
def test_what_does_not_fit_is_told_with_what_to_change(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = plan(capsys, "paper", "--model", "Qwen3-4B", *words)
    assert code == 1
    lines = [line for line in out.splitlines() if line.startswith("DOES NOT FIT")]
    assert lines and said in lines[0]


def test_what_the_advice_says_helps(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["paper", "--model", "Qwen3-4B", "--gpu", "rtx4090", "--lora.rank", "16", "--grpo.tokens_per_microbatch"]
    _, out = plan(capsys, *words, "90000")
    value = out.partition("tokens_per_microbatch=")[2].split()[0]
    assert plan(capsys, *words, value)[0] == 0
    assert plan(capsys, *words, str(int(value) + 500))[0] == 1


def test_the_bundled_model_and_a_directory(micro: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, named = plan(capsys, "micro", "--gpu", "cpu")
    _, found = plan(capsys, "micro", "--gpu", "cpu", "--model", str(micro))
    assert named == found and "It fits." in named


def test_the_fastest_split_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """Work that only samples wants samplers: with one update in an iteration more devices sample than learn."""
    words = ["paper", "--model", "Qwen3-0.6B", "--gpus", "8", "--json"]
    usual = json.loads(plan(capsys, *words)[1])
    sampling = json.loads(plan(capsys, *words, "--solver.steps", "1", "--challenger.train", "false")[1])
    assert usual["learners"] + usual["samplers"] == 8
    assert sampling["samplers"] >= usual["samplers"] and sampling["samplers"] > sampling["learners"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["paper"], "--model is not given; name a shape (Qwen3-0.6B"),
        (["paper", "--model", "Qwen3-44B"], "did you mean Qwen3-4B"),
        (["paper", "--model", "Qwen3-4B", "--gpu", "h10"], "did you mean h100"),
        (["paper", "--model", "Qwen3-4B", "--gpus", "0"], "--gpus 0 is below 1"),
        (["paper", "--model", "Qwen3-4B", "--answer-tokens", "0"], "--answer-tokens 0 is below 1"),
        (["paper", "--model", "Qwen3-4B", "--update-mfu", "40"], "--update-mfu 40.0 is above 1"),
        (["paper", "--model", "Qwen3-4B", "--layer-seconds", "-1"], "--layer-seconds -1.0 cannot be used"),
        (["paper", "--model", "Qwen3-4B", "--disk-rate", "0"], "--disk-rate 0.0 cannot be used"),
        (["paper", "--model", "Qwen3-4B", "--disk-rate", "nan"], "--disk-rate nan cannot be used"),
        (["paper", "--model", "Qwen3-4B", "--solver.step", "3"], "did you mean solver.steps"),
    ],
)
def test_bad_words(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", *words]) == 2
    assert said in capsys.readouterr().err
