"""Files at a URL, through fsspec: listed, read, sent, fetched and removed, with patience and in our own errors.

Names are relative to the URL. A file that is sent is there whole or not at all: object stores do so by themselves;
where a file system can rename, the file is sent under a temporary name first.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rzero.errors import ConfigError, MissingExtraError, RunDirectoryError
from rzero.runs.atomic import TEMPORARY_PREFIX

_T = TypeVar("_T")
PAUSES_S = (1.0, 4.0, 15.0, 40.0)
"""Between attempts at what failed; the first contact is not tried again."""
_AT_ONCE = 32  # files in one call: many for stores that take them side by side, few to do again after a failure
_FINAL = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, NotImplementedError, ValueError)
_PACKAGES = {"smbclient": "smbprotocol"}  # where pip knows it by another name than Python


@dataclass(frozen=True, slots=True)
class Listed:
    """A file at the URL; ``version`` changes when its content does."""

    size: int
    version: str


class Remote:
    """The files below ``url``. All methods raise RunDirectoryError for what the other side refuses, ConfigError for a
    URL of no known kind, MissingExtraError without the package for it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._system: Any = None
        self._root = ""
        self._made: set[str] = set()

    def listing(self) -> dict[str, Listed]:
        """All files, by name."""

        def find(system: Any) -> dict[str, Any]:
            # What cannot be listed would else be left out without a word.
            strict = {} if system.async_impl else {"on_error": "raise"}
            try:
                return system.find(self._root, detail=True, **strict)
            except FileNotFoundError:
                return {}

        found = self._steadily("listed", find, pauses=())
        if found.get(self._root, {}).get("size"):  # an empty one may stand for the directory
            raise RunDirectoryError(f"{self.url} is a file, but a run needs a directory; choose another --out")
        start = self._at("")
        return {
            name.removeprefix(start): Listed(int(info["size"] or 0), _version(info))
            for name, info in found.items()
            if name.startswith(start) and name != start
        }

    def read(self, name: str) -> str | None:
        """A small text file; None if there is none."""

        def cat(system: Any) -> str | None:
            try:
                return system.cat_file(self._at(name)).decode()
            except FileNotFoundError:
                return None

        return self._steadily("read", cat)

    def send(self, root: Path, names: Sequence[str]) -> None:
        """Files below ``root``, put in the place of those that are there."""
        for some in _parts(names):
            self._steadily("written", lambda system, some=some: self._put(system, root, some))

    def fetch(self, root: Path, names: Sequence[str]) -> None:
        """Files to below ``root``."""
        for some in _parts(names):
            targets = [root / name for name in some]
            for target in targets:
                target.parent.mkdir(parents=True, exist_ok=True)
            here, there = [str(target) for target in targets], [self._at(name) for name in some]
            self._steadily("read", lambda system, here=here, there=there: system.get(there, here))

    def remove(self, names: Sequence[str]) -> None:
        """Files, which may be gone already."""

        def rm(system: Any, name: str) -> None:
            with suppress(FileNotFoundError):  # an attempt before may have done it without our hearing of it
                system.rm_file(self._at(name))

        for name in names:
            self._steadily("written", lambda system, name=name: rm(system, name))

    def _put(self, system: Any, root: Path, names: Sequence[str]) -> None:
        from fsspec.spec import AbstractFileSystem

        if type(system).mv is AbstractFileSystem.mv:  # it would copy and remove
            system.put([str(root / name) for name in names], [self._at(name) for name in names])
            return
        for name in names:
            folder, _, last = self._at(name).rpartition("/")
            if folder not in self._made:
                system.makedirs(folder, exist_ok=True)
                self._made.add(folder)
            system.put_file(str(root / name), f"{folder}/{TEMPORARY_PREFIX}{last}")
            system.mv(f"{folder}/{TEMPORARY_PREFIX}{last}", f"{folder}/{last}")

    def _at(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _steadily(self, what: str, act: Callable[[Any], _T], *, pauses: Sequence[float] | None = None) -> _T:
        for pause in (*(PAUSES_S if pauses is None else pauses), None):
            try:
                return act(self._open())
            except (MissingExtraError, ConfigError):
                raise
            except Exception as error:  # every file system has errors of its own
                if pause is None or isinstance(error, _FINAL):
                    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                    raise RunDirectoryError(
                        f"{self.url} cannot be {what} ({' '.join(reason.split())}); see that the address, the network "
                        "and the permissions are right, and run the same command again"
                    ) from error
                self._system = None  # a connection that broke is of no more use
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _open(self) -> Any:
        if self._system is None:
            self._made.clear()
            self._system, self._root = _open(self.url)
            self._system.invalidate_cache()
        return self._system


def _open(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import split_protocol, url_to_fs
        from fsspec.registry import get_filesystem_class
    except ImportError:
        raise MissingExtraError(f'{url} needs the package fsspec; run: pip install "rzero[remote]"') from None
    protocol = split_protocol(url)[0] or ""
    try:
        get_filesystem_class(protocol.split("::")[0])
    except ValueError:
        raise ConfigError(f"{url}: {protocol!r} is no kind of URL that fsspec knows; look for a typing error") from None
    except ImportError as error:
        missing = getattr(error.__cause__, "name", None) or protocol
        package = missing.split(".")[0]
        raise MissingExtraError(
            f"{protocol}:// needs the package {package}, which is not installed; run: pip install "
            f'"rzero[remote]" {_PACKAGES.get(package, package)}'
        ) from None
    return url_to_fs(url)


def _parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield names[start : start + _AT_ONCE]


def _version(info: dict[str, Any]) -> str:
    """Whatever is told of a file: time, size, tags."""
    return hashlib.sha256(str(sorted((name, str(value)) for name, value in info.items())).encode()).hexdigest()[:16]
