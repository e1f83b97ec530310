"""A pool of killable worker processes.

Workers are plain child processes that speak over pipes, not a multiprocessing pool: spawning through multiprocessing
runs the user's main script again in every worker, which costs its imports and fails where that script has no main guard
or comes from stdin. A worker that hangs ends itself (:mod:`rzero.grading.worker`); the next task gets a new one.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence

from rzero.errors import EngineError

Task = tuple[str, ...]
"""(name of a function in :data:`rzero.grading.worker.TASKS`, argument, ...)"""

_START = "import sys; sys.path[:] = sys.argv[2:]; from rzero.grading.worker import serve; serve(float(sys.argv[1]))"


class WorkerPool:
    """Runs tasks in up to ``workers`` processes, each task for at most ``timeout_s`` seconds of wall-clock time."""

    def __init__(self, *, timeout_s: float, workers: int) -> None:
        self.killed = 0
        self._workers = [_Worker(timeout_s) for _ in range(workers)]
        self._lock = threading.Lock()

    def run(self, tasks: Sequence[Task]) -> list[bool | None]:
        """What each task returned, in order; None where it took too long or its worker died.

        May be called from any thread. Raises EngineError if a worker cannot be started.
        """
        results: list[bool | None] = [None] * len(tasks)
        todo: queue.SimpleQueue[int] = queue.SimpleQueue()
        for index in range(len(tasks)):
            todo.put(index)
        errors: list[BaseException] = []

        def drain(worker: _Worker) -> None:
            try:
                while not errors:
                    index = todo.get_nowait()
                    results[index] = worker.ask(tasks[index])
            except queue.Empty:
                return
            except BaseException as error:
                worker.close()
                errors.append(error)

        with self._lock:
            before = sum(worker.deaths for worker in self._workers)
            helpers = [
                threading.Thread(target=drain, args=(worker,), daemon=True) for worker in self._workers[1 : len(tasks)]
            ]
            for helper in helpers:
                helper.start()
            drain(self._workers[0])
            for helper in helpers:
                helper.join()
            self.killed += sum(worker.deaths for worker in self._workers) - before
        if errors:
            raise errors[0]
        return results

    def close(self) -> None:
        """Ends all workers; a later :meth:`run` starts new ones."""
        with self._lock:
            for worker in self._workers:
                worker.close()


class _Worker:
    """One child process, started at the first task and again after its death."""

    def __init__(self, timeout_s: float) -> None:
        self.deaths = 0
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[str] | None = None

    def ask(self, task: Task) -> bool | None:
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        reply = ""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
            reply = process.stdout.readline()
        if reply:
            return json.loads(reply)
        self.close()
        self.deaths += 1
        return None

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "ignore", "-c", _START, str(self._timeout_s), *sys.path]
        # A fixed hash seed: the order in which sympy tries things, and with it a verdict at the limit, repeats.
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        self._process = process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            encoding="utf-8",
        )
        assert process.stdout is not None
        if not process.stdout.readline():
            self.close()
            raise EngineError(
                f"a grading worker ended with exit code {process.returncode} before its first task, so no answer can "
                f"be compared; `{sys.executable} -c 'import rzero.grading.worker, math_verify'` shows why"
            )
        return process

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
