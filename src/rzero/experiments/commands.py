"""The commands ``rzero eval``, ``ablate``, ``sft``, ``synergy`` and ``labels``: what each takes, and whom it calls.

Nothing heavy is imported until a command runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from rzero import config as options
from rzero.errors import ConfigError

OWN_OPTIONS = (
    "--model",
    "--out",
    "--run",
    "--tasks",
    "--data",
    "--limit",
    "--seeds",
    "--variants",
    "--sft-steps",
    "--sft-learning-rate",
    "--judge",
    "--judge-model",
)
"""The options of these commands that are not options of a run."""

Command = tuple[Callable[[], argparse.ArgumentParser], Callable[[argparse.Namespace, dict[str, str]], int]]


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    more = "Any option may follow as --section.option value; `rzero config` lists them with their meanings."
    return argparse.ArgumentParser(prog=f"rzero {command}", description=description, epilog=more, allow_abbrev=False)


def _eval_parser() -> argparse.ArgumentParser:
    parser = _parser("eval", "Accuracy on benchmarks, with 95 % intervals, through lm-eval.")
    parser.add_argument("--model", help="Hugging Face directory, GGUF file or hub id")
    parser.add_argument(
        "--run", metavar="DIR", help="instead: a run, or its URL: its base model and each iteration's Solver"
    )
    parser.add_argument("--tasks", required=True, metavar="T,...", help="benchmarks, e.g. gsm8k,math500")
    parser.add_argument("--data", metavar="DIR", help="directory of <task>.jsonl; without it they come from the hub")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N rows of each task")
    parser.add_argument("--out", metavar="DIR", help="where results go (default: DIR/eval of the run, else runs/eval)")
    return parser


def _eval(known: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    from rich.console import Console

    from rzero.experiments.evaluate_models import Protocol, evaluate_models, models_of_run
    from rzero.runs.mirror import reading
    from rzero.runs.store import RunDirectory

    if (known.model is None) == (known.run is None):
        raise ConfigError("give either --model M or --run DIR, so that it is clear what to evaluate")
    if known.limit < 0:
        raise ConfigError(f"--limit {known.limit} is below 0; give how many rows of each task to take")
    with ExitStack() as stack:
        if known.run is not None:
            root = stack.enter_context(reading(known.run))
            config, models = models_of_run(root)
            config = options.change(config, overrides)
            out = Path(known.out) if known.out else RunDirectory(root).benchmarks
        else:
            config = options.change(options.Config(), {"model.path": known.model, **overrides})
            models = {Path(known.model).name: None}
            out = Path(known.out or "runs/eval")
        protocol = Protocol(
            config=config,
            tasks=tuple(name.strip() for name in known.tasks.split(",") if name.strip()),
            data=None if known.data is None else Path(known.data),
            limit=known.limit,
        )
        Console().print(evaluate_models(models, protocol, out))
    return 0


def _ablate_parser() -> argparse.ArgumentParser:
    from rzero.experiments.variants import PAPER, VARIANTS

    parser = _parser("ablate", "Run a grid of ablations and seeds, or go on with it, and print the paper's tables.")
    parser.add_argument("source", nargs="?", default="micro", metavar="PRESET|FILE.toml", help="default: %(default)s")
    parser.add_argument("--model", help="Hugging Face directory, GGUF file or hub id (same as --model.path)")
    parser.add_argument("--seeds", default="0,1,2", metavar="N,...", help="default: %(default)s")
    parser.add_argument(
        "--variants", default=",".join(PAPER), help=f"of {', '.join(VARIANTS)}, or all (default: %(default)s)"
    )
    parser.add_argument("--out", default="runs/ablation", metavar="DIR", help="default: %(default)s")
    return parser


def _ablate(known: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    from rzero.experiments.ablate import run_grid
    from rzero.experiments.variants import choose

    seeds = _numbers("--seeds", known.seeds)
    config = _config(known, overrides)
    variants = choose([name.strip() for name in known.variants.split(",") if name.strip()])
    print(run_grid(config, variants, seeds, Path(known.out)))
    return 0


def _sft_parser() -> argparse.ArgumentParser:
    parser = _parser("sft", "Fine-tune a checkpoint on labelled rows: solver.steps updates at solver.learning_rate.")
    parser.add_argument("source", nargs="?", default="micro", metavar="PRESET|FILE.toml", help="default: %(default)s")
    parser.add_argument("--model", help="the checkpoint to start from (same as --model.path)")
    parser.add_argument("--data", required=True, metavar="FILE", help="JSONL of question and solution (or answer)")
    parser.add_argument("--out", default="runs/sft", metavar="DIR", help="default: %(default)s")
    return parser


def _sft(known: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    from rzero.evolve.plan import find_model
    from rzero.experiments.sft import load_labelled, sft

    config = _config(known, overrides)
    print(sft(config, find_model(config), load_labelled(Path(known.data)), Path(known.out)))
    return 0


def _synergy_parser() -> argparse.ArgumentParser:
    parser = _parser("synergy", "Compare base -> SFT with R-Zero -> SFT: same data, same steps, over seeds.")
    parser.add_argument("source", nargs="?", default="micro", metavar="PRESET|FILE.toml", help="default: %(default)s")
    parser.add_argument("--model", help="Hugging Face directory, GGUF file or hub id (same as --model.path)")
    parser.add_argument("--data", required=True, metavar="FILE", help="JSONL of question and solution (or answer)")
    parser.add_argument("--sft-steps", type=int, metavar="N", help="updates of fine-tuning (default: solver.steps)")
    parser.add_argument("--sft-learning-rate", type=float, metavar="X", help="default: solver.learning_rate")
    parser.add_argument("--seeds", default="0,1,2", metavar="N,...", help="default: %(default)s")
    parser.add_argument("--out", default="runs/synergy", metavar="DIR", help="default: %(default)s")
    return parser


def _synergy(known: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    from rzero.experiments.sft import load_labelled
    from rzero.experiments.synergy import synergy

    config = _config(known, overrides)
    changes = {"solver.steps": known.sft_steps, "solver.learning_rate": known.sft_learning_rate}
    supervised = options.change(config, {name: value for name, value in changes.items() if value is not None})
    rows = load_labelled(Path(known.data))
    print(synergy(config, supervised, rows, _numbers("--seeds", known.seeds), Path(known.out)))
    return 0


def _labels_parser() -> argparse.ArgumentParser:
    parser = _parser("labels", "Hold a run's labels against its domain's oracle: calibration, and questions x Solvers.")
    parser.add_argument("directory", metavar="DIR", help="run directory, or its URL")
    parser.add_argument("--limit", type=int, default=200, metavar="N", help="questions an iteration (default: 200)")
    parser.add_argument("--judge", metavar="URL", help="true answers from an OpenAI-compatible server, .../v1")
    parser.add_argument("--judge-model", default="", metavar="NAME", help="the judge's model on that server")
    parser.add_argument("--out", metavar="DIR", help="where the tables go (default: DIR/labels)")
    return parser


def _labels(known: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    from rzero.analysis.judge import Judge
    from rzero.experiments.label_tables import label_tables
    from rzero.runs.mirror import reading
    from rzero.runs.store import RunDirectory

    if known.limit < 1:
        raise ConfigError(f"--limit {known.limit} is below 1; give how many questions of each iteration to ask")
    judge = Judge(url=known.judge, model=known.judge_model) if known.judge else None
    with reading(known.directory) as root:
        config = options.change(RunDirectory.recorded_config(root), overrides)
        print(label_tables(root, config, limit=known.limit, out=Path(known.out or root / "labels"), judge=judge))
    return 0


def _config(known: argparse.Namespace, overrides: Mapping[str, str]) -> options.Config:
    config = options.load(known.source, dict(overrides) | ({"model.path": known.model} if known.model else {}))
    if not config.model.path:
        raise ConfigError("model.path is not given; name a model directory, a GGUF file or a hub id with --model")
    return config


def _numbers(name: str, text: str) -> list[int]:
    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise ConfigError(f"{name} {text!r} is not a list of whole numbers; write it as {name} 0,1,2") from None


COMMANDS: dict[str, Command] = {
    "eval": (_eval_parser, _eval),
    "ablate": (_ablate_parser, _ablate),
    "sft": (_sft_parser, _sft),
    "synergy": (_synergy_parser, _synergy),
    "labels": (_labels_parser, _labels),
}
