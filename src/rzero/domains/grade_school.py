"""Short arithmetic word problems, for language models of a few hundred million parameters.

Such a model cannot set a competition problem, and follows an instruction less well than an example. So each prompt
shows what is wanted by turns of our own, which are format only: the questions in them are refused by the format check.
"""

from __future__ import annotations

from dataclasses import dataclass

from rzero.domains.base import Oracle
from rzero.domains.boxed import TaggedAndBoxed
from rzero.domains.tags import CLOSE, OPEN
from rzero.types import Message, ParsedQuestion, Prompt

CHALLENGER_SYSTEM = (
    "You write short arithmetic word problems. Each uses a few whole numbers, can be solved in one to three steps, "
    "and has "
    "exactly one answer, which is a number."
)
CHALLENGER_USER = f"Write a new problem between {OPEN} and {CLOSE}."
SOLVER_SYSTEM = "You solve arithmetic problems in a few short steps and end with the answer, a number, in \\boxed{}."

EXAMPLES = (
    (
        "Mia has 14 stickers. She gives 5 to her brother and buys 8 more. How many stickers does she have now?",
        "She keeps 14 - 5 = 9 stickers. After buying 8 more she has 9 + 8 = 17 stickers. The answer is \\boxed{17}.",
    ),
    (
        "A baker packs 6 rolls in each bag. He fills 7 bags and 4 rolls are left over. How many rolls did he bake?",
        "The bags hold 6 * 7 = 42 rolls. With the 4 left over he baked 42 + 4 = 46 rolls. The answer is \\boxed{46}.",
    ),
)


@dataclass(frozen=True)
class GradeSchool(TaggedAndBoxed):
    """Word problems with a number as answer."""

    name: str = "grade_school"
    oracle: Oracle | None = None

    def challenger_prompt(self) -> Prompt:
        """Asks for one word problem, with two earlier turns as examples; the opening tag is given."""
        turns = [Message("system", CHALLENGER_SYSTEM)]
        for question, _ in EXAMPLES:
            turns += [Message("user", CHALLENGER_USER), Message("assistant", f"{OPEN}{question}{CLOSE}")]
        turns.append(Message("user", CHALLENGER_USER))
        return Prompt(messages=tuple(turns), prefill=OPEN, stop=(CLOSE,))

    def solver_prompt(self, question: str) -> Prompt:
        """Asks for a few steps and a boxed number, with one earlier turn as an example."""
        example, solution = EXAMPLES[0]
        turns = (Message("user", example), Message("assistant", solution), Message("user", question))
        return Prompt(messages=(Message("system", SOLVER_SYSTEM), *turns))

    def parse_question(self, completion: str) -> ParsedQuestion:
        """The last block between question tags, unless it repeats an example of the prompt."""
        parsed = super().parse_question(completion)
        if parsed.text is None:
            return parsed
        if any(parsed.text.casefold() == question.casefold() for question, _ in EXAMPLES):
            return ParsedQuestion(text=None, problem="copy of an example")
        return parsed


grade_school = GradeSchool()
