r"""Whole-number arithmetic in a closed grammar, with an exact oracle: the domain of the bundled micro model.

The format check looks at the tags alone. Whether a question has an answer is for the votes to find out
(``vote.min_valid_frac``); the oracle knows, and is only measured with.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rzero.domains.arithmetic.oracle import ArithmeticOracle, is_held_out, level
from rzero.domains.base import Oracle
from rzero.domains.boxed import TaggedAndBoxed
from rzero.domains.tags import CLOSE, OPEN
from rzero.types import Message, Prompt

__all__ = ["Arithmetic", "arithmetic", "is_held_out", "level"]

CHALLENGER_SYSTEM = (
    "You are the Challenger. Write one question of whole-number arithmetic, such as 12+34, (7+26)*3, 100 mod 7, "
    f"x+17=45 or a short story with a number for its answer, between {OPEN} and {CLOSE}."
)
CHALLENGER_USER = "Write one question."
SOLVER_SYSTEM = "You are the Solver. Work out the answer, a whole number, step by step, and put it in \\boxed{}."


@dataclass(frozen=True)
class Arithmetic(TaggedAndBoxed):
    """Questions such as ``12+34``, ``3*x+5=2*x+40`` or ``Tom has 12 apples, buys 7. How many now?``."""

    name: str = "arithmetic"
    oracle: Oracle = field(default_factory=ArithmeticOracle)

    def challenger_prompt(self) -> Prompt:
        """Asks for one question between tags. The micro model's chat template goes by the word Challenger."""
        return Prompt(messages=(Message("system", CHALLENGER_SYSTEM), Message("user", CHALLENGER_USER)), stop=(CLOSE,))

    def solver_prompt(self, question: str) -> Prompt:
        """Asks for step-by-step work that ends in a boxed whole number."""
        return Prompt(messages=(Message("system", SOLVER_SYSTEM), Message("user", question)))


arithmetic = Arithmetic()
