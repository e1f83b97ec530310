"""The command line: one function for each command, and those of the experiments.

Options of a run are written ``--section.option value`` and go the same way as those of a TOML file, so a mistake in
either gets the same message. Errors are one line on standard error and exit code 2 (3: the run cannot go on; 1: an
engine broke).
"""

from __future__ import annotations

import argparse
import difflib
import io
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from rzero import __version__
from rzero import config as options
from rzero.costs import command as costs
from rzero.doctor import command as doctor
from rzero.errors import ConfigError, RzeroError
from rzero.experiments import commands as experiments

DEFAULT_PRESET = "micro"
USAGE = """usage: rzero COMMAND ...

R-Zero: a Challenger and a Solver from one base language model teach each other, with no data.

  rzero run [PRESET|FILE.toml] [--model M] [--out DIR]   run R-Zero, or go on with a run
  rzero status DIR                                       say where a run stands
  rzero config [PRESET|FILE.toml]                        show the resolved options, each with its meaning
  rzero doctor [PRESET|FILE.toml] [--model M]            say what this machine has, and what is missing for a run
  rzero plan [PRESET|FILE.toml] --model SHAPE|DIR        estimate memory and time of a run on GPUs
  rzero ask DIR|MODEL [QUESTION ...]                     put questions to a checkpoint, with votes
  rzero export DIR|MODEL --out DIR                       write a checkpoint as a whole model, adapters merged
  rzero report DIR [DIR2 ...] [--out FILE]               write one page of HTML on one run, or on several side by side
  rzero eval --model M|--run DIR --tasks T,...           accuracy on benchmarks
  rzero ablate [PRESET|FILE.toml] [--seeds 0,1,2]        run a grid of ablations, or go on with it
  rzero sft [PRESET|FILE.toml] --model M --data FILE     supervised fine-tuning on labelled rows
  rzero synergy [PRESET|FILE.toml] --data FILE           base -> SFT against R-Zero -> SFT
  rzero labels DIR                                       hold a run's labels against the domain's oracle
  rzero --version

A run's DIR may be a URL, such as s3://bucket/run.
Presets: {presets} (default: {default}). `rzero COMMAND --help` says more of each.
Any option of a run may follow as --section.option value."""
KIND_OF_GAIN = """What kind of gain this is: the base answers at once or step by step, by chance, and step by step is
right far more often. The votes find that out without one true answer, and training makes it the rule. So this is
elicitation of what the base could already do; no new arithmetic is learned. docs/micro_study.md takes the two
apart."""
OWN_FLAGS = ("-h", "--help", "--json")
OWN_OPTIONS = ("--model", "--out", "--write", "--iteration", "--preset", "--role")
TO_URLS = ("run", "doctor")
"""Commands whose --out may be a URL."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no p̂ shows a question mark
    try:
        return _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except RzeroError as error:
        print(f"rzero: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        return 0
    except OSError as error:  # whatever the operating system refuses that no part of rzero foresaw
        place = f"{error.filename}: " if error.filename else ""
        reason = error.strerror or str(error)
        print(f"rzero: {place}{reason}; check the path, its permissions and the disk", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("rzero: interrupted; run the same command again to go on", file=sys.stderr)
        return 130


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE.format(presets=", ".join(options.presets()), default=DEFAULT_PRESET))
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"rzero {__version__}")
        return 0
    command, *words = arguments
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"commands: {', '.join(COMMANDS)}"
        raise ConfigError(f"command {command!r} does not exist; {hint}")
    parser, run = COMMANDS[command]
    group = next((group for group in (experiments, costs, doctor) if command in group.COMMANDS), None)
    own, positional, overrides = _split(words, group.OWN_OPTIONS if group else OWN_OPTIONS)
    url = next((word for word in own if word.startswith("--out=") and "://" in word), None)
    if url is not None and command not in TO_URLS:
        raise ConfigError(f"rzero {command} writes to no URL, but was given {url}; name a place on this machine")
    return run(parser().parse_args([*own, "--", *positional] if positional else own), overrides)


def _new_parser(command: str, description: str) -> argparse.ArgumentParser:
    more = "Any option may follow as --section.option value; `rzero config` lists them with their meanings."
    return argparse.ArgumentParser(prog=f"rzero {command}", description=description, epilog=more, allow_abbrev=False)


def _add_source(parser: argparse.ArgumentParser) -> None:
    text = "preset (" + ", ".join(options.presets()) + f") or TOML file; default {DEFAULT_PRESET}"
    parser.add_argument("source", nargs="?", default=DEFAULT_PRESET, metavar="PRESET|FILE.toml", help=text)
    parser.add_argument("--model", help="Hugging Face directory, GGUF file or hub id (same as --model.path)")


def _run_parser() -> argparse.ArgumentParser:
    parser = _new_parser("run", "Run R-Zero, or go on with a run.")
    _add_source(parser)
    parser.add_argument(
        "--out", default="runs/rzero", metavar="DIR", help="run directory, or a URL (default: %(default)s)"
    )
    return parser


def _config_parser() -> argparse.ArgumentParser:
    parser = _new_parser("config", "Show the resolved options.")
    _add_source(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a list")
    return parser


def _status_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rzero status", description="Say where a run stands.", allow_abbrev=False)
    parser.add_argument("directory", metavar="DIR", help="run directory, or its URL")
    return parser


def _ask_parser() -> argparse.ArgumentParser:
    parser = _new_parser("ask", "Put questions to a checkpoint, with votes.")
    parser.add_argument("source", metavar="DIR|MODEL", help="run directory, its URL, or a model as in --model")
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help="questions for the Solver")
    parser.add_argument("--write", type=int, default=0, metavar="N", help="let the Challenger write N questions")
    parser.add_argument("--iteration", type=int, metavar="N", help="of a run: its checkpoints after iteration N")
    parser.add_argument("--preset", default=DEFAULT_PRESET, help="of a model: whose options (default: %(default)s)")
    return parser


def _export_parser() -> argparse.ArgumentParser:
    parser = _new_parser("export", "Write a checkpoint as a whole model, an adapter merged into its base model.")
    parser.add_argument("source", metavar="DIR|MODEL", help="run directory, its URL, or a model as in --model")
    parser.add_argument("--out", required=True, metavar="DIR", help="where to write it; must not exist")
    parser.add_argument("--role", choices=("solver", "challenger"), default="solver", help="of a run (default: solver)")
    parser.add_argument("--iteration", type=int, metavar="N", help="of a run: its checkpoint after iteration N")
    return parser


def _report_parser() -> argparse.ArgumentParser:
    text = "Write one self-contained page of HTML on one run, or on several side by side."
    parser = _new_parser("report", text)
    parser.add_argument(
        "directories", nargs="+", metavar="DIR", help="run directory, or its URL; the first is compared with"
    )
    where = "file to write (default: DIR/report.html of one run, comparison.html here of several)"
    parser.add_argument("--out", metavar="FILE", help=where)
    return parser


def _split(arguments: Sequence[str], own_options: Sequence[str]) -> tuple[list[str], list[str], dict[str, str]]:
    """The command's own options, its positional words, and the run's options (``--name value`` or ``--name=value``).

    They are told apart before argparse sees them, which would take the value of an option that it does not know for a
    positional word, and a question such as ``-5+3`` for an option. Behind ``--`` everything is positional.
    """
    own: list[str] = []
    positional: list[str] = []
    overrides: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        if word == "--":
            positional += words
        elif word in OWN_FLAGS:
            own.append(word)
        elif not word.startswith("--"):
            positional.append(word)
        else:
            name, separator, value = word.partition("=")
            if not separator:
                following = next(words, None)
                if following is None:
                    raise ConfigError(f"option {name[2:]} has no value; write {name} VALUE")
                value = following
            if name in own_options:
                own.append(f"{name}={value}")
            else:
                overrides[name[2:]] = value
    return own, positional, overrides


def _resolve(known: argparse.Namespace, overrides: dict[str, str]) -> options.Config:
    values: dict[str, Any] = dict(overrides)
    if known.model is not None:
        values["model.path"] = known.model
    return options.load(known.source, values)


def _run(known: argparse.Namespace, overrides: dict[str, str]) -> int:
    config = _resolve(known, overrides)
    from rzero.evolve.loop import run
    from rzero.models.resolve import BUNDLED

    result = run(config, known.out)
    print(f"Solver:     {result.solver}")
    print(f"Challenger: {result.challenger}")
    print(f"Next: rzero ask {known.out} --write 3 (the Challenger asks, the Solver votes); rzero status {known.out};")
    print(f"      or go on from here with the same command and --iterations {config.iterations + 1}")
    if config.model.path == BUNDLED:
        print(f"\n{KIND_OF_GAIN}")
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
    questions = [question for question in known.questions if question.strip()]
    if not questions and known.write < 1:
        raise ConfigError("there is nothing to ask; give a question in quotes, or --write N for the Challenger's own")
    from rzero.evolve.ask import ask, find
    from rzero.runs.mirror import reading

    with reading(known.source) as root:
        source = find(str(root), preset=known.preset, iteration=known.iteration)
        source = replace(source, config=options.change(source.config, overrides))
        for line in ask(source, questions=questions, write=known.write):
            print(line)
    return 0


def _export(known: argparse.Namespace, overrides: dict[str, str]) -> int:
    from rzero.evolve.ask import find
    from rzero.evolve.export import export
    from rzero.runs.mirror import reading

    with reading(known.source) as root:
        source = find(str(root), preset=DEFAULT_PRESET, iteration=known.iteration)
        source = replace(source, config=options.change(source.config, overrides))
        print(export(source, role=known.role, out=Path(known.out)))
    return 0


def _status(known: argparse.Namespace, overrides: dict[str, str]) -> int:
    if overrides:
        raise ConfigError(f"`rzero status` takes a run directory alone, not --{next(iter(overrides))}")
    from rzero.evolve.status import describe
    from rzero.runs.mirror import is_url, reading

    if is_url(known.directory):
        print(f"url        {known.directory}")
    with reading(known.directory, weights=False) as root:
        for line in describe(root):
            print(line)
    return 0


def _report(known: argparse.Namespace, overrides: dict[str, str]) -> int:
    if overrides:
        raise ConfigError(f"`rzero report` takes run directories and --out alone, not --{next(iter(overrides))}")
    from rzero.report import write
    from rzero.runs.mirror import reading

    with ExitStack() as stack:
        directories = [stack.enter_context(reading(name, weights=False)) for name in known.directories]
        out = write.default_place(directories) if known.out is None else Path(known.out)
        print(write.write_report(directories, out))
    return 0


COMMANDS: dict[
    str, tuple[Callable[[], argparse.ArgumentParser], Callable[[argparse.Namespace, dict[str, str]], int]]
] = {
    "run": (_run_parser, _run),
    "status": (_status_parser, _status),
    "config": (_config_parser, _config),
    "ask": (_ask_parser, _ask),
    "export": (_export_parser, _export),
    "report": (_report_parser, _report),
    **costs.COMMANDS,
    **doctor.COMMANDS,
    **experiments.COMMANDS,
}


if __name__ == "__main__":
    sys.exit(main())
