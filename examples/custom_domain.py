r"""A domain of your own: one operation on two numbers, such as ``47*36``, and a run of R-Zero on it.

The bundled micro model knows longer questions too; the format check below takes only these, so that the Challenger has
to find out what this domain wants. With another model::

    python examples/custom_domain.py --model path/to/model --out runs/two-numbers
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, field
from importlib import resources

import rzero
from rzero.domains import Oracle, Truth
from rzero.domains.tags import CLOSE, OPEN, parse_tagged
from rzero.grading.extract import last_boxed
from rzero.types import Message, ParsedQuestion, Prompt

QUESTION = re.compile(r"([0-9]{1,4})([-+*])([0-9]{1,4})")


class TwoNumbersOracle:
    """True answers. A domain can do without: then ``oracle`` is None and label accuracy is not measured."""

    def solve(self, question: str) -> Truth:
        """The true answer, or why there is none."""
        match = QUESTION.fullmatch(question)
        if match is None:
            return Truth(answer=None, problem="not one operation on two numbers")
        left, right = int(match[1]), int(match[3])
        return Truth(answer=str({"+": left + right, "-": left - right, "*": left * right}[match[2]]))

    def difficulty(self, question: str) -> float | None:
        """How many digits one works on."""
        match = QUESTION.fullmatch(question)
        if match is None:
            return None
        left, right = len(match[1]), len(match[3])
        return float(left * right if match[2] == "*" else max(left, right))


@dataclass(frozen=True)
class TwoNumbers:
    """What :class:`rzero.domains.Domain` asks for; see ``docs/domains.md``."""

    name: str = "two_numbers"
    oracle: Oracle = field(default_factory=TwoNumbersOracle)

    def challenger_prompt(self) -> Prompt:
        """Asks for one question between tags."""
        system = f"You are the Challenger. Write one sum or product of two numbers between {OPEN} and {CLOSE}."
        return Prompt(messages=(Message("system", system), Message("user", "Write one question.")), stop=(CLOSE,))

    def solver_prompt(self, question: str) -> Prompt:
        """Asks for the answer in a box."""
        system = "You are the Solver. Work out the answer and put it in \\boxed{}."
        return Prompt(messages=(Message("system", system), Message("user", question)))

    def parse_question(self, completion: str) -> ParsedQuestion:
        """The format check: tags, and one operation on two numbers between them."""
        parsed = parse_tagged(completion)
        if parsed.text is not None and not QUESTION.fullmatch(parsed.text):
            return ParsedQuestion(text=None, problem="not one operation on two numbers")
        return parsed

    def extract_answer(self, completion: str) -> str | None:
        """The last balanced box."""
        return last_boxed(completion)


two_numbers = TwoNumbers()

TINY_RUN = {
    "domain": "custom_domain:two_numbers",
    "iterations": 1,
    "engine.threads": 1,
    "challenger.steps": 2,
    "challenger.prompts_per_step": 1,
    "challenger.group_size": 32,
    "challenger.updates_per_step": 1,
    "challenger.learning_rate": 3e-4,
    "challenger.max_new_tokens": 48,
    "generate.num_questions": 100,
    "vote.num_votes": 6,
    "vote.max_new_tokens": 100,
    "solver.steps": 2,
    "solver.prompts_per_step": 4,
    "solver.group_size": 8,
    "solver.updates_per_step": 1,
    "solver.learning_rate": 3e-4,
    "solver.max_new_tokens": 100,
    "evaluate.max_new_tokens": 100,
}
"""Enough to see the machinery at work; a real run wants the sizes of a preset."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Run R-Zero on the two-number domain.")
    parser.add_argument("--model", default=str(resources.files("rzero") / "models" / "micro"))
    parser.add_argument("--out", default="runs/two-numbers")
    values = parser.parse_args()
    rzero.run(rzero.load("paper", {**TINY_RUN, "model.path": values.model}), values.out)


if __name__ == "__main__":
    main()
