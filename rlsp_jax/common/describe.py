"""A nested frozen config as data and in words: for run.json, `rlsp config show`, `diff` and `explain`. No JAX."""

import ast
import dataclasses
import enum
import inspect
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlsp_jax.common.override import is_config, locate, type_name

ABSENT = "(absent)"


def to_dict(config: Any) -> Any:
    """The config as JSON values; a nested config is an object whose `type` names its class.

    Raises TypeError where a config holds what is no value, such as a function or an array.
    """
    if is_config(config):
        return {"type": type_name(config)} | {name: to_dict(value) for name, value in _fields(config).items()}
    if isinstance(config, tuple | list):
        return [to_dict(item) for item in config]
    if isinstance(config, Mapping):
        return {str(key): to_dict(value) for key, value in config.items()}
    if isinstance(config, enum.Enum):
        return config.name
    if isinstance(config, Path):
        return str(config)
    if config is None or isinstance(config, bool | int | float | str):
        return config
    raise TypeError(f"A config holds {config!r}, which is no value that can be written down.")


def flatten(config: Any) -> dict[str, Any]:
    """Path → value, in the order of the fields. A tuple of plain values is one value.

    Takes a config or what `to_dict` made of one. A nested config's class stands at `PATH.type`.
    """
    return dict(_leaves(to_dict(config), ""))


def diff(left: Any, right: Any) -> list[tuple[str, Any, Any]]:
    """`(path, left, right)` wherever two configs, or what `to_dict` made of them, differ; ABSENT where one has none."""
    ours, theirs = flatten(left), flatten(right)
    rows = [(path, ours.get(path, ABSENT), theirs.get(path, ABSENT)) for path in ours | theirs]
    return [(path, a, b) for path, a, b in rows if (type(a), a) != (type(b), b)]


def explain(config: Any, path: str) -> str:
    """What `path` names: its type, value, default and documentation, and its fields where it is a config.

    The documentation is the comment on the field's line, else the docstring under it.
    """
    place = locate(config, path)[-1]
    if is_config(place.holder):
        annotation, doc = _field_sources(type(place.holder)).get(str(place.key), ("", ""))
        lines = [f"{path}: {annotation} = {_show(place.value)}", f"default: {_default(place.holder, str(place.key))}"]
    else:
        lines, doc = [f"{path} = {_show(place.value)}"], ""
    lines += [doc] if doc else []
    if is_config(place.value):
        lines += [inspect.getdoc(type(place.value)) or "", *_explain_fields(place.value)]
    return "\n".join(lines)


def _leaves(value: Any, path: str):
    parts = value.items() if isinstance(value, dict) else enumerate(value) if _is_nested(value) else None
    if not parts:
        yield path, value
        return
    for key, part in parts:
        yield from _leaves(part, f"{path}.{key}".lstrip("."))


def _is_nested(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict | list) for item in value)


def _fields(config: Any) -> dict[str, Any]:
    return {field.name: vars(config)[field.name] for field in dataclasses.fields(config)}


def _show(value: Any) -> str:
    if is_config(value):
        return type_name(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(_show, value))}{',' * (len(value) == 1)})"
    return repr(value)


def _default(config: Any, name: str) -> str:
    field = next(field for field in dataclasses.fields(config) if field.name == name)
    if field.default is not dataclasses.MISSING:
        return _show(field.default)
    return "none, it must be given" if field.default_factory is dataclasses.MISSING else _show(field.default_factory())


def _explain_fields(config: Any) -> list[str]:
    sources = _field_sources(type(config))
    rows = [(f"{name} = {_show(value)}", sources.get(name, ("", ""))[1]) for name, value in _fields(config).items()]
    return [f"    {row}  # {doc}" if doc else f"    {row}" for row, doc in rows]


def _field_sources(cls: type) -> dict[str, tuple[str, str]]:
    """Field → (annotation, documentation) as written in the class and the classes it inherits from."""
    sources: dict[str, tuple[str, str]] = {}
    for owner in reversed(cls.__mro__):
        if dataclasses.is_dataclass(owner):
            sources |= _read_class(owner)
    return sources


def _read_class(cls: type) -> dict[str, tuple[str, str]]:
    try:
        source = textwrap.dedent(inspect.getsource(cls))
    except (OSError, TypeError):  # made without a file: there is nothing to read
        return {}
    lines, body = source.splitlines(), ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    sources = {}
    for node, following in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            doc = _comment_after(node, lines) or _docstring(following)
            sources[node.target.id] = (ast.unparse(node.annotation), doc)
    return sources


def _comment_after(node: ast.AnnAssign, lines: list[str]) -> str:
    """The comment that follows a field on its last line."""
    last = lines[(node.end_lineno or node.lineno) - 1].encode()
    return last[node.end_col_offset :].decode().strip().removeprefix("#").strip()


def _docstring(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""
