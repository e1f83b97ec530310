"""The command ``rzero doctor``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rzero import config as options
from rzero.doctor.choices import choices
from rzero.doctor.findings import Finding, Status
from rzero.doctor.machine import machine
from rzero.doctor.packages import packages
from rzero.runs.mirror import copy_of, is_url

OWN_OPTIONS = ("--model", "--out")
"""The options of this command that are not options of a run."""


def _parser() -> argparse.ArgumentParser:
    text = (
        "Say what this machine has, what a run would choose on it, and what is missing. Exit code 1: no run would work."
    )
    more = "Any option may follow as --section.option value; `rzero config` lists them with their meanings."
    parser = argparse.ArgumentParser(prog="rzero doctor", description=text, epilog=more, allow_abbrev=False)
    parser.add_argument("source", nargs="?", default="micro", metavar="PRESET|FILE.toml", help="default: %(default)s")
    parser.add_argument("--model", help="the model of the run (same as --model.path; default: the bundled one)")
    parser.add_argument("--out", default="runs", metavar="DIR", help="where runs would go (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a list")
    return parser


def _doctor(known: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    values = dict(overrides) | ({"model.path": known.model} if known.model else {})
    config = options.load(known.source, values)
    parts = {
        "machine": list(machine(copy_of(known.out) if is_url(known.out) else Path(known.out))),
        "packages": list(packages(config)),
        "a run": list(choices(config)),
    }
    missing = [finding for part in parts.values() for finding in part if finding.status is Status.MISSING]
    if known.json:
        found = {name: [asdict(finding) for finding in part] for name, part in parts.items()}
        print(json.dumps({"works": not missing, **found}, indent=2))
    else:
        for line in _lines(parts, missing):
            print(line)
    return 1 if missing else 0


def _lines(parts: Mapping[str, Sequence[Finding]], missing: Sequence[Finding]) -> Iterator[str]:
    for name, part in parts.items():
        yield name
        for finding in part:
            yield f"  {finding.status:9}{finding.name:26} {finding.value}"
            if finding.advice:
                yield f"  {'':35} {finding.advice}"
    yield ""
    if missing:
        yield f"No run would work here before this is mended: {', '.join(finding.name for finding in missing)}"
    else:
        yield "A run would work here."


COMMANDS = {"doctor": (_parser, _doctor)}
