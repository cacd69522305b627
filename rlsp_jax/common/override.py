"""`--set stages.1.num_steps=40`: change fields of a nested frozen config by path. No JAX.

A path is field names and places in tuples, joined by dots. An item of a tuple is named by its index, by
its `name` field (`streams.exploration`), or by what it is (`stages.ppo`, `kernels.Hyperbolic`).
Values are checked against the field's annotation.
"""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, get_type_hints

from rlsp_jax.common.errors import UserError
from rlsp_jax.common.literals import describe_type, item_annotation, read_literal

Config = TypeVar("Config")
Keys = tuple[str | int, ...]


class OverrideError(UserError):
    """A user's mistake in an override, said in one sentence."""


class Place(NamedTuple):
    """A spot in a config: the config or tuple it belongs to, its field name or index there, what it holds."""

    path: str
    holder: Any
    key: str | int
    value: Any
    annotation: Any


def apply_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """The config with every `PATH=VALUE` applied; of two values for one path the later one counts.

    All are applied at once, each config on the way rebuilt a single time: two fields that are only valid
    together can be changed together. Raises OverrideError.
    """
    return _rebuild(config, dict(_read_override(config, override) for override in overrides), "")


def locate(config: Any, path: str) -> tuple[Place, ...]:
    """Every place on the way to what `path` names, that one last. Raises OverrideError."""
    place = Place("", None, "", config, type(config))
    places = [place := _enter(place, segment) for segment in path.split(".")]
    return tuple(places)


def is_config(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def type_name(config: Any) -> str:
    """What a config is, in a word: its class, with its module where the class is only called `Config`."""
    name = type(config).__qualname__
    return f"{_module_tail(config)}.{name}" if name == "Config" else name


def _module_tail(config: Any) -> str:
    return type(config).__module__.rpartition(".")[2]


def _label(item: Any) -> str:
    """How an item of a tuple may be addressed besides its index: its name, else its module or class."""
    if not is_config(item):
        return repr(item)
    name = vars(item).get("name")
    if isinstance(name, str):
        return name
    return _module_tail(item) if type(item).__qualname__ == "Config" else type(item).__qualname__


def _enter(place: Place, segment: str) -> Place:
    """One step down a path."""
    path, holder = f"{place.path}.{segment}".lstrip("."), place.value
    if is_config(holder):
        names = _field_names(holder)
        if segment not in names:
            raise OverrideError(f"{_title(place)} has no field {segment!r}{_hint(segment, names)}.")
        return Place(path, holder, segment, vars(holder)[segment], get_type_hints(type(holder))[segment])
    if isinstance(holder, tuple):
        index = _index(place, segment)
        return Place(path, holder, index, holder[index], item_annotation(place.annotation, index, len(holder)))
    raise OverrideError(f"{place.path} is {holder!r}, a value without fields: there is no {segment!r} in it.")


def _index(place: Place, segment: str) -> int:
    items = place.value
    if segment.isdecimal():
        if int(segment) < len(items):
            return int(segment)
        have = f"{len(items)} items, counted from 0" if len(items) != 1 else "1 item, number 0"
        raise OverrideError(f"{place.path} has {have}: there is no {segment}.")
    labels = [_label(item) for item in items]
    if labels.count(segment) == 1:
        return labels.index(segment)
    if segment in labels:
        raise OverrideError(f"{place.path} has {labels.count(segment)} items {segment!r}: name one by its number.")
    raise OverrideError(f"{place.path} has no item {segment!r}{_hint(segment, labels)}.")


def _read_override(config: Any, override: str) -> tuple[Keys, Any]:
    path, equals, text = (part.strip() for part in override.partition("="))
    if not equals or not path:
        raise OverrideError(f"{override!r} is no override: write PATH=VALUE, as in stages.1.num_steps=40.")
    places = locate(config, path)
    return tuple(place.key for place in places), _read_value(places[-1], text)


def _read_value(place: Place, text: str) -> Any:
    try:
        return read_literal(text, place.annotation)
    except TypeError:
        pass
    if is_config(place.value):
        names = ", ".join(_field_names(place.value))
        raise OverrideError(f"{_title(place)} is a config: set one of its fields ({names}).")
    if isinstance(place.value, tuple) and any(map(is_config, place.value)):
        items = ", ".join(f"{place.path}.{index} is {_label(item)}" for index, item in enumerate(place.value))
        raise OverrideError(f"{place.path} holds configs: set a field of one of them ({items}).")
    raise OverrideError(f"{place.path} wants {describe_type(place.annotation)}, not {text!r}.")


def _rebuild(config: Any, changes: Mapping[Keys, Any], path: str) -> Any:
    """The config with the value at each path of keys replaced, innermost first."""
    if not changes:
        return config
    if () in changes:
        if len(changes) > 1:
            raise OverrideError(f"{path} is replaced as a whole and in part: keep one of these overrides.")
        return changes[()]
    items = enumerate(config) if isinstance(config, tuple) else vars(config).items()
    new: dict[Any, Any] = {
        key: _rebuild(value, {keys[1:]: change for keys, change in changes.items() if keys[0] == key}, f"{path}.{key}")
        for key, value in items
        if any(keys[0] == key for keys in changes)
    }
    if isinstance(config, tuple):
        return tuple(new.get(index, item) for index, item in enumerate(config))
    try:
        return dataclasses.replace(config, **new)
    except ValueError as error:  # the config's own validation
        raise OverrideError(f"{path.lstrip('.') or 'the config'} ({type_name(config)}): {error}") from error


def _field_names(config: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(config)]


def _title(place: Place) -> str:
    return f"{place.path or 'the config'} ({type_name(place.value)})"


def _hint(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}? It has {', '.join(known)}" if close else f"; it has {', '.join(known)}"
