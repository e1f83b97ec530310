r"""The final answer in a completion: the content of its last balanced ``\boxed{...}``.

The official code evaluates with the first box, greedy to the end of its line, and trains with a function that returns
the string "None" where there is no box, so that completions without an answer vote together. Here no box is None.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\\boxed\s*(?=\{)|\\(?!\\boxed).|[{}]", re.DOTALL)


def last_boxed(text: str) -> str | None:
    r"""The stripped content of the last balanced ``\boxed{...}`` in ``text``, or None if there is none or it is blank.

    The last box is the one that opens last, so of nested boxes the inner one. Escaped braces do not count. A box that
    is never closed is passed over in favour of the one before it. White space may stand before the brace; ``\fbox``
    and ``\boxed 5`` without braces are not answers. Linear in the length of ``text``.

    >>> last_boxed(r"First \boxed{5}, no: \boxed{\frac{1}{2}}.")
    '\\frac{1}{2}'
    >>> last_boxed(r"\boxed{5} and \boxed{6"), last_boxed("no box"), last_boxed(r"\boxed{ }"), last_boxed(r"\boxed{$$}")
    ('5', None, None, None)
    """
    start = text.rfind("\\boxed")
    if start < 0:
        return None
    content = _last_balanced(text, start)
    if content is None:
        content = _last_balanced(text, text.find("\\boxed"))
    # Bare delimiters, as in \boxed{$$}, are as blank as white space.
    return content.strip() if content is not None and content.strip("$ \t\n\r") else None


def _last_balanced(text: str, start: int) -> str | None:
    """The content of the balanced box that opens last at or after ``start``; braces are matched in one pass."""
    open_braces: list[int] = []
    box_braces: set[int] = set()
    last: tuple[int, int] | None = None
    for token in _TOKEN.finditer(text, start):
        kind = token.group()
        if kind == "{":
            open_braces.append(token.end())
        elif kind == "}":
            if open_braces:
                begin = open_braces.pop()
                if begin in box_braces and (last is None or begin > last[0]):
                    last = (begin, token.start())
        elif kind.startswith("\\boxed"):
            box_braces.add(token.end() + 1)
    return None if last is None else text[last[0] : last[1]]
