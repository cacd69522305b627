"""Problems in JSONL files: MATH-500, AIME, AMC, OlympiadBench, Omni-MATH, Minerva, and your own."""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.gold import MARKER, gold_answer, only_box
from rlsp_jax.data.problems import Part, ProblemSet, Row

# What the common releases call them, in the order in which they are looked for.
QUESTIONS = ("problem", "question", "prompt")
ANSWERS = ("answer", "final_answer", "expected_answer", "solution")
LEVELS = ("level", "difficulty", "subject", "subfield", "type")


@dataclasses.dataclass(frozen=True)
class Fields:
    """Which field of a row is what; None finds it by its common names. A dot leads into an object: `meta.level`."""

    question: str | None = None
    answer: str | None = None
    level: str | None = None


@dataclasses.dataclass(frozen=True)
class JSONL(ProblemSet):
    """Problems as JSON objects, one in a line. A run that trains needs `train`, one that evaluates needs `test`."""

    train: Path | None = None
    test: Path | None = None
    fields: Fields = Fields()

    @property
    def parts(self) -> tuple[Part, ...]:
        return (*(("train",) if self.train else ()), *(("test",) if self.test else ()))

    def read(self, part: Part) -> list[Row]:
        path = self.train if part == "train" else self.test
        assert path is not None  # it is one of `parts`
        return read_rows(path, self.fields)


def read_rows(path: Path, fields: Fields = Fields()) -> list[Row]:
    """The problems of a file in its order; `UserError` naming file and line where one lacks question or answer."""
    return [_make_row(value, fields, place, path.stem) for place, value in read_objects(path)]


def parse_row(line: bytes, place: str, fields: Fields, name: str) -> tuple[dict[str, Any], Row]:
    """One line's object and the problem in it, of level `name` if it has none. `UserError` naming `place`."""
    value = _parse(line, place)
    return value, _make_row(value, fields, place, name)


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line's object with its place, as in `aime.jsonl, line 3`."""
    if not path.is_file():
        raise UserError(f"There is no file {path}; put it there or name the place where it is.")
    with open(path, "rb") as file:  # in text, a line would also end at characters that JSON allows in a string
        for number, line in enumerate(file, 1):
            if line.strip():
                yield (place := f"{path}, line {number}"), _parse(line, place)


def _parse(line: bytes, place: str) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except ValueError:  # not UTF-8, or not JSON
        value = None
    if not isinstance(value, dict):
        raise UserError(f'{place} is not a JSON object; each line must be one, such as {{"problem": …, "answer": …}}.')
    return value


def _make_row(value: Mapping[str, Any], fields: Fields, place: str, name: str) -> Row:
    named = {key.lower(): item for key, item in value.items()}  # some releases write `Problem`
    question = _said(_first(value, named, fields.question, QUESTIONS, place, "question")[1])
    if isinstance(question, list):
        raise UserError(f"{place} has a conversation for a question; its text must be the only message of a user.")
    if not isinstance(question, str) or not question.strip():
        raise UserError(f"{place} has a question that is empty or no text; mend the row or leave it out.")
    field, answer = _first(value, named, fields.answer, ANSWERS, place, "answer")
    gold = _gold(answer, worked=field.rpartition(".")[2].lower() == "solution")
    if not gold:
        raise UserError(f"{place} has no gold answer in {field!r}; mend the row or leave it out.")
    return Row(question.strip(), gold, _level(value, named, fields.level, place, name))


def _said(question: Any) -> Any:
    """The text of a question that is a list of messages, the only one of which that a user says is the question."""
    if not isinstance(question, list):
        return question
    said = [
        message.get("content") for message in question if isinstance(message, dict) and message.get("role") == "user"
    ]
    return said[0] if len(said) == 1 else question


def _first(value, named, field: str | None, common: tuple[str, ...], place: str, what: str) -> tuple[str, Any]:
    """A field's name and value: the named one, else the first of the common ones that is there and not empty."""
    if field is not None:
        return field, _lookup(value, field, place)
    found = [name for name in common if named.get(name) not in (None, "", [])]
    if not found:
        raise UserError(
            f"{place} has no {what} under {', '.join(common)}; its fields are {', '.join(value)}: "
            f"name the right one with fields=Fields({what}=…)."
        )
    return found[0], named[found[0]]


def _lookup(value: Any, path: str, place: str) -> Any:
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            known = f"; there is {', '.join(value)}" if isinstance(value, Mapping) else ""
            raise UserError(f"{place} has no field {path!r}{known}.")
        value = value[name]
    return value


def _gold(value: Any, *, worked: bool) -> str | None:
    """A gold answer as text: several make a list, and of a worked solution it is what the solution ends in."""
    if isinstance(value, list):
        golds = [gold for item in value if (gold := _gold(item, worked=worked))]
        if worked:  # other ways to the same answer
            return golds[0] if golds else None
        return ", ".join(golds) if len(golds) == len(value) else None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if not isinstance(value, str):
        return str(int(value)) if value == value // 1 else repr(value)  # AMC's releases write 27.0
    if worked or MARKER in value:
        return gold_answer(value)
    return only_box(value) or value.strip()


def _level(value, named, field: str | None, place: str, name: str) -> str:
    """A number with its field's name, another level as it is; without any, the name of the file."""
    if field is None:
        field = next((level for level in LEVELS if named.get(level) not in (None, "", [])), None)
        level = named[field] if field else name
    else:
        level = _lookup(value, field, place)
    if isinstance(level, int | float):
        return f"{(field or '').rpartition('.')[2].capitalize()} {level:g}"
    return ", ".join(map(str, level)) if isinstance(level, list) else str(level)
