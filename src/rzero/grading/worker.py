"""The worker process: one comparison at a time, on its own clock and with bounded memory.

A worker ends itself when a comparison outlasts the limit, by faulthandler's watchdog: a C thread that needs neither the
interpreter lock nor the parent, so neither a long integer power nor a parent that was killed leaves it running.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import signal
import sys

from rzero.grading import symbolic

MEMORY_BYTES = 4 << 30

TASKS = {"matches": symbolic.matches, "equivalent": symbolic.equivalent, "probe": symbolic.probe}


def serve(timeout_s: float) -> None:
    """Answers requests ``[task, argument, ...]`` on stdin with ``true`` or ``false`` on stdout until stdin ends.

    One line of JSON each; the first line out is ``null``, once everything is imported. A task that takes ``timeout_s``
    seconds ends the process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; its end closes stdin
    logging.disable(logging.CRITICAL)
    _limit_memory()
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # what a library prints must not pass for a reply
        for warm_up in ("1", "\\frac{1}{2}", "\\sqrt{x}+1", "(1,2]", "1,2"):
            symbolic.equivalent(warm_up, "x^2")
        print("null", file=replies, flush=True)
        for line in sys.stdin:
            task, *arguments = json.loads(line)
            faulthandler.dump_traceback_later(timeout_s, exit=True, file=nowhere)
            try:
                reply = bool(TASKS[task](*arguments))
            except (ArithmeticError, MemoryError, RecursionError, TypeError, ValueError):
                reply = False
            finally:
                faulthandler.cancel_dump_traceback_later()
            print(json.dumps(reply), file=replies, flush=True)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not a POSIX system
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    with contextlib.suppress(OSError, ValueError):  # macOS knows the limit and refuses it
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
