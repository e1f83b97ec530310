"""One engine in a process of its own, so that engines share neither memory nor libraries and can take turns."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

BENCH = Path(__file__).parents[1]


class EngineFailed(Exception):
    """An engine's process raised an error or ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command returned, how many ``seconds`` it took inside the engine's process, and the peak memory so far."""

    result: Any
    seconds: float
    peak_bytes: int


class Worker:
    """The process of one engine: the module ``engines.<module>`` under the interpreter ``python``.

    ``environment`` is added to this process's own. Requests and answers are lines of JSON. The process starts at once
    and works on a request as soon as it is sent; :meth:`send` and :meth:`receive` let several engines start together.
    """

    def __init__(self, module: str, *, python: Path, environment: dict[str, str]) -> None:
        self.name = module
        self._log: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        self._process = subprocess.Popen(
            [python, "-m", f"engines.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=BENCH,
            env=os.environ | environment,
        )

    def call(self, command: str, **arguments: Any) -> Answer:
        """Send a request and wait for its answer. Raises EngineFailed with the engine's own last words."""
        self.send(command, **arguments)
        return self.receive()

    def send(self, command: str, **arguments: Any) -> None:
        """Send a request without waiting."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"command": command, "arguments": arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failed() from None

    def receive(self) -> Answer:
        """Wait for the answer to the oldest request that has none yet."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failed()
        answer = json.loads(line)
        if "error" in answer:
            raise EngineFailed(f"{self.name}: {answer['error']}")
        return Answer(**answer)

    def close(self) -> None:
        """End the process: its input ends, and if that does not end it, it is killed."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it may have ended, with a request unread
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def _failed(self) -> EngineFailed:
        time.sleep(0.1)  # the last words are on their way
        self._log.seek(0)
        words = self._log.read().decode("utf-8", "replace")[-2000:]
        return EngineFailed(f"{self.name}: its process ended with status {self._process.poll()}:\n{words}")
