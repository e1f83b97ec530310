r"""Multiple choice: how the options are shown, and which letter an answer names.

The official scripts take the first letter of the alphabet that occurs anywhere in the answer, and a random one where
none does. Here an answer names a letter or it does not, and chance is reported beside the accuracy.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

INSTRUCTION = "Put the letter of the one correct option, and nothing else, in \\boxed{}."

_WRAPPER = re.compile(r"\\(?:text|mathrm|textbf|mathbf|textit|mathit)\s*\{([^{}]*)\}")
_LETTER = re.compile(r"\(?([A-Z])\)?(?:[.):]\s.*)?", re.DOTALL)


def shown(question: str, choices: Sequence[str]) -> str:
    r"""The question with its options, one a line.

    >>> print(shown("Largest?", ["2", "3"]))
    Largest?
    <BLANKLINE>
    (A) 2
    (B) 3
    <BLANKLINE>
    Put the letter of the one correct option, and nothing else, in \boxed{}.
    """
    options = "\n".join(f"({letter}) {choice}" for letter, choice in zip(string.ascii_uppercase, choices, strict=False))
    return f"{question}\n\n{options}\n\n{INSTRUCTION}"


def letter(answer: str, choices: Sequence[str]) -> str | None:
    r"""The letter that a boxed answer names: alone, before its option's text, or by the text of just one option.

    >>> choices = ["2 cats", "3 dogs"]
    >>> [letter(answer, choices) for answer in ("B", "(A)", "\\text{B}", "A. 2 cats", "3 Dogs", "AB", "Because", "C")]
    ['B', 'A', 'B', 'A', 'B', None, None, None]
    """
    text = _WRAPPER.sub(r"\1", answer).strip().strip("$").strip().rstrip(".")
    found = _LETTER.fullmatch(text)
    if found is not None:
        return found[1] if found[1] in string.ascii_uppercase[: len(choices)] else None
    same = [index for index, choice in enumerate(choices) if _plain(choice) == _plain(text)]
    return string.ascii_uppercase[same[0]] if len(same) == 1 else None


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")
