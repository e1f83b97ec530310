"""Two file systems that break: ``object://`` is a store of whole objects, ``share://`` a disk with renames.

After ``BREAK_AFTER`` operations that change something every further one fails; on a share the first of them leaves half
a file behind. Set it to None for a system that works.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem


class Breaking:
    operations = 0
    break_after: int | None = None

    @classmethod
    def fails(cls) -> bool:
        Breaking.operations += 1
        return Breaking.break_after is not None and Breaking.operations > Breaking.break_after

    @classmethod
    def operation(cls) -> None:
        if cls.fails():
            raise OSError("the other side has gone away")


class ObjectStore(MemoryFileSystem):
    protocol = "object"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("object://", "memory://"))

    def put_file(self, lpath: str, rpath: str, *args: Any, **kwargs: Any) -> None:
        Breaking.operation()
        super().put_file(lpath, rpath, *args, **kwargs)

    def rm_file(self, path: str) -> None:
        Breaking.operation()
        super().rm_file(path)


class Share(LocalFileSystem):
    protocol = "share"

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return super()._strip_protocol(str(path).removeprefix("share://"))

    def put_file(self, path1: str, path2: str, *args: Any, **kwargs: Any) -> None:
        if Breaking.fails():
            with open(path1, "rb") as source, open(path2, "wb") as target:
                target.write(source.read(os.path.getsize(path1) // 2))
            raise OSError("the other side has gone away")
        super().put_file(path1, path2, *args, **kwargs)

    def mv(self, path1: str, path2: str, *args: Any, **kwargs: Any) -> None:
        Breaking.operation()
        super().mv(path1, path2, *args, **kwargs)

    def rm_file(self, path: str) -> None:
        Breaking.operation()
        super().rm_file(path)


for system in (ObjectStore, Share):
    fsspec.register_implementation(system.protocol, system, clobber=True)


@contextmanager
def breaking(after: int | None) -> Iterator[None]:
    Breaking.operations, Breaking.break_after = 0, after
    try:
        yield
    finally:
        Breaking.break_after = None
