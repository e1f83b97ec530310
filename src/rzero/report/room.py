"""How a page keeps its size, however much a run wrote: long texts are cut first, then questions are sampled evenly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial

from rzero.report.as_json import as_json
from rzero.report.data import Questions, Run
from rzero.report.questions import sampled, shortened

QUESTION_BYTES = 8_000_000
"""What all questions of a page may take; with the plotting library the page then stays below 15 MB."""
TEXT_LIMITS = (4000, 1000, 400, 200)


def fit(runs: Sequence[Run], room: int = QUESTION_BYTES) -> tuple[list[Run], list[str]]:
    """The runs with questions that take at most ``room`` bytes, and what had to be left out, in words."""
    fitting, limit, size = list(runs), 0, 0
    for limit in TEXT_LIMITS:
        fitting = _changed(runs, partial(shortened, longest=limit))
        size = _size(fitting)
        if size <= room:
            break
    notes: list[str] = []
    if size > room:
        total = _count(fitting)
        fitting = _changed(fitting, partial(sampled, share=room / size))
        notes.append(
            f"The page has room for {_count(fitting):,} of {total:,} questions, taken at even distances from each "
            "pool; votes.jsonl of each iteration has all."
        )
    cut = sum(1 for questions in _all(fitting) for hidden in questions.hidden_characters if hidden)
    if cut:
        notes.append(
            f"{cut:,} {'question is' if cut == 1 else 'questions are'} longer than the page has room for and cut after "
            f"{limit:,} characters; votes.jsonl has the whole text."
        )
    return fitting, notes


def _changed(runs: Sequence[Run], change: Callable[[Questions], Questions]) -> list[Run]:
    return [
        replace(
            run,
            iterations=[
                replace(item, questions=change(item.questions)) if item.questions else item for item in run.iterations
            ],
        )
        for run in runs
    ]


def _all(runs: Sequence[Run]) -> list[Questions]:
    return [item.questions for run in runs for item in run.iterations if item.questions]


def _count(runs: Sequence[Run]) -> int:
    return sum(len(questions.id) for questions in _all(runs))


def _size(runs: Sequence[Run]) -> int:
    """Bytes of the questions as the page holds them."""
    return sum(len(as_json(asdict(questions)).encode("utf-8", "backslashreplace")) for questions in _all(runs))
