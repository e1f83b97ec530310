"""Objects that a user names in the options as ``package.module:name``."""

from __future__ import annotations

import importlib
import math
from typing import Any

from rzero.errors import ConfigError


def load_object(reference: str, *, option: str) -> Any:
    """The object at ``package.module:name``; ``option`` is named in the error if there is none.

    >>> load_object("math:pi", option="domain")
    3.141592653589793
    """
    module_name, _, attribute = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{option}={reference!r}: module {module_name!r} cannot be imported ({error}); "
            "it must be installed or lie in a directory on PYTHONPATH"
        ) from None
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise ConfigError(
            f"{option}={reference!r}: module {module_name!r} has no {attribute!r}; check the name behind the colon"
        ) from None


def call_reward(reference: str, item: Any, *, option: str) -> float:
    """What a user's own reward function says of ``item``. Raises ConfigError if that is no finite number."""
    value = load_object(reference, option=option)(item)
    try:
        reward = float(value)
    except (TypeError, ValueError):
        reward = math.nan
    if not math.isfinite(reward):
        raise ConfigError(f"{option}={reference!r} returned {value!r}, which is no finite number; correct the function")
    return reward
