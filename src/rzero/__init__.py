"""R-Zero: a Challenger and a Solver from one base language model teach each other, with no data.

::

    import rzero

    config = rzero.load("laptop", {"model.path": "models/SmolLM2-135M-Instruct"})
    result = rzero.run(config, "runs/first")

``docs/tour.md`` shows the pieces behind :func:`run`. Importing this package loads no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rzero.errors import RzeroError

if TYPE_CHECKING:
    from rzero.config import Config, load
    from rzero.evolve.loop import RunResult

__all__ = ["Config", "RzeroError", "__version__", "load", "run"]

__version__ = "0.1.0"


def run(config: Config, out: str | Path) -> RunResult:
    """Run R-Zero into the directory ``out``, or take up the run that is there; see :func:`rzero.evolve.loop.run`."""
    from rzero.evolve.loop import run as run_loop

    return run_loop(config, out)


def __getattr__(name: str) -> Any:
    """``Config`` and ``load``, which are imported when they are first asked for: pydantic takes its time."""
    if name in ("Config", "load"):
        from rzero import config

        return getattr(config, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
