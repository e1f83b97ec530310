"""The commands ``rzero eval``, ``ablate``, ``sft`` and ``synergy``: what each takes, and whom it calls.

Nothing heavy is imported until a command runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from rzero import config as options
from rzero.errors import ConfigError

OWN_OPTIONS = ("--run", "--tasks", "--data", "--limit")
"""The options of these commands that are not options of a run."""

Command = tuple[Callable[[], argparse.ArgumentParser], Callable[[argparse.Namespace, dict[str, str]], int]]


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    more = "Any option may follow as --section.option value; `rzero config` lists them with their meanings."
    return argparse.ArgumentParser(prog=f"rzero {command}", description=description, epilog=more, allow_abbrev=False)


def _eval_parser() -> argparse.ArgumentParser:
    parser = _parser("eval", "Accuracy on benchmarks, with 95 % intervals, through lm-eval.")
    parser.add_argument("--model", help="Hugging Face directory, GGUF file or hub id")
    parser.add_argument("--run", metavar="DIR", help="instead: a run's base model and each iteration's Solver")
    parser.add_argument("--tasks", required=True, metavar="T,...", help="benchmarks, e.g. gsm8k,math500")
    parser.add_argument("--data", metavar="DIR", help="directory of <task>.jsonl; without it they come from the hub")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N rows of each task")
    parser.add_argument("--out", default="runs/eval", metavar="DIR", help="where results go (default: %(default)s)")
    return parser


def _eval(known: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    from rich.console import Console

    from rzero.experiments.evaluate_models import Protocol, evaluate_models, models_of_run

    if (known.model is None) == (known.run is None):
        raise ConfigError("give either --model M or --run DIR, so that it is clear what to evaluate")
    if known.limit < 0:
        raise ConfigError(f"--limit {known.limit} is below 0; give how many rows of each task to take")
    if known.run is not None:
        config, models = models_of_run(Path(known.run))
        config = options.change(config, overrides)
    else:
        config = options.change(options.Config(), {"model.path": known.model, **overrides})
        models = {Path(known.model).name: None}
    protocol = Protocol(
        config=config,
        tasks=tuple(name.strip() for name in known.tasks.split(",") if name.strip()),
        data=None if known.data is None else Path(known.data),
        limit=known.limit,
    )
    Console().print(evaluate_models(models, protocol, Path(known.out)))
    return 0


COMMANDS: dict[str, Command] = {"eval": (_eval_parser, _eval)}
