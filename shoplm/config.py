"""Settings: frozen, typed, closed to unknown names, read from YAML and from ``a.b=c``.

A default is written once, in the class beside the code that it steers. An unknown key is an error
that names the closest known one; every fault of one input is listed in one message.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml

from shoplm.errors import ConfigError, did_you_mean

C = TypeVar("C", bound="Config")


class Config(pydantic.BaseModel):
    """The base of every floor's settings."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @classmethod
    def of(cls: type[C], values: Mapping[str, Any], where: str = "settings") -> C:
        """Settings from plain values.

        Args:
            values: nested plain values, as YAML gives them.
            where: what the values came from, for the message.

        Raises:
            ConfigError: one line listing every unknown key (with the closest known) and every bad value.
        """
        try:
            return cls.model_validate(dict(values))
        except pydantic.ValidationError as error:
            raise ConfigError(f"{where}: " + "; ".join(_fault(cls, fault) for fault in error.errors())) from None

    def plain(self) -> dict[str, Any]:
        """As plain values that YAML and JSON can hold."""
        return self.model_dump(mode="json")


def _fault(cls: type[Config], fault: Any) -> str:
    path = [str(part) for part in fault["loc"]]
    key = " ".join(".".join(path).split())  # a message is one line, whatever a file calls its keys
    if fault["type"] == "extra_forbidden":
        return f"unknown key `{key}`, {did_you_mean(path[-1], _fields_at(cls, path[:-1]))}"
    seen = "" if fault["type"] == "missing" else f", seen {fault.get('input')!r}"
    said = str(fault["msg"]).removeprefix("Value error, ")
    return f"`{key}`: {said[0].lower()}{said[1:]}{seen}"


def _fields_at(cls: type[Config], path: Iterable[str]) -> list[str]:
    here: Any = cls
    for part in path:
        field = getattr(here, "model_fields", {}).get(part)
        here = next((kind for kind in _kinds(field.annotation) if hasattr(kind, "model_fields")), None) if field else None
    return list(getattr(here, "model_fields", {}))


def _kinds(annotation: Any) -> tuple[Any, ...]:
    return (annotation, *getattr(annotation, "__args__", ()))


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: the file cannot be read, is not YAML or UTF-8, or its top is not a mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a YAML file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not YAML ({getattr(error, 'problem', None) or 'unreadable'})") from None
    except (ValueError, RecursionError) as error:  # a date that is none, or nesting without end
        raise ConfigError(f"{path}: not YAML ({error})") from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(f"{path}: expected `key: value` lines at the top, seen {type(values).__name__}")
    return values


def override(values: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """``values`` with ``a.b=c`` assignments laid over, each right side read as YAML.

    Raises:
        ConfigError: an assignment has no ``=`` or no name, or reaches into something that is not a mapping.
    """
    result = _copied(values)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        path = name.strip().split(".")
        if not equals or not all(path):
            raise ConfigError(f"setting `{assignment}`: expected key=value, such as epochs=3")
        try:
            value = yaml.safe_load(text) if text.strip() else None
        except (yaml.YAMLError, ValueError, RecursionError):
            value = text
        if isinstance(value, str):
            value = _number(value)
        here = result
        for part in path[:-1]:
            here = here.setdefault(part, {})
            if not isinstance(here, dict):
                raise ConfigError(f"setting `{assignment}`: `{part}` is a value, not a group of settings")
        here[path[-1]] = value
    return result


def lay(nested: dict[str, Any], given: Mapping[str, Any], own: Collection[str], groups: Mapping[str, Collection[str]]) -> None:
    """Lay given values over nested ones; a flat name goes into the first group that knows it: ``epochs=3`` means ``fit.epochs=3``.

    Args:
        nested: changed.
        given: groups, fields of the whole, and flat names.
        own: the fields of the whole.
        groups: the names in each group.

    Raises:
        ConfigError: a name that nothing knows, or a group that is no group.
    """
    for key, value in given.items():
        if key in groups:
            if not isinstance(value, Mapping):
                raise ConfigError(f"`{key}`: expected a group of settings, seen {value!r}")
            nested[key] = {**nested.get(key, {}), **value}
        elif key in own:
            nested[key] = value
        else:
            home = next((group for group, names in groups.items() if key in names), None)
            if home is None:
                raise ConfigError(
                    f"unknown key `{key}`, {did_you_mean(key, {*own, *(name for names in groups.values() for name in names)})}"
                )
            nested[home] = {**nested.get(home, {}), key: value}


def _number(text: str) -> str | float:
    """``2e-5`` is a number to people and a string to YAML 1.1."""
    try:
        return float(text)
    except ValueError:
        return text


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in values.items()}
