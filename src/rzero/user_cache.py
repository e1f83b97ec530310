"""Where rzero keeps what it can make again: converted models, compiled code; and the working copies of runs at URLs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def user_cache() -> Path:
    """``$RZERO_CACHE``, else ``rzero`` in the user's cache directory; it need not exist."""
    if chosen := os.environ.get("RZERO_CACHE"):
        return Path(chosen)
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if str(home).startswith("~"):  # without a home directory, as in some containers, expanduser leaves the tilde
        home = Path(tempfile.gettempdir())
    return home / "rzero"
