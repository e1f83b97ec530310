"""lm-eval's side: requests are folded into rollouts, results come out in order, files are lm-eval's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from rzero.domains.math import math
from rzero.engines.base import SamplingParams
from rzero.errors import EngineError, MissingExtraError
from rzero.evaluate.benchmarks import BENCHMARKS
from rzero.evaluate.harness import Decoding, Part, generate, require_lm_eval, run_parts
from rzero.evaluate.rows import read_rows
from rzero.grading import Grader
from rzero.types import Completion, FinishReason, Message, Prompt

instance = pytest.importorskip("lm_eval.api.instance")


class Calculator:
    """A sampler that answers questions such as ``2+3``: the greedy answer is right, of the samples only the first."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, SamplingParams]] = []

    def __call__(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[list[Completion]]:
        self.calls.append((len(prompts), params))
        return [[self.answer(prompt.messages[-1].content, i) for i in range(params.n)] for prompt in prompts]

    def answer(self, question: str, number: int) -> Completion:
        a, b = map(int, question.split("+"))
        text = f"so \\boxed{{{a + b + number}}}" if a < 8 else f"hm, {a}"
        reason = FinishReason.STOP if a < 8 else FinishReason.LENGTH
        return Completion(token_ids=(1,), logprobs=(0.0,), finish_reason=reason, text=text)


def decoding(k: int) -> Decoding:
    return Decoding(k=k, max_new_tokens=9, temperature=1.0 if k else 0.0, top_p=1.0, top_k=0, seed=3)


def request(task: str, question: str, place: int) -> object:
    prompt = json.dumps(asdict(Prompt(messages=(Message("user", question),))))
    return instance.Instance("generate_until", {}, (prompt, {}), 0, (task, place, 1))


def test_repeats_become_samples_and_tasks_are_batched() -> None:
    a, b, c, d = request("x", "1+1", 0), request("x", "2+2", 1), request("y", "1+1", 0), request("y", "3+3", 1)
    e = request("z", "5+5", 0)
    calculator = Calculator()
    decodings = {"x": decoding(0), "y": decoding(3), "z": decoding(0)}
    responses = generate([a, b, c, c, c, d, d, d, e], decodings, calculator)  # type: ignore[list-item]
    assert responses == [f"so \\boxed{{{n}}}" for n in (2, 4, 2, 3, 4, 6, 7, 8, 10)]
    assert [(number, params.n, params.temperature) for number, params in calculator.calls] == [(3, 1, 0), (2, 3, 1)]


def test_a_whole_evaluation(tmp_path: Path) -> None:
    raw = [{"id": f"q{a}", "question": f"{a}+1", "answer": a + 1} for a in range(10)]
    loaded = read_rows(BENCHMARKS["gsm8k"], [*raw, {"question": "3+3"}], source="x")
    parts = [
        Part(name=name, benchmark=BENCHMARKS["gsm8k"], loaded=loaded, decoding=decoding(k))
        for name, k in (("gsm8k", 0), ("gsm8k_sampled", 4))
    ]
    with Grader() as grader:
        found = run_parts(
            parts,
            domain=math,
            grader=grader,
            sample=Calculator(),
            limit=9,
            out=tmp_path,
            model="calculator",
            record={"note": "here"},
        )
    greedy, sampled = found["gsm8k"], found["gsm8k_sampled"]
    assert greedy["num_questions"] == 9
    assert greedy["accuracy"][0] == pytest.approx(8 / 9)
    assert greedy["accuracy"][1] < 8 / 9 < greedy["accuracy"][2]
    assert greedy["cut_off"][0] == greedy["unparsed"][0] == pytest.approx(1 / 9)
    assert sampled["mean@4"][0] == pytest.approx(8 / 9 / 4)
    assert sampled["maj@4"][0] == pytest.approx(8 / 9)  # all four differ, and the first counts
    assert sampled["pass@2"][0] == pytest.approx(8 / 9 / 2)

    (file,) = tmp_path.glob("calculator/results_*.json")
    results = json.loads(file.read_text())
    assert results["results"]["gsm8k"]["accuracy,none"] == pytest.approx(8 / 9)
    assert results["results"]["gsm8k"]["accuracy_stderr,none"] > 0
    assert results["results"]["gsm8k"]["accuracy_low95,none"] == greedy["accuracy"][1]
    assert results["n-samples"]["gsm8k"] == {"original": 10, "effective": 9}
    assert (results["model_name"], results["lm_eval_version"][:3]) == ("calculator", "0.4")
    assert results["rzero"] == {"note": "here"}

    (file,) = tmp_path.glob("calculator/samples_gsm8k_sampled_*.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["doc"]["id"] for row in rows] == [f"q{a}" for a in range(9)]
    assert rows[2]["answers"] == ["3", "4", "5", "6"]
    assert rows[2]["outcomes"] == ["right", "wrong", "wrong", "wrong"]
    assert rows[8]["answers"] == [None] * 4


def test_without_lm_eval_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(MissingExtraError, match=r'pip install "rzero\[eval\]"'):
        require_lm_eval.__wrapped__()


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    loaded = read_rows(BENCHMARKS["gsm8k"], [{"question": "1+1", "answer": 2}], source="x")
    part = Part(name="gsm8k", benchmark=BENCHMARKS["gsm8k"], loaded=loaded, decoding=decoding(0))
    with Grader() as grader, pytest.raises(EngineError, match="could not write"):
        run_parts(
            [part],
            domain=math,
            grader=grader,
            sample=Calculator(),
            limit=0,
            out=tmp_path / "out",
            model="calculator",
            record={},
        )
