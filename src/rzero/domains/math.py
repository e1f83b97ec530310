"""Competition mathematics: the paper's domain, with prompts in our own words."""

from __future__ import annotations

from dataclasses import dataclass

from rzero.domains.base import Oracle
from rzero.domains.boxed import TaggedAndBoxed
from rzero.domains.tags import CLOSE, OPEN
from rzero.types import Message, Prompt

CHALLENGER_SYSTEM = (
    "You invent problems for a mathematics competition. A good problem is new, needs several steps of real thought, "
    "can be "
    "understood from its text alone, and has exactly one answer: a number or a short expression. Draw on any field: "
    "algebra, number theory, geometry, combinatorics, probability, analysis. Aim at the limit of what a strong "
    "student can "
    "solve, neither routine nor out of reach."
)
CHALLENGER_USER = (
    f"Invent one problem. Think it through first if you like, then write the whole problem, without its solution, "
    f"between {OPEN} and {CLOSE}."
)
SOLVER_SYSTEM = "Work through the problem step by step. Finish with the final answer, alone, inside \\boxed{}."


@dataclass(frozen=True)
class Math(TaggedAndBoxed):
    """Problems whose answer is a number or an expression in a box."""

    name: str = "math"
    oracle: Oracle | None = None

    def challenger_prompt(self) -> Prompt:
        """Asks for one competition problem between question tags."""
        return Prompt(messages=(Message("system", CHALLENGER_SYSTEM), Message("user", CHALLENGER_USER)), stop=(CLOSE,))

    def solver_prompt(self, question: str) -> Prompt:
        """Asks for step-by-step work that ends in a boxed answer."""
        return Prompt(messages=(Message("system", SOLVER_SYSTEM), Message("user", question)))


math = Math()
