r"""From a benchmark's data, local or from the hub, to questions with gold answers; what cannot be used is counted.

Local files hold one JSON object a line: ``question``, ``answer``, and if there are any ``id``, ``category`` and
``choices`` (then ``answer`` is a letter). The fields of the usual hub versions are understood as well: ``problem``,
``options``, ``answerKey``, ``answer_letter``, ``final_answer``, the solution before ``####``, and their like.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rzero.errors import DataError
from rzero.evaluate.benchmarks import Benchmark, Kind
from rzero.grading.extract import last_boxed

QUESTION_FIELDS = ("question", "problem", "question_concat", "Problem", "Question", "input")
ANSWER_FIELDS = ("answer", "final_answer", "Answer", "target", "expected_answer")
LETTER_FIELDS = ("answer_letter", "answerKey", "answer")
CATEGORY_FIELDS = ("category", "task", "subject", "discipline", "Type")
ID_FIELDS = ("id", "unique_id", "uuid", "question_id", "ID")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkRow:
    """One question. ``choices`` is empty unless the benchmark is multiple choice; then ``gold`` is a letter."""

    id: str
    question: str
    gold: str
    category: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The usable rows of a benchmark in their order, and how many were skipped for which reason."""

    rows: list[BenchmarkRow]
    skipped: dict[str, int]

    @property
    def chance(self) -> float | None:
        """The expected accuracy of a random letter, in [0, 1]; None unless every row is multiple choice."""
        if not all(row.choices for row in self.rows):
            return None
        return sum(1 / len(row.choices) for row in self.rows) / len(self.rows)


def read_rows(benchmark: Benchmark, raw_rows: Iterable[Mapping[str, Any]], *, source: str) -> Loaded:
    r"""The rows that can be used. Raises DataError if there are none, or if two share an id: scores would be mixed up.

    >>> from rzero.evaluate.benchmarks import BENCHMARKS
    >>> raw = [{"question": "1+1?", "answer": "so 2\n#### 2"}, {"question": "2+2?", "answer": None}]
    >>> loaded = read_rows(BENCHMARKS["gsm8k"], raw, source="gsm8k.jsonl")
    >>> [(row.id, row.gold) for row in loaded.rows], loaded.skipped
    ([('gsm8k-1', '2')], {'no gold answer': 1})
    """
    rows: dict[str, BenchmarkRow] = {}
    skipped: Counter[str] = Counter()
    for number, raw in enumerate(raw_rows, start=1):
        row = _read(benchmark, number, raw)
        if isinstance(row, str):
            skipped[row] += 1
        elif row.id in rows:
            raise DataError(f"{source}: the id {row.id!r} occurs twice; make the ids unique")
        else:
            rows[row.id] = row
    if not rows:
        reasons = ", ".join(f"{count} with {reason}" for reason, count in skipped.items()) or "the file is empty"
        raise DataError(f"{source} holds no row that can be used ({reasons}); give rows of question and answer")
    return Loaded(rows=list(rows.values()), skipped=dict(skipped))


def _read(benchmark: Benchmark, number: int, raw: Mapping[str, Any]) -> BenchmarkRow | str:
    """A row, or why it cannot be used."""
    question = _first(raw, QUESTION_FIELDS)
    if raw.get("Body") and question is not None:
        question = f"{str(raw['Body']).strip()} {question}"
    if question is None:
        return "no question"
    choices = _choices(raw) if benchmark.kind is Kind.CHOICE else ()
    if benchmark.kind is Kind.CHOICE and not 2 <= len(choices) <= len(string.ascii_uppercase):
        return "no choices"
    gold = _letter(raw, choices) if choices else _gold(raw)
    if gold is None:
        return "no gold answer"
    if choices and gold not in string.ascii_uppercase[: len(choices)]:
        return "a gold letter outside the choices"
    name = _first(raw, ID_FIELDS) or f"{benchmark.name}-{number}"
    return BenchmarkRow(
        id=name, question=question, gold=gold, category=_first(raw, CATEGORY_FIELDS) or "", choices=choices
    )


def _first(raw: Mapping[str, Any], fields: tuple[str, ...]) -> str | None:
    """The first field that holds text or a number; of a list, its first entry."""
    for name in fields:
        value = raw.get(name)
        if isinstance(value, list | tuple) and value:
            value = value[0]
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    return None


def _gold(raw: Mapping[str, Any]) -> str | None:
    gold = _first(raw, ANSWER_FIELDS)
    if gold is not None and "####" in gold:
        gold = gold.rpartition("####")[2].strip().replace(",", "") or None
    if gold is None and isinstance(raw.get("solution"), str):
        gold = last_boxed(raw["solution"])
    return gold


def _choices(raw: Mapping[str, Any]) -> tuple[str, ...]:
    found = raw.get("choices") or raw.get("options") or ()
    if isinstance(found, Mapping):  # ARC and CommonsenseQA on the hub: {"label": [...], "text": [...]}
        found = found.get("text") or ()
    return tuple(str(choice) for choice in found if str(choice) != "N/A")


def _letter(raw: Mapping[str, Any], choices: tuple[str, ...]) -> str | None:
    """The gold letter; ARC numbers the options of some questions."""
    letter = _first(raw, LETTER_FIELDS)
    if letter is not None and letter.isdecimal() and 1 <= int(letter) <= len(choices):
        return string.ascii_uppercase[int(letter) - 1]
    return letter
