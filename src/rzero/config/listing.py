"""Options as lists: every option by its dotted name, and how two configurations differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_origin

from pydantic import BaseModel

from rzero.config.sections import Config


class Option(BaseModel):
    """One leaf of :class:`Config`, for listings: dotted name, type as text, default and meaning."""

    name: str
    kind: str
    default: Any
    meaning: str


def options() -> list[Option]:
    """Every option, in the order of the classes above."""
    return list(_walk(Config, ""))


def _walk(section: type[BaseModel], prefix: str) -> Iterator[Option]:
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _walk(kind, f"{prefix}{name}.")
        else:
            text = kind.__name__ if isinstance(kind, type) and get_origin(kind) is None else str(kind)
            text = text.replace("typing.", "").replace("Literal", "one of ")
            meaning = " ".join((field.description or "").split())
            yield Option(name=prefix + name, kind=text, default=field.default, meaning=meaning)


def differences(recorded: Config, given: Config) -> list[str]:
    """The options in which two configurations differ, as ``name: recorded -> given`` lines."""
    old, new = flat(recorded), flat(given)
    return [
        f"{name}: {old.get(name)!r} -> {new.get(name)!r}"
        for name in sorted(old | new)
        if old.get(name) != new.get(name)
    ]


def flat(config: Config) -> dict[str, Any]:
    """Every option's value by its dotted name."""
    return _flat(config.model_dump(mode="json"))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
