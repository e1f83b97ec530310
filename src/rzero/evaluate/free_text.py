r"""Short free-text answers (BBH, BBEH): read and compared by the published rules of BBEH's authors.

Those are: the text behind "The answer is", in lower case, without LaTeX, emphasis and a final full stop; and equality
up to a bracketed letter, quotation marks, square brackets, a question mark, or the spelling of a number. A box, which
their prompt does not ask for, counts before that text.
"""

from __future__ import annotations

import re

from rzero.grading.extract import last_boxed

INSTRUCTION = "Work step by step if it helps. Put the final answer, alone, in \\boxed{}."

_PREFIX = re.compile(r"the (?:final )?answer is:?", re.IGNORECASE)
_COMMAND = re.compile(r"\\(?:text|texttt|boxed|mathrm|mathbf)\s*\{([^{}]*)\}")


def read(completion: str) -> str | None:
    r"""The final answer in a completion: the last box, else the line that follows the last "The answer is".

    >>> read("So \\boxed{\\text{(B)}}."), read("The answer is: **No**.\nBye"), read("I do not know.")
    ('(b)', 'no', None)
    """
    answer = last_boxed(completion)
    if answer is None:
        marks = list(_PREFIX.finditer(completion))
        if not marks:
            return None
        answer = completion[marks[-1].end() :].strip().partition("\n")[0]
    return _clean(answer) or None


def same(answer: str, gold: str) -> bool:
    """Whether two answers are the same text, by the rules above.

    >>> same("(a)", "A"), same("4.0", "4"), same("['x', 'y']", "'x','y'"), same("yes", "no")
    (True, True, True, False)
    """
    a, b = _clean(answer), _clean(gold)
    if a == b or _inner(a) == _inner(b):
        return True
    try:
        return float(a) == float(b)
    except ValueError:
        return False


def _clean(text: str) -> str:
    text = _COMMAND.sub(r"\1", text.strip().strip("$")).replace("**", "").lower()
    return text.replace(", ", ",").strip().removesuffix(".").strip()


def _inner(text: str) -> str:
    """The text without what may stand around it: (a), [..], quotation marks, a question mark."""
    text = text.replace("'", "").replace('"', "").removesuffix("?").strip()
    if re.fullmatch(r"\(\w\)|\[.*\]", text, re.DOTALL):
        text = text[1:-1].strip()
    return text
