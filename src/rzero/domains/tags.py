"""The format check: a question stands between ``<question>`` and ``</question>``.

The paper rewards a malformed completion with 0 and computes nothing else of it. The official code in effect never
checks the boxed answer that it also asks for; rzero asks the Challenger for the question alone.
"""

from __future__ import annotations

import unicodedata

from rzero.types import ParsedQuestion

OPEN, CLOSE = "<question>", "</question>"
MAX_CHARACTERS = 4000


def parse_tagged(completion: str) -> ParsedQuestion:
    """The text of the last closed question block, with outer white space removed; or what is wrong.

    >>> parse_tagged("Let me think. <question> What is 2 + 2? </question>").text
    'What is 2 + 2?'
    >>> parse_tagged("<question> What is 2 + 2?").problem
    'no closing tag'
    """
    end = completion.rfind(CLOSE)
    if end < 0:
        return ParsedQuestion(text=None, problem="no closing tag" if OPEN in completion else "no question tags")
    start = completion.rfind(OPEN, 0, end)
    if start < 0:
        return ParsedQuestion(text=None, problem="no opening tag")
    text = completion[start + len(OPEN) : end].strip()
    if CLOSE in text:
        return ParsedQuestion(text=None, problem="stray closing tag")
    if not any(character.isalnum() for character in text):
        return ParsedQuestion(text=None, problem="empty question")
    if len(text) > MAX_CHARACTERS:
        return ParsedQuestion(text=None, problem="question too long")
    if any(unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t" for character in text):
        return ParsedQuestion(text=None, problem="control characters")
    return ParsedQuestion(text=text)
