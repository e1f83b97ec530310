"""Grading while the engine samples: verdicts that will be asked for are fetched from the workers beforehand.

The calls that come after sampling (:meth:`Grader.grade_many`, :meth:`Grader.classes_many`) stay as they are and find
the verdicts remembered, so their results are the same with and without this. What is decided without a worker is left
to them: it takes microseconds.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence

from rzero.errors import EngineError
from rzero.grading.grader import Grader, need_worker, needs_worker

BATCH = 32

_Job = tuple[str, str] | list[str | None]
"""An answer with its gold, or the answers to one question so far."""


class GradingAhead:
    """Takes what has come and returns at once; a thread asks the workers. See :func:`grading_ahead`."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()

    def grade(self, answer: str | None, gold: str) -> None:
        """``Grader.grade(answer=answer, gold=gold)`` will be asked for."""
        if answer is not None and needs_worker(answer, gold):
            self._jobs.put((answer, gold))

    def classes(self, answers: Sequence[str | None]) -> None:
        """``Grader.classes_many`` will be asked for these answers to a question, and perhaps more."""
        if need_worker(answers):
            self._jobs.put(list(answers))

    def run(self, grader: Grader, closed: threading.Event) -> None:
        """Work until ``closed``, which needs one more :meth:`wake`."""
        while not closed.is_set():
            jobs = [self._jobs.get()]
            with contextlib.suppress(queue.Empty):
                while len(jobs) < BATCH:
                    jobs.append(self._jobs.get_nowait())
            if closed.is_set():
                return
            grader.grade_many([job for job in jobs if isinstance(job, tuple)])
            grader.classes_many([job for job in jobs if isinstance(job, list)])

    def wake(self) -> None:
        """Let :meth:`run` look whether it is over."""
        self._jobs.put(None)


@contextlib.contextmanager
def grading_ahead(grader: Grader) -> Iterator[GradingAhead]:
    """Grades in the background inside the block. What is not done at its end is left to the calls that ask for it."""
    ahead, closed = GradingAhead(), threading.Event()

    def work() -> None:
        # A worker that cannot start is told of by the call that needs the verdict.
        with contextlib.suppress(EngineError):
            ahead.run(grader, closed)

    thread = threading.Thread(target=work, name="grading ahead", daemon=True)
    thread.start()
    try:
        yield ahead
    finally:
        closed.set()
        ahead.wake()
        thread.join()
