"""One process at a time in a directory: a lock that the operating system lets go of, however the process ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rzero.errors import RunDirectoryError

LOCK = ".lock"


@contextmanager
def lock(directory: Path) -> Iterator[bool]:
    """Yields whether the lock is ours; if not, another process has it. Makes the directory.

    Raises RunDirectoryError if the directory cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = open(directory / LOCK, "w")  # noqa: SIM115
    except OSError as error:
        raise RunDirectoryError(
            f"{directory} cannot be written: {error.strerror}; choose another --out or correct its permissions"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def in_use(place: Path | str) -> RunDirectoryError:
    """What a process is told that cannot have the lock of ``place``."""
    return RunDirectoryError(
        f"{place} is in use by another rzero process; wait for it, or end it and run the same command again"
    )
