"""Put functions of our own in the place of an object's methods, for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Loan = tuple[object, str, Callable[..., Any]]
"""An object, the name of one of its methods, and what is called instead."""


@contextmanager
def lent(loans: Sequence[Loan]) -> Iterator[None]:
    """Inside, the ``loans`` are in force; one at a time for each method.

    >>> class Greeting:
    ...     def text(self): return "hello"
    >>> greeting = Greeting()
    >>> with lent([(greeting, "text", lambda: "good evening")]): greeting.text()
    'good evening'
    >>> greeting.text()
    'hello'
    """
    # Past nn.Module's own setter, which looks for parameters and takes longer than some of the operations.
    for owner, name, function in loans:
        vars(owner)[name] = function
    try:
        yield
    finally:
        for owner, name, _ in loans:
            del vars(owner)[name]
