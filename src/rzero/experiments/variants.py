"""The ablations by name: what each changes in the options of the full method."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from rzero.errors import ConfigError

FULL = "full"
VARIANTS: dict[str, dict[str, Any]] = {
    FULL: {},
    "no_challenger_rl": {"challenger.train": False},
    "no_repetition_penalty": {"challenger.repetition_weight": 0.0},
    "no_filter": {"curriculum.band_low": 0.0, "curriculum.band_high": 1.0},
    "one_model": {"challenger.start_from": "solver", "solver.start_from": "challenger"},
    "target_0.3": {"challenger.target": 0.3},
    "target_0.7": {"challenger.target": 0.7},
    "band_narrow": {"curriculum.band_low": 0.4, "curriculum.band_high": 0.6},
    "band_wide": {"curriculum.band_low": 0.1, "curriculum.band_high": 0.9},
    "votes_5": {"vote.num_votes": 5},
    "votes_20": {"vote.num_votes": 20},
}
PAPER = (FULL, "no_challenger_rl", "no_repetition_penalty", "no_filter")
"""The paper's own table."""


def choose(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The variants of these names (``all``: every one), the full method first, to which the others are compared.

    >>> list(choose(["no_filter"]))
    ['full', 'no_filter']
    """
    wanted = list(VARIANTS) if list(names) == ["all"] else list(names)
    for name in wanted:
        if name not in VARIANTS:
            near = difflib.get_close_matches(name, VARIANTS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"variants: {', '.join(VARIANTS)}, or all"
            raise ConfigError(f"variant {name!r} does not exist; {hint}")
    return {name: VARIANTS[name] for name in dict.fromkeys([FULL, *wanted])}
