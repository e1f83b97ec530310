"""The command line: ``rzero run``, ``rzero status``, ``rzero config``, ``rzero ask``.

Options of a run are written ``--section.option value`` and go the same way as those of a TOML file, so a mistake in
either gets the same message. Errors are one line on standard error and exit code 2 (3: the run cannot go on; 1: an
engine broke).
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rzero import config as options
from rzero.errors import ConfigError, RzeroError

DEFAULT_PRESET = "micro"
COMMANDS = ("run", "status", "config", "ask")
OWN_FLAGS = ("--help", "--json")
OWN_OPTIONS = ("--model", "--out", "--write", "--iteration", "--preset")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    try:
        return _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except RzeroError as error:
        print(f"rzero: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("rzero: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0


def _dispatch(arguments: list[str]) -> int:
    parser = _parser()
    if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        near = difflib.get_close_matches(arguments[0], COMMANDS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"commands: {', '.join(COMMANDS)}"
        raise ConfigError(f"command {arguments[0]!r} does not exist; {hint}")
    own, overrides = _split(arguments)
    known = parser.parse_args(own)
    if known.command == "run":
        return _run(known, overrides)
    if known.command == "config":
        return _config(known, overrides)
    if known.command == "ask":
        return _ask(known, overrides)
    if overrides:
        raise ConfigError(f"`rzero status` takes a run directory alone, not --{next(iter(overrides))}")
    return _status(Path(known.directory))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rzero",
        description="R-Zero: a Challenger and a Solver from one base model teach each other, with no data.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "preset (" + ", ".join(options.presets()) + f") or TOML file; default {DEFAULT_PRESET}"
    more = "Any option may follow as --section.option value; `rzero config` lists them with their meanings."

    run = commands.add_parser("run", help="run R-Zero, or go on with a run", epilog=more, allow_abbrev=False)
    run.add_argument("source", nargs="?", default=DEFAULT_PRESET, metavar="PRESET|FILE.toml", help=text)
    run.add_argument("--model", help="Hugging Face directory, GGUF file or hub id (same as --model.path)")
    run.add_argument("--out", default="runs/rzero", metavar="DIR", help="run directory (default: %(default)s)")

    show = commands.add_parser("config", help="show the resolved options", epilog=more, allow_abbrev=False)
    show.add_argument("source", nargs="?", default=DEFAULT_PRESET, metavar="PRESET|FILE.toml", help=text)
    show.add_argument("--model", help="same as --model.path")
    show.add_argument("--json", action="store_true", help="print JSON instead of a list")

    status = commands.add_parser("status", help="say where a run stands", allow_abbrev=False)
    status.add_argument("directory", metavar="DIR", help="run directory")

    ask = commands.add_parser("ask", help="put questions to a checkpoint, with votes", epilog=more, allow_abbrev=False)
    ask.add_argument("source", metavar="DIR|MODEL", help="run directory, or a model as in --model")
    ask.add_argument("questions", nargs="*", metavar="QUESTION", help="questions for the Solver")
    ask.add_argument("--write", type=int, default=0, metavar="N", help="let the Challenger write N questions")
    ask.add_argument("--iteration", type=int, metavar="N", help="of a run: its checkpoints after iteration N")
    ask.add_argument("--preset", default=DEFAULT_PRESET, help="of a model: whose options (default: %(default)s)")
    return parser


def _split(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The command's own words, and the run's options: ``--section.option value`` or ``--section.option=value``.

    They are told apart before argparse sees them, which would take an option's value for a positional argument.
    """
    own: list[str] = []
    overrides: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        name, separator, value = word.partition("=")
        if not word.startswith("--") or name in OWN_FLAGS or (name in OWN_OPTIONS and separator):
            own.append(word)
            continue
        if not separator:
            following = next(words, None)
            if following is None:
                raise ConfigError(f"option {name[2:]} has no value; write {name} VALUE")
            value = following
        if name in OWN_OPTIONS:
            own += [name, value]
        else:
            overrides[name[2:]] = value
    return own, overrides


def _resolve(known: argparse.Namespace, overrides: dict[str, str]) -> options.Config:
    values: dict[str, Any] = dict(overrides)
    if known.model is not None:
        values["model.path"] = known.model
    return options.load(known.source, values)


def _run(known: argparse.Namespace, overrides: dict[str, str]) -> int:
    config = _resolve(known, overrides)
    from rzero.evolve.loop import run

    result = run(config, known.out)
    print(f"Solver:     {result.solver}")
    print(f"Challenger: {result.challenger}")
    print(f"Next: rzero ask {known.out} --write 3 (the Challenger asks, the Solver votes); rzero status {known.out};")
    print(f"      or go on from here with the same command and --iterations {config.iterations + 1}")
    return 0


def _config(known: argparse.Namespace, overrides: dict[str, str]) -> int:
    config = _resolve(known, overrides)
    if known.json:
        print(json.dumps(config.model_dump(mode="json"), indent=2))
        return 0
    values = options.flat(config)
    width = max(len(f"{name} = {value}") for name, value in values.items())
    for option in options.options():
        setting = f"{option.name} = {values[option.name]}"
        print(f"{setting:{min(width, 44)}}  {option.meaning}")
    return 0


def _ask(known: argparse.Namespace, overrides: dict[str, str]) -> int:
    if not known.questions and known.write < 1:
        raise ConfigError("there is nothing to ask; give a question in quotes, or --write N for the Challenger's own")
    from rzero.evolve.ask import ask, source

    config, solver, challenger = source(known.source, preset=known.preset, iteration=known.iteration)
    config = options.change(config, overrides)
    for line in ask(config, solver=solver, challenger=challenger, questions=known.questions, write=known.write):
        print(line)
    return 0


def _status(directory: Path) -> int:
    from rzero.evolve.status import describe

    for line in describe(directory):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
