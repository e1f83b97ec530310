"""Where a benchmark's rows come from: a local directory, the Hugging Face hub where there is a network, a generator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rzero.errors import DataError, MissingExtraError
from rzero.evaluate.benchmarks import Benchmark
from rzero.evaluate.generated import reasoning_gym_rows
from rzero.evaluate.rows import BenchmarkRow, Loaded, read_rows
from rzero.evaluate.tasks import json_rows

INSTALL = 'pip install "rzero[eval]"'


def load_benchmark(benchmark: Benchmark, data: Path | None) -> Loaded:
    """The rows of ``<data>/<file>.jsonl``, or of the hub if ``data`` is None (``reasoning_gym``: made on the spot).

    Raises DataError if the file is missing or holds nothing of use, or if the hub cannot be reached.
    """
    if data is None and benchmark.name == "reasoning_gym":
        return read_rows(benchmark, reasoning_gym_rows(), source="reasoning-gym")
    if data is None:
        return read_rows(benchmark, _from_hub(benchmark), source=str(benchmark.hub and benchmark.hub[0]))
    path = data / f"{benchmark.stem}.jsonl"
    if not path.is_file():
        there = ", ".join(sorted(file.name for file in data.glob("*.jsonl"))) or "no .jsonl file"
        raise DataError(f"{path}, the data of task {benchmark.name!r}, does not exist; {data} holds {there}")
    return read_rows(benchmark, [row for _, row in json_rows(path, option="--data")], source=str(path))


def as_dataset(rows: Sequence[BenchmarkRow]) -> Any:
    """The rows as lm-eval wants them: a dataset with a ``test`` split of plain columns; ``row`` is the row's number."""
    datasets = _datasets()
    documents = [
        {"row": number, "id": row.id, "question": row.question, "answer": row.gold, "category": row.category}
        | ({"choices": list(row.choices)} if row.choices else {})
        for number, row in enumerate(rows)
    ]
    return {"test": datasets.Dataset.from_list(documents)}


def _from_hub(benchmark: Benchmark) -> list[dict[str, Any]]:
    if benchmark.hub is None:
        raise DataError(
            f"task {benchmark.name!r} is not on the hub; give --data DIR with {benchmark.stem}.jsonl, rows of question "
            "and answer"
        )
    path, subset, split = benchmark.hub
    datasets = _datasets()
    try:
        return [dict(row) for row in datasets.load_dataset(path, subset, split=split)]
    except Exception as error:  # the library raises its own, the hub client's, the network's and Python's
        raise DataError(
            f"task {benchmark.name!r}: {path} cannot be loaded from the hub ({type(error).__name__}: "
            f"{str(error).partition(chr(10))[0]}); give --data DIR with {benchmark.stem}.jsonl"
        ) from None


def _datasets() -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingExtraError(f"rzero eval needs the eval extra; run: {INSTALL}") from None
    return datasets
