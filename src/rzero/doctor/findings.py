"""What a check found out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a finding stands to a run."""

    OK = "ok"
    MISSING = "missing"  # a run would not work without it
    OPTIONAL = "optional"  # not there, and not needed by the options that were given
    SLOW = "slow"  # a run works, but not as fast as it could


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report: ``name`` is what was looked at, ``value`` what was found, ``advice`` what to do."""

    name: str
    status: Status
    value: str
    advice: str = ""
