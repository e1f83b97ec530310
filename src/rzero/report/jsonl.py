"""Rows of large files, one at a time: votes and rollouts of a large run do not fit into memory at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rzero.errors import RunDirectoryError


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of ``path``, none if there is no such file. Raises RunDirectoryError if a line is not JSON."""
    if not path.exists():
        return
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            for line in file:
                if line.strip():
                    yield json.loads(line)
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"{path} cannot be read as JSON lines ({error}); restore it from a copy") from None
