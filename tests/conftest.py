"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from rzero import config
from rzero.models.resolve import BUNDLED, resolve
from tiny_run import TINY

# Small models gain nothing from more threads, and a fixed number makes byte comparisons mean something.
os.environ.setdefault("OMP_NUM_THREADS", "1")


# A busy machine says nothing of the code.
settings.register_profile("rzero", deadline=None)
settings.load_profile("rzero")


@pytest.fixture(scope="session")
def micro() -> Path:
    """The bundled micro model's directory."""
    return resolve(BUNDLED, store=Path())


@pytest.fixture
def tiny_config() -> config.Config:
    """The micro preset, shrunk."""
    return config.load("micro", TINY)
