"""The arithmetic domain, in a process that kills itself with SIGKILL at a chosen moment.

Loaded by the command line through ``--domain killer_domain:domain``; the moment comes from the environment:

* ``KILL_AT_CALL=parse_question:20``: at the 20th call of that method in this process;
* ``KILL_AT_PATH=**/.tmp-step_0002``: as soon as that path exists, which is in the middle of a save.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

from rzero.domains.arithmetic import Arithmetic
from rzero.types import ParsedQuestion, Prompt

CALLS: Counter[str] = Counter()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def called(method: str) -> None:
    CALLS[method] += 1
    if os.environ.get("KILL_AT_CALL") == f"{method}:{CALLS[method]}":
        die()


class KillerDomain(Arithmetic):
    def parse_question(self, completion: str) -> ParsedQuestion:
        called("parse_question")
        return super().parse_question(completion)

    def solver_prompt(self, question: str) -> Prompt:
        called("solver_prompt")
        return super().solver_prompt(question)

    def extract_answer(self, completion: str) -> str | None:
        called("extract_answer")
        return super().extract_answer(completion)


def watch(root: Path, pattern: str) -> None:
    while True:
        if next(root.glob(pattern), None):
            die()
        time.sleep(0.0005)


if "KILL_AT_PATH" in os.environ:
    watched = (Path(os.environ["KILL_ROOT"]), os.environ["KILL_AT_PATH"])
    threading.Thread(target=watch, args=watched, daemon=True).start()

domain = KillerDomain()
