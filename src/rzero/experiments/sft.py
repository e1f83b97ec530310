"""``rzero sft``: supervised fine-tuning on labelled rows, from any checkpoint.

It takes ``solver.steps`` updates on ``solver.prompts_per_step`` rows each at ``solver.learning_rate``, over shuffled
rounds of the data. The prompts are the domain's Solver prompts, as in evaluation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rzero import domains
from rzero.config import Config
from rzero.engines.process import prepare
from rzero.errors import DataError, RunDirectoryError
from rzero.evaluate.tasks import json_rows
from rzero.models.fingerprint import fingerprint
from rzero.runs.atomic import read_json, replace_directory, write_json, write_jsonl
from rzero.runs.console import Console
from rzero.seeds import derive_seed

if TYPE_CHECKING:
    from rzero.types import Group

LEARNER_FILES = ("learner.safetensors", "learner.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A question with the completion that the model is to imitate."""

    question: str
    completion: str


def load_labelled(path: Path) -> list[Labelled]:
    r"""Rows of ``question`` and ``solution``; without a ``solution`` the completion is the boxed ``answer`` alone.

    Raises DataError for a missing file, a row without question, or one with neither solution nor answer.
    """
    rows: list[Labelled] = []
    for number, row in json_rows(path, option="--data"):
        question, solution, answer = (str(row.get(name) or "") for name in ("question", "solution", "answer"))
        if row.get("answer") == 0:
            answer = "0"
        if not question.strip() or not (solution.strip() or answer.strip()):
            raise DataError(f"{path}:{number}: a labelled row needs question, and solution or answer; complete it")
        rows.append(Labelled(question=question, completion=solution or f"\\boxed{{{answer}}}"))
    if not rows:
        raise DataError(f"{path} holds no rows; give a JSONL file of question and solution")
    return rows


def sft(config: Config, start: Path, rows: Sequence[Labelled], out: Path) -> Path:
    """Fine-tune the checkpoint ``start``; returns ``out/checkpoint``. What is there already is not made again.

    ``out/sft.json`` records options, start and data; ``out/metrics.jsonl`` has a line a step: ``nll`` in nats a token,
    before the step's update. Raises RunDirectoryError if ``out`` was made from something else.
    """
    record = {
        "options": config.model_dump(mode="json"),
        "start": fingerprint(start),
        "num_rows": len(rows),
        "data": derive_seed(0, *(part for row in rows for part in (row.question, row.completion))),
    }
    checkpoint = out / "checkpoint"
    if checkpoint.is_dir():
        if _differs(read_json(out / "sft.json"), record):
            raise RunDirectoryError(f"{out} was made with other options, data or start; choose another --out")
        return checkpoint
    metrics = _train(config, start, rows, checkpoint)
    write_jsonl(out / "metrics.jsonl", metrics)
    write_json(out / "sft.json", record)
    return checkpoint


def _differs(recorded: dict[str, Any], given: dict[str, Any]) -> bool:
    def identity(record: dict[str, Any]) -> dict[str, Any]:
        # How it was shown, and under which path the same content lay, made no difference.
        options = {name: value for name, value in record["options"].items() if name != "progress"}
        return record | {"options": options | {"model": options["model"] | {"path": ""}}}

    return identity(recorded) != identity(given)


def _train(config: Config, start: Path, rows: Sequence[Labelled], checkpoint: Path) -> list[dict[str, float]]:
    from rzero.grpo.supervised import SupervisedLearner, as_group
    from rzero.models.open import open_model

    prepare(config.engine.threads)
    options, domain, console = config.model, domains.load(config.domain), Console(config.progress)
    model = open_model(start, dtype=options.dtype, device=options.device, trust_remote_code=options.trust_remote_code)
    learner = SupervisedLearner(model, options=config.grpo, learning_rate=config.solver.learning_rate)
    texts = [as_group(model, domain.solver_prompt(row.question), row.completion) for row in rows]
    metrics: list[dict[str, float]] = []
    with console.progress(f"sft: {config.solver.steps} steps", config.solver.steps) as advance:
        for step, batch in zip(range(1, config.solver.steps + 1), _batches(config, texts), strict=False):
            metrics.append({"step": step, **learner.fit(batch)})
            advance(1)
    with replace_directory(checkpoint) as path:
        learner.save(path)
        for name in LEARNER_FILES:  # a later training starts with a fresh optimiser
            (path / name).unlink()
    return metrics


def _batches(config: Config, texts: Sequence[Group]) -> Iterator[list[Group]]:
    """Endless rounds over all texts, each shuffled anew; a batch may cross from one round into the next."""
    rng = random.Random(derive_seed(config.seed, "sft", "order"))
    queue: list[Group] = []
    while True:
        while len(queue) < config.solver.prompts_per_step:
            queue += rng.sample(texts, len(texts))
        yield queue[: config.solver.prompts_per_step]
        del queue[: config.solver.prompts_per_step]
