"""The inside of an engine's process: reads requests as lines of JSON, answers each with one line.

Libraries print what they like, so the answers have a descriptor of their own, and what anybody writes to standard
output ends up in the log with standard error.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any


def serve(commands: Mapping[str, Callable[..., Any]]) -> None:
    """Answer requests until standard input ends.

    A request is ``{"command": name, "arguments": {...}}``. The answer holds ``result``, the ``seconds`` that the
    command took and ``peak_bytes``, the process's peak resident memory so far; or ``error``, a traceback.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        started = time.perf_counter()
        try:
            answer: dict[str, Any] = {"result": commands[request["command"]](**request["arguments"])}
        except Exception:  # whatever an engine raises is told to the benchmark, which ends with it
            answer = {"error": traceback.format_exc()}
        answer |= {"seconds": time.perf_counter() - started, "peak_bytes": peak_bytes()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def peak_bytes() -> int:
    """Peak resident memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
