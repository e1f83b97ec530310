"""From a preset, a TOML file and the command line to one configuration: preset < file < command line.

An unknown key is refused with the nearest name.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rzero.config.listing import options
from rzero.config.sections import Config
from rzero.errors import ConfigError


def presets() -> list[str]:
    """The names of the presets that ship with the package."""
    folder = resources.files("rzero") / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(source: str = "paper", overrides: Mapping[str, Any] | None = None) -> Config:
    """The configuration of a preset or a TOML file, changed by ``overrides`` (dotted name to value, or text of it).

    Raises ConfigError naming the option, its value and what would be accepted.
    """
    values = _read_toml(source)
    for name, value in (overrides or {}).items():
        _set(values, name, value)
    return validate(values)


def change(config: Config, overrides: Mapping[str, Any]) -> Config:
    """``config`` with some options replaced, by dotted name. Raises ConfigError as :func:`load` does."""
    values = config.model_dump()
    for name, value in overrides.items():
        _set(values, name, value)
    return validate(values)


def validate(values: Mapping[str, Any]) -> Config:
    """A Config from nested plain values. Raises ConfigError with all problems, one a line."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(problem) for problem in error.errors())) from None


def _read_toml(source: str) -> dict[str, Any]:
    if source in presets():
        text = (resources.files("rzero") / "presets" / f"{source}.toml").read_text(encoding="utf-8")
        return tomllib.loads(text)
    path = Path(source)
    if path.suffix != ".toml" or not path.is_file():
        near = difflib.get_close_matches(source, presets(), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"presets: {', '.join(presets())}; a file's name ends in .toml"
        raise ConfigError(f"preset or file {source!r} does not exist; {hint}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; correct its permissions") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}; correct that line") from None


def _set(values: dict[str, Any], name: str, value: Any) -> None:
    *sections, leaf = name.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise _no_section(section, inner)
        values = inner
    values[leaf] = _split(name, value)


def _split(name: str, value: Any) -> Any:
    """Lists are written with commas on the command line."""
    if name in ("evaluate.data", "lora.target_modules") and isinstance(value, str):
        return tuple(part for part in value.split(",") if part)
    return value


def _explain(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return str(_unknown(name))
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    if problem["type"] == "model_type":
        return str(_no_section(name, problem["input"]))
    meaning = next((option.meaning for option in options() if option.name == name), "")
    return (
        f"{name}={problem['input']!r} cannot be used: {problem['msg'][0].lower()}{problem['msg'][1:]}. It is: {meaning}"
    )


def _no_section(name: str, value: Any) -> ConfigError:
    """A single value where a section is meant, or a section where an option is meant."""
    inner = [option.name for option in options() if option.name.startswith(f"{name}.")]
    if not inner:
        return ConfigError(f"{name} is no section of options; see `rzero config` for all options")
    return ConfigError(f"{name}={value!r} cannot be used: {name} is a section, with the options {', '.join(inner)}")


def _unknown(name: str) -> ConfigError:
    known = [option.name for option in options()]
    near = difflib.get_close_matches(name, known, 1, cutoff=0.5) or _same_leaf(name, known)
    hint = f"did you mean {near[0]}?" if near else "see `rzero config` for all options"
    return ConfigError(f"option {name} does not exist; {hint}")


def _same_leaf(name: str, known: Sequence[str]) -> list[str]:
    leaves = {option.rsplit(".", 1)[-1]: option for option in known}
    near = difflib.get_close_matches(name.rsplit(".", 1)[-1], leaves, 1)
    return [leaves[near[0]]] if near else []
