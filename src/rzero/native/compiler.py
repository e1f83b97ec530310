"""Compile one C source for this machine, once: the result is kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from rzero.user_cache import user_cache

_HEADER = Path(__file__).with_name("vectors.h")
# The sources look at the same bytes as numbers of several types.
_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-strict-aliasing", "-shared", "-fPIC")


def build(source: Path) -> Path:
    """The shared library of ``source``; raises OSError, with the compiler's words, where there can be none."""
    command = compiler_command()
    text = source.read_bytes() + _HEADER.read_bytes()
    key = hashlib.sha256(b"\0".join([text, " ".join([*command, *_FLAGS]).encode(), _processor().encode()]))
    target = user_cache() / "native" / f"{source.stem}-{key.hexdigest()[:16]}.so"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            made = Path(scratch) / target.name
            _compile([*command, *_FLAGS], source, made)
            os.replace(made, target)  # whoever else compiles it at this moment makes the same file
    return target


def _compile(command: list[str], source: Path, target: Path) -> None:
    for threads in (["-fopenmp"], []):  # Apple's compiler has no OpenMP: one thread is still faster than none of it
        done = subprocess.run(
            [*command, *threads, str(source), "-o", str(target), "-lm"], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
    raise OSError(f"{command[0]} cannot compile {source.name}: {done.stderr.strip()[-300:]}")


def compiler_command() -> list[str]:
    """``$CC``, or the first C compiler on the path; raises OSError if there is none."""
    if chosen := os.environ.get("CC"):
        return shlex.split(chosen)
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    raise OSError("there is no C compiler (cc, gcc or clang)")


def _processor() -> str:
    """What `-march=native` depends on; a home directory may be shared by unlike machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() + platform.machine()
    return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
