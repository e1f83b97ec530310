"""From completions to figures, for each kind of benchmark."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rzero.domains.math import math
from rzero.evaluate.benchmarks import BENCHMARKS
from rzero.evaluate.rows import BenchmarkRow
from rzero.evaluate.scoring import Scored, figure_names, figures, prompt_for, rates, score
from rzero.grading import Grader
from rzero.types import Outcome

RIGHT, WRONG, UNPARSED = Outcome.RIGHT, Outcome.WRONG, Outcome.UNPARSED


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader() as grader:
        yield grader


def scored(grader: Grader, task: str, gold: str, completions: list[str], choices: tuple[str, ...] = ()) -> Scored:
    row = BenchmarkRow(id="1", question="?", gold=gold, category="", choices=choices)
    return score(BENCHMARKS[task], row, completions, domain=math, grader=grader)


def test_expressions_are_graded_by_meaning(grader: Grader) -> None:
    found = scored(
        grader, "math500", r"\frac12", [r"\boxed{0.5}", r"\boxed{1/2}", r"\boxed{2}", "0.5", r"\boxed{2}", r"\boxed{2}"]
    )
    assert found.outcomes == [RIGHT, RIGHT, WRONG, UNPARSED, WRONG, WRONG]
    assert found.majority is WRONG
    assert figures(found) == {
        "mean@6": pytest.approx(1 / 3),
        "maj@6": 0.0,
        "pass@2": pytest.approx(1 - (4 * 3) / (6 * 5)),
        "pass@4": pytest.approx(1 - 1 / 15),
        "pass@6": 1.0,
    }
    assert rates(found, [True, False, False, False, False, False])["unparsed"] == pytest.approx(1 / 6)


def test_letters_are_read_and_never_guessed(grader: Grader) -> None:
    choices = ("two", "three", "four")
    found = scored(
        grader, "mmlu_pro", "A", [r"\boxed{(A)}", r"\boxed{two}", r"\boxed{CAB}", "A", r"\boxed{B}"], choices
    )
    assert found.outcomes == [RIGHT, RIGHT, UNPARSED, UNPARSED, WRONG]
    assert found.majority is RIGHT
    row = BenchmarkRow(id="1", question="Which?", gold="A", category="", choices=choices)
    (message,) = prompt_for(BENCHMARKS["mmlu_pro"], row, math).messages
    assert "(C) four" in message.content


def test_free_text_follows_the_authors_rules(grader: Grader) -> None:
    found = scored(grader, "bbeh", "(C)", [r"\boxed{c}", "The answer is: (C).", "It is C", "The answer is: unknown"])
    assert found.outcomes == [RIGHT, RIGHT, UNPARSED, WRONG]
    assert found.majority is RIGHT


def test_the_majority_of_nothing_is_not_right(grader: Grader) -> None:
    assert scored(grader, "gsm8k", "5", ["", "none"]).majority is UNPARSED


def test_the_names_are_those_of_the_figures() -> None:
    for k in (1, 2, 5, 32):
        answers = Scored(answers=[None] * k, outcomes=[WRONG] * k, majority=None)
        assert list(figures(answers)) == figure_names(k)
