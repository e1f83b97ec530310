"""True answers from a stronger model behind an OpenAI-compatible server, for domains without an oracle.

The judge is asked to solve the question, greedily, and the box of its reply is the truth. It is not shown the
pseudo-label, so it cannot be talked into it. What it says is an opinion: figures against a judge are named by
its model.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from rzero.domains.base import Truth
from rzero.errors import ConfigError, EngineError
from rzero.grading.extract import last_boxed

INSTRUCTION = (
    "Solve the problem. Put the final answer, alone, in \\boxed{}. If it has no answer, or more than one, write "
    "\\boxed{none}."
)
API_KEY = "RZERO_JUDGE_API_KEY"
"""The environment variable with the server's key, where it wants one."""


@dataclass(kw_only=True)
class Judge:
    """An :class:`~rzero.domains.base.Oracle` that asks a server. ``url`` ends before ``/chat/completions``.

    Answers are remembered. Raises EngineError, naming the server and the reason, if it cannot be reached or does not
    reply as such a server should.
    """

    url: str
    model: str
    timeout_s: float = 120.0
    parallel: int = 8
    _known: dict[str, Truth] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ConfigError(f"judge {self.url!r} is not an address; give one such as http://127.0.0.1:8000/v1")

    def ask_all(self, questions: Iterable[str]) -> None:
        """Ask several at a time; :meth:`solve` then has their answers."""
        new = [question for question in dict.fromkeys(questions) if question not in self._known]
        with ThreadPoolExecutor(self.parallel) as pool:
            self._known.update(zip(new, pool.map(self._ask, new), strict=True))

    def solve(self, question: str) -> Truth:
        """What the judge answers; a problem if it finds none, or puts none in a box."""
        self.ask_all([question])
        return self._known[question]

    def difficulty(self, question: str) -> float | None:
        """A judge does not say how hard a question is."""
        return None

    def _ask(self, question: str) -> Truth:
        messages = [{"role": "user", "content": f"{question}\n\n{INSTRUCTION}"}]
        reply = self._post({"model": self.model, "messages": messages, "temperature": 0})
        try:
            text = reply["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            raise EngineError(
                f"judge {self.url}: the reply holds no message; give an OpenAI-compatible server"
            ) from None
        answer = last_boxed(text or "")
        if answer is None:
            return Truth(answer=None, problem="no answer of the judge")
        if answer.casefold() in ("none", "\\text{none}"):
            return Truth(answer=None, problem="ill-posed to the judge")
        return Truth(answer=answer)

    def _post(self, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(API_KEY):
            headers["Authorization"] = f"Bearer {key}"
        address = f"{self.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            reason = f"it answers {error.code} {error.reason}"
        except (OSError, ValueError) as error:
            reason = str(getattr(error, "reason", error))
        raise EngineError(
            f"judge {address} cannot be used: {reason}; check the address, that the server runs, the model "
            f"{self.model!r}, and {API_KEY} if it wants a key"
        )
