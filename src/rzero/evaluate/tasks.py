"""Benchmark files: JSON lines with ``question`` and ``answer`` (the gold answer), and an optional ``id``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rzero.errors import DataError
from rzero.types import Example

BUNDLED = ("arithmetic",)
"""Test sets that ship with rzero, by name; ``./arithmetic`` names a file of that name instead."""


def data_path(name: str) -> Path:
    """The file that an entry of ``evaluate.data`` stands for."""
    return Path(__file__).parent / "data" / f"{name}_test.jsonl" if name in BUNDLED else Path(name)


def load_examples(path: Path, *, limit: int = 0) -> list[Example]:
    """The first ``limit`` rows of a file (0: all of them).

    Raises DataError naming the file and the line for a missing file, a line that is not JSON, a row without question or
    gold answer, or an id that occurs twice.
    """
    examples: list[Example] = []
    seen: dict[str, int] = {}
    for number, row in json_rows(path, option="evaluate.data"):
        if limit and len(examples) == limit:
            break
        example = _parse(path, number, row)
        if example.id in seen:
            raise DataError(
                f"{path}:{number}: id {example.id!r} stands on line {seen[example.id]} too; make the ids unique"
            )
        seen[example.id] = number
        examples.append(example)
    if not examples:
        raise DataError(f"{path} holds no rows; give a JSONL file of question and answer")
    return examples


def json_rows(path: Path, *, option: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and objects of a JSONL file. Raises DataError, which names ``option`` if there is no such file."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{option}: {path} cannot be read ({error}); give a JSONL file of question and answer"
        ) from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}:{number} is not JSON ({error}); one JSON object a line is needed") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number} is not a JSON object; a row needs question and answer")
        yield number, row


def _parse(path: Path, number: int, row: dict[str, Any]) -> Example:
    question, gold = row.get("question"), row.get("answer")
    if not isinstance(question, str) or not question.strip():
        raise DataError(f"{path}:{number} has no question; a row needs question and answer, both texts")
    if isinstance(gold, bool) or not isinstance(gold, str | int | float) or not str(gold).strip():
        raise DataError(f"{path}:{number} has no gold answer; a row needs question and answer, both texts")
    return Example(
        id=str(f"{path.stem}-{number}" if row.get("id") is None else row["id"]), question=question, gold=str(gold)
    )
