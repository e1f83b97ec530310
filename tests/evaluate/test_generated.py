"""The benchmark that is generated: the same questions everywhere, with answers that are right."""

from __future__ import annotations

import hashlib
import json
import math
import re

import pytest

from rzero.errors import MissingExtraError
from rzero.evaluate.benchmarks import BENCHMARKS
from rzero.evaluate.generated import GENERATORS, reasoning_gym_rows
from rzero.evaluate.sources import load_benchmark

pytest.importorskip("reasoning_gym")


def test_the_questions_are_the_same_everywhere() -> None:
    rows = reasoning_gym_rows()
    assert [row["category"] for row in rows] == [name for name in GENERATORS for _ in range(100)]
    assert len({row["question"] for row in rows}) == len({row["id"] for row in rows}) == 800
    assert all(re.fullmatch(r"-?\d+", row["answer"]) for row in rows)
    content = json.dumps([[row["id"], row["question"], row["answer"]] for row in rows])
    assert hashlib.sha256(content.encode()).hexdigest()[:16] == "1a835703f9577c97"


def test_answers_are_right() -> None:
    for row in reasoning_gym_rows():
        numbers = [int(number) for number in re.findall(r"\d+", row["question"])]
        if row["category"] == "products":
            assert int(row["answer"]) == math.prod(numbers)
        if row["category"] == "gcd":
            assert int(row["answer"]) == math.gcd(*numbers)


def test_it_needs_no_data_directory() -> None:
    loaded = load_benchmark(BENCHMARKS["reasoning_gym"], None)
    assert len(loaded.rows) == 800 and loaded.skipped == {}


def test_without_the_library_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "reasoning_gym", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*rzero\[reasoning-gym\]"):
        load_benchmark(BENCHMARKS["reasoning_gym"], None)
