"""The command ``rzero plan``: what it takes, and what it prints."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace

from rzero import config as options
from rzero.costs.device import DEVICES, find_device
from rzero.costs.estimate import DISK_RATE, Estimate, estimate
from rzero.costs.fleet import Fleet, fleets
from rzero.costs.shapes import CONFIGS, find_shape
from rzero.costs.show import show
from rzero.costs.workload import Lengths, default_lengths
from rzero.errors import ConfigError

_EFFICIENCY = {
    "--update-mfu": "update",
    "--prefill-mfu": "prefill",
    "--decode-mfu": "decode_flops",
    "--decode-bandwidth": "decode_bandwidth",
    "--layer-seconds": "layer_s",
}
OWN_OPTIONS = (
    "--model",
    "--gpu",
    "--gpus",
    "--gpus-per-node",
    "--sampler-gpus",
    "--prompt-tokens",
    "--question-tokens",
    "--answer-tokens",
    "--disk-rate",
    *_EFFICIENCY,
)
"""The options of this command that are not options of a run."""


def _parser() -> argparse.ArgumentParser:
    more = "Any option may follow as --section.option value; `rzero config` lists them with their meanings."
    text = "Estimate memory and time of one iteration, before there is a machine."
    parser = argparse.ArgumentParser(prog="rzero plan", description=text, epilog=more, allow_abbrev=False)
    parser.add_argument("source", nargs="?", default="paper", metavar="PRESET|FILE.toml", help="default: %(default)s")
    names = ", ".join(CONFIGS)
    parser.add_argument("--model", help=f"a shape ({names}, micro; -shape may follow) or a model's directory")
    parser.add_argument("--gpu", default="h100", metavar="NAME", help=f"of {', '.join(DEVICES)} (default: %(default)s)")
    split = (
        "devices of all nodes; divided by engine.num_learners and engine.num_samplers, or as is fastest (default: 1)"
    )
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help=f"{split} (default: 1)")
    parser.add_argument("--gpus-per-node", type=int, default=8, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--sampler-gpus", type=int, default=1, metavar="N", help="devices that hold one copy of the weights to sample"
    )
    parser.add_argument("--prompt-tokens", type=int, metavar="N", help="mean length of a prompt (default: 200)")
    parser.add_argument("--question-tokens", type=int, metavar="N", help="mean length of what the Challenger writes")
    parser.add_argument("--answer-tokens", type=int, metavar="N", help="mean length of an answer")
    parser.add_argument("--disk-rate", type=float, default=DISK_RATE, metavar="X", help="bytes/s (default: 2e9)")
    for flag, name in _EFFICIENCY.items():
        parser.add_argument(flag, type=float, metavar="X", dest=name, help=_MEANING[name])
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


_MEANING = {
    "update": "share of the device's FLOP/s that an update reaches",
    "prefill": "share of the device's FLOP/s that reading prompts reaches",
    "decode_flops": "share of the device's FLOP/s that decoding reaches where it is bound by them",
    "decode_bandwidth": "share of the memory's bandwidth that decoding reaches",
    "layer_s": "seconds of one layer in a decoding step, however few rows",
}


def _plan(known: argparse.Namespace, overrides: Mapping[str, str]) -> int:
    config = options.load(known.source, dict(overrides))
    model = known.model or config.model.path
    if not model:
        raise ConfigError(f"--model is not given; name a shape ({', '.join(CONFIGS)}) or a model's directory")
    name, shape = find_shape(model)
    lengths, changes, disk = _lengths(known, config), _efficiency(known), _positive(known, "disk_rate")
    ways = fleets(
        config,
        find_device(known.gpu),
        gpus=known.gpus,
        per_node=known.gpus_per_node,
        sampler_gpus=known.sampler_gpus,
    )
    found, fleet = fastest(
        (estimate(config, shape, fleet, lengths, changes=changes, disk=disk), fleet) for fleet in ways
    )
    if known.json:
        print(json.dumps(_as_json(found, fleet, lengths), indent=2))
    else:
        for line in show(name, shape, fleet, lengths, config, found):
            print(line)
    return 1 if found.problems else 0


def fastest(ways: Iterable[tuple[Estimate, Fleet]]) -> tuple[Estimate, Fleet]:
    """The fastest of the ways that fit, or where none fits, of all."""
    return min(ways, key=lambda way: (len(way[0].problems), way[0].seconds))


def _lengths(known: argparse.Namespace, config: options.Config) -> Lengths:
    given = {
        name: getattr(known, f"{name}_tokens")
        for name in ("prompt", "question", "answer")
        if getattr(known, f"{name}_tokens") is not None
    }
    for name, value in given.items():
        if value < 1:
            raise ConfigError(f"--{name}-tokens {value} is below 1; give the mean length in tokens")
    return replace(default_lengths(config), **given)


def _efficiency(known: argparse.Namespace) -> dict[str, float]:
    given = {name: _positive(known, name) for name in _EFFICIENCY.values() if getattr(known, name) is not None}
    for flag, name in _EFFICIENCY.items():
        if name != "layer_s" and given.get(name, 0) > 1:
            raise ConfigError(f"{flag} {given[name]} is above 1; give the share that is reached, such as 0.4")
    return given


def _positive(known: argparse.Namespace, name: str) -> float:
    value = getattr(known, name)
    if not value > 0:
        flag = next((flag for flag, field in _EFFICIENCY.items() if field == name), f"--{name.replace('_', '-')}")
        raise ConfigError(f"{flag} {value} cannot be used; give a number above 0")
    return value


def _as_json(found: Estimate, fleet: Fleet, lengths: Lengths) -> dict[str, object]:
    peaks = {
        "update_peak": found.memory.update_peak,
        "sampling_peak": found.memory.sampling_peak,
        "fits": not found.problems,
    }
    return {
        "learners": fleet.learners,
        "samplers": fleet.samplers,
        "lengths": asdict(lengths),
        "memory": asdict(found.memory) | peaks,
        "seconds": {str(phase.phase): asdict(phase) | {"total": phase.total} for phase in found.phases},
        "efficiency": asdict(found.efficiency),
        "rows": found.rows,
        "problems": found.problems,
    }


COMMANDS = {"plan": (_parser, _plan)}
