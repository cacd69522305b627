"""GSM8K: grade-school word problems with worked solutions (Cobbe et al. 2021, 2110.14168)."""

import dataclasses
import re
from pathlib import Path

from rlsp_jax.common.errors import UserError
from rlsp_jax.data.gold import MARKER
from rlsp_jax.data.jsonl import read_objects
from rlsp_jax.data.problems import Part, ProblemSet, Row

_VALUES = re.compile(r"<<[^<>]*=\s*([^<>=]+?)\s*>>")  # a calculator's result: `<<48/2=24>>`
_MOST_STEPS = 8  # longer solutions are rare: they are one level


@dataclasses.dataclass(frozen=True)
class GSM8K(ProblemSet):
    """7,473 problems to train on and 1,319 to test on; the level is the number of steps of the published solution."""

    folder: Path | None = None
    """The published `train.jsonl` and `test.jsonl`; None reads TFDS's copy, which is downloaded once."""
    data_dir: str | None = None  # where TFDS keeps its copy; None: $TFDS_DATA_DIR, else ~/tensorflow_datasets

    def read(self, part: Part) -> list[Row]:
        if self.folder is not None:
            path = self.folder / f"{part}.jsonl"
            rows = [_make_row(value.get("question"), value.get("answer"), place) for place, value in read_objects(path)]
        else:
            from rlsp_jax.data.tfds_copy import read_gsm8k

            examples = enumerate(read_gsm8k(self.data_dir, part))
            rows = [_make_row(row["question"], row["answer"], f"GSM8K {part} {i}") for i, row in examples]
        return sorted(rows)  # TFDS shuffles: only an order of our own is the same for both


def _make_row(question: object, solution: object, place: str) -> Row:
    if not isinstance(question, str) or not isinstance(solution, str):
        raise UserError(
            f"{place} lacks the text fields 'question' and 'answer'; use the files of the published release."
        )
    steps, marker, answer = solution.rpartition(MARKER)
    if not marker or not answer.strip():
        raise UserError(f"{place} has no gold answer after {MARKER}; use the files of the published release.")
    count = len(steps.strip().splitlines())
    level = f"{_MOST_STEPS}+ steps" if count >= _MOST_STEPS else f"{count} step{'s' * (count != 1)}"
    return Row(question.strip(), answer.strip(), level, tuple(_VALUES.findall(steps)))
