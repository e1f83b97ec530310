"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rzero import config
from rzero.models.resolve import BUNDLED, resolve

# Small models gain nothing from more threads, and a fixed number makes byte comparisons mean something.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TINY = {
    "iterations": 2,
    "engine.threads": 1,
    "challenger.steps": 2,
    "challenger.group_size": 16,
    "generate.num_questions": 60,
    "generate.questions_per_part": 25,
    "vote.num_votes": 6,
    "solver.steps": 2,
    "solver.prompts_per_step": 6,
    "solver.group_size": 6,
    "evaluate.limit": 20,
    "checkpoint.every_steps": 1,
    "progress": "none",
}
"""Options that make a whole run of two iterations on the micro model take seconds."""


@pytest.fixture(scope="session")
def micro() -> Path:
    """The bundled micro model's directory."""
    return resolve(BUNDLED, store=Path())


@pytest.fixture
def tiny_config() -> config.Config:
    """The micro preset, shrunk."""
    return config.load("micro", TINY)
