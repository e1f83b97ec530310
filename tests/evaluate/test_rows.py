"""Rows of benchmark data, as they stand in local files and on the hub."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rzero.errors import ConfigError, DataError
from rzero.evaluate.benchmarks import BENCHMARKS, find
from rzero.evaluate.rows import read_rows
from rzero.evaluate.sources import load_benchmark

# What the documented formats look like: the task, a row, and question, gold and choices as they should be read.
FORMATS = [
    ("gsm8k", {"question": "How many?", "answer": "10 * 100 = <<10*100=1000>>1000\n#### 1,000"}, "1000", ()),
    ("math500", {"problem": "Find $x$.", "solution": "\\boxed{2}", "answer": "\\frac{1}{2}"}, "\\frac{1}{2}", ()),
    ("amc23", {"id": 0, "question": "Find it.", "answer": 27.0}, "27", ()),
    ("aime24", {"id": 60, "problem": "Find it.", "answer": "204"}, "204", ()),
    ("minerva", {"problem": "Find it.", "solution": "So \\boxed{1.6} it is."}, "1.6", ()),
    ("olympiadbench", {"question": "Find it.", "final_answer": ["$2$"], "unit": None}, "$2$", ()),
    ("svamp", {"Body": "Dan had 4.", "Question": "How many are left?", "Answer": "1.0"}, "1.0", ()),
    ("mmlu_pro", {"question": "Which?", "options": ["a", "b", "N/A"], "answer": "B"}, "B", ("a", "b")),
    ("supergpqa", {"question": "Which?", "options": ["a", "b"], "answer": "b", "answer_letter": "B"}, "B", ("a", "b")),
    ("arc_easy", {"question": "Which?", "choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answerKey": "2"}, "B",
     ("a", "b")),
    ("bbeh", {"question": "Is it?", "answer": "no", "task": "logic"}, "no", ()),
]  # fmt: skip


@pytest.mark.parametrize(("task", "raw", "gold", "choices"), FORMATS, ids=[entry[0] for entry in FORMATS])
def test_documented_formats(task: str, raw: dict[str, object], gold: str, choices: tuple[str, ...]) -> None:
    (row,) = read_rows(BENCHMARKS[task], [raw], source="hub").rows
    assert (row.gold, row.choices) == (gold, choices)
    assert row.question.endswith((".", "?"))


def test_what_cannot_be_used_is_skipped_and_counted() -> None:
    raw = [
        {"question": "Which?", "choices": ["a", "b"], "answer": "A"},
        {"question": "Which?", "choices": ["a", "b"], "answer": ""},
        {"question": "Which?", "choices": ["a", "b"], "answer": "C"},
        {"question": "Which?", "choices": ["a"], "answer": "A"},
        {"question": "  ", "choices": ["a", "b"], "answer": "A"},
    ]
    loaded = read_rows(BENCHMARKS["mmlu_pro"], raw, source="x")
    assert len(loaded.rows) == 1
    assert loaded.skipped == {
        "no gold answer": 1,
        "a gold letter outside the choices": 1,
        "no choices": 1,
        "no question": 1,
    }
    assert loaded.chance == 0.5


def test_unusable_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"id 'a' occurs twice"):
        read_rows(BENCHMARKS["gsm8k"], [{"id": "a", "question": "1?", "answer": 1}] * 2, source="x")
    with pytest.raises(DataError, match="1 with no gold answer"):
        read_rows(BENCHMARKS["gsm8k"], [{"question": "1?"}], source="x")
    (tmp_path / "svamp.jsonl").write_text(json.dumps({"question": "1?", "answer": 1}) + "\n{", encoding="utf-8")
    with pytest.raises(DataError, match=r"holds svamp\.jsonl"):
        load_benchmark(BENCHMARKS["gsm8k"], tmp_path)
    with pytest.raises(DataError, match=r"svamp\.jsonl:2 is not JSON"):
        load_benchmark(BENCHMARKS["svamp"], tmp_path)
    with pytest.raises(DataError, match=r"addsub\.jsonl"):
        load_benchmark(BENCHMARKS["addsub"], None)


def test_an_unknown_task_is_an_error_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'math500'"):
        find(["gsm8k", "math-500"])
    with pytest.raises(ConfigError, match="no task is named"):
        find([])
