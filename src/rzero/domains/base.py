"""What a domain is: which questions there are, how they are asked for, and how answers are read.

A domain is any object with these members; it is named in the options by ``domain`` as ``math`` or
``package.module:name``. It knows nothing of models, files or engines. Two answers are compared by the one grader
(:mod:`rzero.grading`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rzero.types import ParsedQuestion, Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What an oracle says of a question: its true ``answer``, or the ``problem`` that makes it ill-posed."""

    answer: str | None
    problem: str | None = None


@runtime_checkable
class Oracle(Protocol):
    """True answers, for measuring only: nothing that an oracle says may reach a reward, a vote or the curriculum."""

    def solve(self, question: str) -> Truth:
        """The true answer to ``question``, or why there is none."""
        ...

    def difficulty(self, question: str) -> float | None:
        """A number that grows with the work that the question asks for; None where it cannot be told."""
        ...


@runtime_checkable
class Domain(Protocol):
    """The prompts, the question parser and the answer extractor of one kind of question."""

    @property
    def name(self) -> str:
        """A short word for logs and tables."""
        ...

    @property
    def oracle(self) -> Oracle | None:
        """True answers where the domain can compute them, else None."""
        ...

    def challenger_prompt(self) -> Prompt:
        """Asks the Challenger for one new question."""
        ...

    def solver_prompt(self, question: str) -> Prompt:
        """Asks the Solver to answer ``question``."""
        ...

    def parse_question(self, completion: str) -> ParsedQuestion:
        """The format check: the question in a Challenger completion (its prompt's prefill included), or what is
        wrong.
        """
        ...

    def extract_answer(self, completion: str) -> str | None:
        """The final answer in a Solver completion (its prompt's prefill included), or None."""
        ...
