"""The frozen test set: 200 problems on each of five levels, from the questions that pretraining never showed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import cycle
from pathlib import Path
from random import Random

from rzero.domains.arithmetic import arithmetic, is_held_out, level
from rzero.domains.arithmetic.families import FAMILIES, draw

LEVELS = 5
PER_LEVEL = 200
TRIES = 50
FROZEN_SEED = 20_260


def write_test_set(path: Path, *, seed: int = FROZEN_SEED, taken: Iterable[str] = ()) -> None:
    """Write a test set as JSONL: on each level the families take turns, as far as they reach it.

    No question of ``taken`` is in it.
    """
    rng, seen = Random(seed), set(taken)
    rows: list[dict[str, object]] = []
    for number in range(1, LEVELS + 1):
        families = cycle(FAMILIES)
        while len(rows) < number * PER_LEVEL:
            family = next(families)
            question = _unseen(rng, family, number, seen)
            if question is not None:
                seen.add(question)
                row = {"question": question, "answer": arithmetic.oracle.solve(question).answer, "level": number}
                rows.append({"id": f"arithmetic-{len(rows):04d}", **row, "family": family})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _unseen(rng: Random, family: str, number: int, seen: set[str]) -> str | None:
    for _ in range(TRIES):
        question = draw(rng, family)
        if is_held_out(question) and question not in seen and level(question) == number:
            return question
    return None
