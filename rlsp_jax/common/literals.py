"""Read a value from text as an annotation wants it: Python literals only, nothing is evaluated. No JAX."""

import ast
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin


def read_literal(text: str, annotation: Any) -> Any:
    """The value that `text` spells: a Python literal, or the bare text where a string is wanted.

    Raises TypeError where neither reading fits the annotation.
    """
    try:
        literal = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return convert(text, annotation)
    return _first_fit([(literal, annotation), (text, annotation)])


def convert(value: Any, annotation: Any) -> Any:
    """The value as the annotation wants it: an int becomes a float, a list a tuple, a string a Path.

    Raises TypeError if it does not fit. A bool is no int, and a float no int even when it is whole.
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return value
    if origin in (Union, types.UnionType):
        return _first_fit([(value, option) for option in args])
    if origin is tuple or annotation is tuple:
        return _convert_tuple(value, annotation)
    if annotation is float and type(value) is int:
        return float(value)
    if annotation is Path and type(value) is str:
        return Path(value)
    if not _fits(value, annotation):
        raise TypeError(f"{value!r} is not {describe_type(annotation)}")
    return value


def _fits(value: Any, annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is Literal:
        return any(type(value) is type(option) and value == option for option in get_args(annotation))
    if isinstance(origin, type):
        return issubclass(origin, Mapping) and isinstance(value, Mapping)
    return type(value) is annotation or (value is None and annotation is None)


def _first_fit(readings: Sequence[tuple[Any, Any]]) -> Any:
    for value, annotation in readings:
        try:
            return convert(value, annotation)
        except TypeError:
            continue
    raise TypeError("no reading fits")


def _convert_tuple(value: Any, annotation: Any) -> tuple:
    if not isinstance(value, tuple | list):
        raise TypeError(f"{value!r} is not a tuple")
    size = len(value)
    return tuple(convert(item, item_annotation(annotation, place, size)) for place, item in enumerate(value))


def item_annotation(annotation: Any, place: int, size: int) -> Any:
    """What may stand at one place of a tuple of `size` items. TypeError where the annotation wants another size."""
    tuples = [option for option in (annotation, *get_args(annotation)) if get_origin(option) is tuple]
    args = get_args(tuples[0]) if tuples else ()
    if not args:
        return Any
    if len(args) == 2 and args[1] is ...:
        return args[0]
    if len(args) != size:
        raise TypeError(f"{size} items where {len(args)} are wanted")
    return args[place]


def describe_type(annotation: Any) -> str:
    """An annotation in words: `int or None`, `one of 'a', 'b'`, `a tuple of int`."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(map(describe_type, args))
    if origin is Literal:
        return f"one of {', '.join(map(repr, args))}"
    if origin is tuple:
        return f"a tuple of {', '.join(describe_type(arg) for arg in args if arg is not ...)}"
    if annotation in (None, type(None)):
        return "None"
    return annotation.__name__ if isinstance(annotation, type) and not args else str(annotation)
