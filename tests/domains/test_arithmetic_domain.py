"""The domain object, and the frozen test set that goes with it."""

from __future__ import annotations

import json
from collections import Counter
from importlib import resources

from rzero.domains.arithmetic import arithmetic, is_held_out, level
from rzero.domains.base import Domain


def test_it_is_a_domain_with_an_oracle() -> None:
    assert isinstance(arithmetic, Domain)
    assert arithmetic.oracle is not None


def test_a_question_passes_from_challenger_to_solver_unchanged() -> None:
    question = "Tom has 12 apples, buys 7. How many now?"
    parsed = arithmetic.parse_question(f"<question>{question}</question>")
    assert parsed.text == question
    assert arithmetic.solver_prompt(question).messages[-1].content == question


def test_the_format_check_takes_ill_posed_questions() -> None:
    assert arithmetic.parse_question("<question>5 mod 0</question>").text == "5 mod 0"
    assert arithmetic.parse_question("5 mod 3").problem is not None


def test_the_last_box_is_the_answer() -> None:
    assert arithmetic.extract_answer("12+30=42;\\boxed{41}\\boxed{42}") == "42"
    assert arithmetic.extract_answer("12-77=-65;none") is None


def test_the_test_set_is_graded_right_and_held_out() -> None:
    text = (resources.files("rzero") / "evaluate" / "data" / "arithmetic_test.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert Counter(row["level"] for row in rows) == dict.fromkeys(range(1, 6), 200)
    assert len({row["question"] for row in rows}) == len({row["id"] for row in rows}) == 1000
    for row in rows:
        assert is_held_out(row["question"])
        assert level(row["question"]) == row["level"]
        assert arithmetic.oracle.solve(row["question"]).answer == row["answer"]
