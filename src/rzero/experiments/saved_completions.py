"""Completions of an evaluation that are safe on disk, so that the same command goes on where it was interrupted.

They are sampled in parts of fixed borders. Each part is a file, named by all that its completions depend on: the
checkpoint's content, the precision, the prompts' tokens and how they are drawn. So a file is found again by an equal
evaluation alone, and another model, benchmark or option never meets it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rzero.engines.base import Sampler, SamplingParams
from rzero.evolve.context import Parts
from rzero.models.fingerprint import fingerprint
from rzero.runs.atomic import read_jsonl, write_jsonl
from rzero.seeds import derive_seed
from rzero.types import Completion, FinishReason, Prompt


class SavedCompletions:
    """Samples from ``checkpoint`` by way of files in ``directory``; a part holds about twice the rows of a batch."""

    def __init__(self, parts: Parts, checkpoint: Path, directory: Path) -> None:
        self._parts = parts
        self._checkpoint = checkpoint
        self._directory = directory
        self._model = fingerprint(checkpoint)
        self._rows = 2 * parts.config.engine.max_rows
        self._opened: Sampler | None = None

    def sample(
        self, prompts: Sequence[Prompt], params: SamplingParams, *, on_progress: Callable[[int], None]
    ) -> list[list[Completion]]:
        """``params.n`` completions for each prompt; those that are on disk come without their tokens."""
        size = max(1, self._rows // params.n)
        groups: list[list[Completion]] = []
        for number, start in enumerate(range(0, len(prompts), size)):
            own = replace(params, seed=derive_seed(params.seed, "part", number))
            groups += self._part(prompts[start : start + size], own, on_progress=on_progress)
        return groups

    def _part(
        self, prompts: Sequence[Prompt], params: SamplingParams, *, on_progress: Callable[[int], None]
    ) -> list[list[Completion]]:
        path = self._directory / f"{self._name(prompts, params)}.jsonl"
        if path.exists():
            rows = read_jsonl(path)
            on_progress(len(rows))
        else:
            _, sampled = self._parts.sample(self._sampler(), prompts, params, on_progress=on_progress)
            rows = [_as_row(completion) for group in sampled for completion in group]
            write_jsonl(path, rows)
        found = [_from_row(row) for row in rows]
        return [found[start : start + params.n] for start in range(0, len(found), params.n)]

    def _sampler(self) -> Sampler:
        """The model is opened when something is missing; where all is there, nothing is loaded."""
        if self._opened is None:
            self._opened = self._parts.engine.sampler(self._checkpoint)
        return self._opened

    def _name(self, prompts: Sequence[Prompt], params: SamplingParams) -> str:
        rendered = [list(self._parts.engine.render(prompt)) for prompt in prompts]
        content = [self._model, dict(self._parts.engine.machine)["dtype"], asdict(params), prompts[0].stop, rendered]
        return hashlib.blake2b(json.dumps(content).encode(), digest_size=12).hexdigest()


def _as_row(completion: Completion) -> dict[str, Any]:
    return {"text": completion.text, "finish_reason": str(completion.finish_reason)}


def _from_row(row: dict[str, Any]) -> Completion:
    reason = FinishReason(row["finish_reason"])
    return Completion(token_ids=(), logprobs=(), finish_reason=reason, text=row["text"])
