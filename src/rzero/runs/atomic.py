"""Writing that either happens whole or not at all: temporary name, fsync, rename.

A kill at any moment leaves the old file or the new one, never half of one; a directory may then be absent, never half.
A full disk raises DiskFullError and leaves what was there before.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rzero.errors import DiskFullError, RunDirectoryError

TEMPORARY_PREFIX = ".tmp-"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_RESERVE_BYTES = 64 * 2**20


@contextmanager
def replace_directory(path: Path, *, expected_bytes: int = 0) -> Iterator[Path]:
    """Yields a temporary directory to fill; on success it becomes ``path``, on failure it is removed.

    Raises DiskFullError before anything is written if ``expected_bytes`` do not fit, or when the disk fills up on the
    way.
    """
    require_space(path.parent, expected_bytes)
    temporary = path.parent / f"{TEMPORARY_PREFIX}{path.name}"
    with _explained(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            for file in sorted(temporary.rglob("*")):
                if file.is_file():
                    _sync(file)
            _sync(temporary)
            if path.exists():
                shutil.rmtree(path)
            temporary.rename(path)
            _sync(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Write a whole text file (UTF-8; lone surrogates, which a model may produce, are escaped)."""
    temporary = path.parent / f"{TEMPORARY_PREFIX}{path.name}"
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any) -> None:
    """One indented JSON document."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_json(path: Path) -> Any:
    """The document in ``path``. Raises RunDirectoryError if it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunDirectoryError(
            f"{path} cannot be read as JSON ({error}); it belongs to the run, so restore it or start again in another "
            f"directory"
        ) from None


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The rows in ``path``. Raises RunDirectoryError if it is missing or a line is not JSON."""
    try:
        # Not splitlines(): model-written text may hold U+2028 and its like, which JSON leaves as they are.
        lines = path.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines if line]
    except (OSError, ValueError) as error:
        raise RunDirectoryError(
            f"{path} cannot be read as JSON lines ({error}); it belongs to the run, so restore it or start again "
            f"elsewhere"
        ) from None


def require_space(directory: Path, expected_bytes: int) -> None:
    """Raises DiskFullError unless ``expected_bytes`` and a small reserve are free where ``directory`` lies."""
    place = directory
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    needed = expected_bytes + _RESERVE_BYTES
    if free < needed:
        raise DiskFullError(
            f"{place}: {_size(free)} are free but {_size(needed)} are needed for the next save; the last save is "
            "intact. Free some space and run the same command again"
        )


def _size(num_bytes: int) -> str:
    """Bytes in words.

    >>> _size(70 * 2**20), _size(3 * 2**30)
    ('70 MiB', '3.00 GiB')
    """
    return f"{num_bytes / 2**30:.2f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns an operating system's refusal into one of our errors."""
    try:
        yield
    except OSError as error:
        if isinstance(error, (DiskFullError, RunDirectoryError)):
            raise
        raise _refused(path, error) from error
    except Exception as error:
        # safetensors reports a full disk through an exception of its own, which only its text tells from others.
        if any(os.strerror(code) in str(error) for code in _NO_ROOM):
            raise _refused(path, OSError(errno.ENOSPC, str(error))) from error
        raise


def _refused(path: Path, error: OSError) -> DiskFullError | RunDirectoryError:
    if error.errno in _NO_ROOM:
        return DiskFullError(
            f"{path} could not be saved: {error.strerror}; the last save is intact. Free some space and run the same "
            f"command again"
        )
    return RunDirectoryError(
        f"{path} cannot be written: {error.strerror or error}; choose another --out or correct its permissions"
    )
