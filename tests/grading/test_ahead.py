"""Grading while something else runs: the same results, already there when they are asked for."""

from __future__ import annotations

import time

from rzero.grading.ahead import grading_ahead
from rzero.grading.grader import Grader

PAIRS = [("2x", "x+x"), ("3x", "x+x"), ("7", "8"), (None, "7"), (r"\sqrt{12}", r"2\sqrt{3}")]
ANSWERS = ["x+x", "2x", "7", None, r"\sqrt{12}", "2x"]


def test_what_was_graded_ahead_needs_no_worker_later() -> None:
    with Grader(timeout_s=60.0) as grader, Grader(timeout_s=60.0) as later:
        with grading_ahead(grader) as ahead:
            for answer, gold in PAIRS:
                ahead.grade(answer, gold)
            for count in range(1, len(ANSWERS) + 1):
                ahead.classes(ANSWERS[:count])
            expected = later.grade_many(PAIRS), later.classes_many([ANSWERS])
            deadline = time.monotonic() + 200
            while grader.num_symbolic < later.num_symbolic and time.monotonic() < deadline:
                time.sleep(0.01)
        assert grader.num_symbolic == later.num_symbolic > 0
        assert (grader.grade_many(PAIRS), grader.classes_many([ANSWERS])) == expected
        assert grader.num_symbolic == later.num_symbolic


def test_numbers_and_equal_answers_wake_no_worker() -> None:
    with Grader() as grader:
        with grading_ahead(grader) as ahead:
            ahead.grade("7", "8")
            ahead.grade(None, "8")
            ahead.classes(["7", None, "1/2", "0.5"])
            ahead.classes(["2x", "2x"])
            time.sleep(0.2)
        assert grader.num_symbolic == 0


def test_what_is_not_done_at_the_end_is_left_alone() -> None:
    with Grader(timeout_s=60.0) as grader:
        with grading_ahead(grader) as ahead:
            for number in range(10_000):
                ahead.grade(f"{number}x", "x+x")
        assert grader.num_symbolic < 10_000
