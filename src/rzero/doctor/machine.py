"""Interpreter, processor, memory, disk, compiler and places to write, asked of the operating system alone."""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rzero.doctor.findings import Finding, Status
from rzero.engines.process import num_cores
from rzero.native.compiler import compiler_command
from rzero.user_cache import user_cache

_OLDEST_PYTHON = (3, 11)
_FAST = ("amx_bf16", "avx512_bf16", "bf16")  # of these torch multiplies bfloat16 fast; the last is ARM's
_VECTORS = ("avx512f", "avx2", "sve", "asimd")
_LEAST_DISK = 2 << 30
_GIB = 1 << 30


def machine(out: Path) -> Iterator[Finding]:
    """Everything that needs no package; ``out`` is where runs would be written."""
    yield _python()
    yield _processor()
    yield from _memory()
    yield from _disk(out)
    yield _compiler()
    yield _writable("runs are written to", out)
    yield _writable("cache", user_cache())


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info >= _OLDEST_PYTHON and sys.platform != "win32":
        return Finding(name="Python", status=Status.OK, value=f"{version} on {platform.system()}")
    return Finding(
        name="Python",
        status=Status.MISSING,
        value=f"{version} on {platform.system()}",
        advice="Python 3.11 or newer on a POSIX system is needed",
    )


def _processor() -> Finding:
    found = cpu_flags()
    fast = [flag for flag in _FAST if flag in found]
    vectors = [flag for flag in _VECTORS if flag in found]
    said = ", ".join([*fast, *vectors]) or "no known vector instructions"
    value = f"{num_cores()} cores, {platform.machine()} ({said})"
    if fast:
        return Finding(name="processor", status=Status.OK, value=value)
    return Finding(
        name="processor",
        status=Status.SLOW,
        value=value,
        advice="it does not multiply bfloat16 fast, so models on the CPU run in float32",
    )


def cpu_flags(path: Path = Path("/proc/cpuinfo")) -> set[str]:
    """The processor's features as Linux names them; empty on other systems."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split()}


def _memory() -> Iterator[Finding]:
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in text.splitlines() if ":" in line}
        value = f"{sizes['MemTotal'] / _GIB:.1f} GiB, {sizes['MemAvailable'] / _GIB:.1f} available"
    except (OSError, ValueError, LookupError):
        return  # the system does not tell
    yield Finding(name="memory", status=Status.OK, value=value)


def _disk(out: Path) -> Iterator[Finding]:
    place = _existing(out)
    try:
        free = shutil.disk_usage(place).free
    except OSError:
        return
    enough = free >= _LEAST_DISK
    yield Finding(
        name="disk",
        status=Status.OK if enough else Status.MISSING,
        value=f"{free / _GIB:.1f} GiB free at {place}",
        advice="" if enough else "a run of a small model needs 2 GiB; free some, or choose another --out",
    )


def _compiler() -> Finding:
    try:
        chosen = compiler_command()
    except (OSError, ValueError) as error:  # ValueError: quotes in CC that do not close
        return Finding(
            name="C compiler",
            status=Status.SLOW,
            value=str(error),
            advice="sampling on the CPU is slower without one: apt-get install gcc, or set CC",
        )
    if not chosen or shutil.which(chosen[0]) is None:
        return Finding(
            name="C compiler",
            status=Status.SLOW,
            value=f"CC={' '.join(chosen)} is not there",
            advice="sampling on the CPU is slower without one: correct CC or unset it",
        )
    return Finding(name="C compiler", status=Status.OK, value=" ".join(chosen))


def _writable(name: str, place: Path) -> Finding:
    existing = _existing(place)
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        advice = "choose another --out" if name != "cache" else "set RZERO_CACHE to a directory that can be written"
        return Finding(
            name=name, status=Status.MISSING, value=f"{place} cannot be written: {error.strerror}", advice=advice
        )
    return Finding(name=name, status=Status.OK, value=str(place))


def _existing(place: Path) -> Path:
    """``place``, or the nearest directory above it that is there."""
    return next((path for path in (place, *place.absolute().parents) if path.exists()), Path("/"))
