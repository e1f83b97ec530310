"""Objects that a user names in the options as ``package.module:name``."""

from __future__ import annotations

import importlib
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
    except ImportError as error:
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
