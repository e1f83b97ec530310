"""What domains share whose questions stand between tags and whose answers stand in a box."""

from __future__ import annotations

from rzero.domains.tags import parse_tagged
from rzero.grading.extract import last_boxed
from rzero.types import ParsedQuestion


class TaggedAndBoxed:
    """The two readers of such a domain; the prompts are its own."""

    def parse_question(self, completion: str) -> ParsedQuestion:
        """The last block between question tags."""
        return parse_tagged(completion)

    def extract_answer(self, completion: str) -> str | None:
        """The last balanced box."""
        return last_boxed(completion)
