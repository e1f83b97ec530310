"""What a run with these options would choose: found out by a process that opens the model, and may break doing so."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from rzero.config import Config, flat
from rzero.doctor.findings import Finding, Status
from rzero.errors import RzeroError
from rzero.models.resolve import BUNDLED, resolve
from rzero.user_cache import user_cache

TIMEOUT_S = 180.0
_STAGES = {"torch": "torch and transformers are imported", "devices": "devices are listed", "model": "a model opens"}
_HELP = {
    "torch": 'run: pip install --force-reinstall "torch>=2.11" "transformers>=5.17"',
    "devices": "the GPU's driver and this build of torch may not fit together; nvidia-smi shows the driver",
    "model": "try --model micro; if that opens, the checkpoint is at fault",
}


def choices(config: Config, *, timeout_s: float = TIMEOUT_S) -> Iterator[Finding]:
    """What the probe said of each of its stages, up to the one at which it broke."""
    name = config.model.path or BUNDLED
    try:
        model = resolve(name, store=user_cache() / "models")
    except (RzeroError, OSError) as error:
        yield Finding(name="model", status=Status.MISSING, value=" ".join(str(error).split()), advice="correct --model")
        return
    options = [str(model), config.model.dtype, config.model.device, str(config.engine.threads)]
    said, trouble = run_probe([sys.executable, "-m", "rzero.doctor.probe", *options], timeout_s=timeout_s)
    yield from _told(said, name)
    broken = next((stage for stage in _STAGES if stage not in said), None)
    if broken is not None:
        yield Finding(name=_STAGES[broken], status=Status.MISSING, value=f"no: {trouble}", advice=_HELP[broken])
    values = flat(config)
    yield Finding(name="sampler", status=Status.OK, value=values["engine.sampler"])
    yield Finding(name="cluster", status=Status.OK, value=values.get("engine.cluster", "none"))


def run_probe(command: list[str], *, timeout_s: float) -> tuple[dict[str, Any], str]:
    """What each stage said, and in one line why there are no more of them."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        output = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else error.stdout or ""
        return _stages(output), f"it did not end within {timeout_s:.0f} s"
    except OSError as error:
        return {}, str(error)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    trouble = lines[-1].strip()[:300] if lines else f"it ended with code {done.returncode}"
    if done.returncode < 0:
        trouble = f"it was killed by signal {-done.returncode}"
    return _stages(done.stdout), trouble


def _stages(output: str) -> dict[str, Any]:
    """The lines that are a stage's JSON; libraries may print others."""
    found: dict[str, Any] = {}
    for line in output.splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict) and values.get("stage") in _STAGES:
            found[values.pop("stage")] = values
    return found


def _told(said: dict[str, Any], name: str) -> Iterator[Finding]:
    for device in said.get("devices", {}).get("devices", []):
        yield Finding(name="device", status=Status.OK, value=device)
    if "devices" in said and not said["devices"]["devices"]:
        yield Finding(name="device", status=Status.OK, value="no GPU that torch can use; the CPU is taken")
    if "model" in said:
        warned = said["model"].pop("warnings")
        yield Finding(name="model", status=Status.OK, value=f"{name} opens")
        for choice, value in said["model"].items():
            yield Finding(name=choice, status=Status.OK, value=value)
        for warning in warned:
            yield Finding(name="warning", status=Status.SLOW, value=warning)
