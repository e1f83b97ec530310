"""Domains: what a question is. One file a domain; :func:`load` finds the one that the options name."""

from __future__ import annotations

from rzero.domains.base import Domain, Oracle, Truth
from rzero.errors import ConfigError
from rzero.plugins import load_object

__all__ = ["BUILT_IN", "Domain", "Oracle", "Truth", "load"]

BUILT_IN = {
    "arithmetic": "rzero.domains.arithmetic:arithmetic",
    "math": "rzero.domains.math:math",
    "grade_school": "rzero.domains.grade_school:grade_school",
}


def load(name: str) -> Domain:
    """The domain that ``name`` stands for: a built-in one, or ``package.module:name`` of a user's own object.

    Raises ConfigError if it cannot be imported or lacks a member of :class:`Domain`.
    """
    if name not in BUILT_IN and ":" not in name:
        raise ConfigError(
            f"domain={name!r} is not built in; choose one of {', '.join(sorted(BUILT_IN))} "
            "or name your own as package.module:name"
        )
    domain = load_object(BUILT_IN.get(name, name), option="domain")
    members = ("name", "oracle", "challenger_prompt", "solver_prompt", "parse_question", "extract_answer")
    missing = [member for member in members if not hasattr(domain, member)]
    if missing:
        raise ConfigError(
            f"domain={name!r} has no {', '.join(missing)}, so it is not a domain; rzero.domains.base.Domain lists "
            f"what it needs"
        )
    return domain
