"""The error tree. Every message says what, which value, why, and what to do next, on one line.

::

    RzeroError
    ├── ConfigError        an option that does not exist, a value out of range, options that contradict each other
    ├── ModelError         a checkpoint that is missing, damaged, or that rzero cannot use
    ├── DataError          a benchmark file or a user's own data that cannot be read
    ├── RunDirectoryError  an output directory that belongs to another run, or that cannot be written
    ├── DiskFullError      no room for an artefact; what was saved before is intact
    ├── StalledError       the co-evolution cannot go on (an empty curriculum, say)
    ├── EngineError        a sampler or a learner broke
    │   └── WorkerLostError  the process or the node that it ran on is gone
    └── MissingExtraError  an optional dependency is not installed; the message holds the command that installs it

A bad rollout is data, not an error: it is recorded and counted. These classes are for broken machines and bad input.
The command line prints the message alone and exits with :attr:`RzeroError.exit_code`.
"""

from __future__ import annotations


class RzeroError(Exception):
    """Base of everything that rzero raises on purpose."""

    exit_code = 1


class ConfigError(RzeroError, ValueError):
    """An option or a value that cannot be used."""

    exit_code = 2


class ModelError(RzeroError, ValueError):
    """A model that is missing, damaged or unusable."""

    exit_code = 2


class DataError(RzeroError, ValueError):
    """A data file that is missing or malformed."""

    exit_code = 2


class RunDirectoryError(RzeroError, OSError):
    """An output directory that cannot be used for this run."""

    exit_code = 2


class DiskFullError(RzeroError, OSError):
    """There is no room for what was to be saved."""

    exit_code = 2


class StalledError(RzeroError, RuntimeError):
    """The co-evolution has nothing left to learn from."""

    exit_code = 3


class EngineError(RzeroError, RuntimeError):
    """A sampler or learner failed."""


class WorkerLostError(EngineError):
    """A process of the engine is gone, through no fault of what it was asked: the same may succeed elsewhere."""


class MissingExtraError(RzeroError, ImportError):
    """An optional dependency is missing."""

    exit_code = 2
