"""MATH: competition problems with worked solutions, in five levels (Hendrycks et al. 2021, 2103.03874)."""

import dataclasses
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.gold import last_box
from rlsp_jax.data.problems import Part, ProblemSet, Row

FIELDS = ("problem", "level", "type", "solution")


@dataclasses.dataclass(frozen=True)
class MATH(ProblemSet):
    """7,500 problems to train on and 5,000 to test on; the gold answer is the last box of the published solution."""

    folder: Path | None = None
    """The extracted archive, with `train/algebra/1.json` and so on; None reads TFDS's copy, which is prepared once."""
    data_dir: str | None = None  # where TFDS keeps its copy; None: $TFDS_DATA_DIR, else ~/tensorflow_datasets

    def read(self, part: Part) -> list[Row]:
        if self.folder is not None:
            rows = [_make_row(value, place) for place, value in read_folder(self.folder, part)]
        else:
            from rlsp_jax.data.tfds_copy import read_math

            rows = [_make_row(value, f"MATH {part} {i}") for i, value in enumerate(read_math(self.data_dir, part))]
        return sorted(rows)  # TFDS shuffles: only an order of our own is the same for both


def read_folder(folder: Path, part: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a part of the extracted archive, each with the name of its file."""
    root = folder / "MATH" if (folder / "MATH").is_dir() else folder
    if not (root / part).is_dir():
        raise UserError(f"There is no folder {root / part}; folder must name the extracted MATH archive.")
    for path in sorted((root / part).glob("*/*.json")):
        yield str(path), _parse(path.read_bytes(), str(path))


def read_archive(archive: Path, part: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same from `MATH.tar`, without extracting it."""
    with tarfile.open(archive) as files:
        for member in files:
            if member.isfile() and Path(member.name).match(f"{part}/*/*.json"):
                content = files.extractfile(member)
                assert content is not None  # it is a file
                yield member.name, _parse(content.read(), f"{archive}, {member.name}")


def _parse(content: bytes, place: str) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        raise UserError(f"{place} is not a JSON file; get the MATH archive anew.") from None


def check_fields(value: Any, place: str) -> dict[str, str]:
    """The text fields of a problem; `UserError` when it lacks one."""
    missing = [field for field in FIELDS if not isinstance(value, dict) or not isinstance(value.get(field), str)]
    if missing:
        raise UserError(f"{place} lacks the text fields {', '.join(missing)}; use the files of the published archive.")
    return {field: value[field] for field in FIELDS}


def _make_row(value: Any, place: str) -> Row:
    fields = check_fields(value, place)
    gold = last_box(fields["solution"])
    if gold is None:
        raise UserError(f"{place} has no gold answer: its solution has no \\boxed{{…}}; mend the file or leave it out.")
    return Row(fields["problem"].strip(), gold, fields["level"])
