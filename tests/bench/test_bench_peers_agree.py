"""The yardsticks that rzero is compared with: equal clusters, and an end to every hostile answer."""

from __future__ import annotations

import pytest

import grading
import repetition
from harness.hostile import HOSTILE
from harness.problems import questions
from rzero.grading import Grader
from rzero.grading.limits import refusal
from rzero.grading.normal import normal_form
from rzero.rewards.repetition import bleu_distances, cluster
from rzero.types import Outcome


def test_nltk_and_sklearn_find_our_clusters() -> None:
    texts = questions(40, seed=9)
    expected = repetition.sklearn_clusters(repetition.nltk_distances(texts, processes=1), 0.5)
    ours = cluster(bleu_distances(texts), threshold=0.5)
    assert repetition.partition(ours) == repetition.partition(expected)
    assert 1 < len(set(ours)) < 40


def test_partitions_do_not_depend_on_names() -> None:
    assert repetition.partition([5, 5, 2]) == repetition.partition([0, 0, 1]) != repetition.partition([0, 1, 1])


def test_the_integer_benchmark_counts_right_answers() -> None:
    assert grading.integer_rate(2000, seed=1) > 100


def test_hostile_answers_are_refused_or_reach_a_worker() -> None:
    """Some are stopped by the static limits, and some pass them, so that the time limit is tested too."""
    refused = [name for name, answer in HOSTILE.items() if refusal(normal_form(answer)) is not None]
    assert 10 < len(refused) < len(HOSTILE)


@pytest.mark.slow
def test_every_hostile_answer_comes_to_an_end() -> None:
    with Grader(timeout_s=0.5) as grader:
        grader.grade(answer="x+1", gold="1+x")
        outcomes = grader.grade_many([(answer, "7") for answer in HOSTILE.values()])
        hung = [answer for answer, outcome in zip(HOSTILE.values(), outcomes, strict=True) if outcome == "timeout"]
        classes = grader.classes_many([[answer, "x+1", "8"] for answer in hung])
    assert len(outcomes) == len(HOSTILE)
    right = [name for name, outcome in zip(HOSTILE, outcomes, strict=True) if outcome == "right"]
    assert right == ["spaces"], "seven with spaces before it is seven; nothing else is"
    # One that hangs by itself is no vote; one that hangs in comparisons only is an answer of its own.
    assert hung and all(row in ([Outcome.TIMEOUT, 0, 1], [0, 1, 2]) for row in classes)
