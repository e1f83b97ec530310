"""The command line that all benchmarks share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.machine import num_cores

ROOT = Path(__file__).parents[2]
SMALL_MODEL = ROOT / "models" / "SmolLM2-135M-Instruct"


@dataclass(frozen=True, kw_only=True)
class Options:
    """``quick`` takes small sizes and under 50 seconds; ``json`` is where the report also goes."""

    quick: bool
    threads: int
    model: Path
    json: Path | None


def parse(description: str | None, argv: Sequence[str] | None = None, *, needs_model: bool = True) -> Options:
    """The options in ``argv`` (None: the command line); ends with a message if one is not usable.

    ``needs_model``: the language model has to be there.
    """
    summary = (description or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--quick", action="store_true", help="small sizes, under 50 seconds")
    parser.add_argument("--threads", type=int, default=num_cores(), help="CPU threads of each engine (default: all)")
    parser.add_argument("--model", type=Path, default=SMALL_MODEL, help="checkpoint of the language model")
    parser.add_argument("--json", type=Path, help="write the report to this file, too")
    given = parser.parse_args(argv)
    if given.threads < 1:
        parser.error(f"--threads {given.threads}: an engine needs at least one")
    if needs_model and not (given.model / "config.json").is_file():
        parser.error(f"--model {given.model}: no checkpoint there; python scripts/fetch_model.py smollm2-135m")
    return Options(quick=given.quick, threads=given.threads, model=given.model.resolve(), json=given.json)
