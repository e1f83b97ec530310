"""Which pages of the key-value cache are free, and how far the cache may grow."""

from __future__ import annotations

from collections.abc import Iterable


class OutOfPagesError(Exception):
    """The cache holds all it may; whoever asked has to give something up."""


class Pages:
    """Page numbers 0, 1, ... below ``limit``; ``capacity`` of them exist so far."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.capacity = 0
        self._free: list[int] = []

    @property
    def available(self) -> int:
        """Pages that :meth:`take` can still give."""
        return len(self._free) + self.limit - self.capacity

    def take(self, count: int) -> list[int]:
        """``count`` pages, those used last first; raises OutOfPagesError, taking none, if there are not so many."""
        if count > self.available:
            raise OutOfPagesError
        if count > len(self._free):
            wanted = self.capacity + count - len(self._free)
            capacity = min(self.limit, max(wanted, self.capacity + self.capacity // 2))
            self._free = [*range(capacity - 1, self.capacity - 1, -1), *self._free]
            self.capacity = capacity
        taken = self._free[len(self._free) - count :]
        del self._free[len(self._free) - count :]
        return taken[::-1]

    def reserve(self) -> None:
        """Let all pages exist from now on, so that what is kept in them need not grow."""
        self.give_back(self.take(self.available))

    def give_back(self, pages: Iterable[int]) -> None:
        """Free ``pages``."""
        self._free.extend(pages)
