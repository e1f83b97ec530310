from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a checkpoint directory of the named architecture."""
    from tiny_checkpoint import make_checkpoint

    return lambda architecture, **options: make_checkpoint(
        tmp_path_factory.mktemp(architecture), architecture, **options
    )


@pytest.fixture(scope="session")
def llama(checkpoint: Callable[..., Path]) -> Path:
    """One shared checkpoint, for tests that only read it or copy it first."""
    return checkpoint("llama", tie_word_embeddings=False)
