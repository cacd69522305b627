"""Small problem sets in the layout of the published releases, and the real ones where they lie beside the checkout."""

import json
import tarfile
from pathlib import Path

import pytest

REAL = Path(__file__).parents[3] / "shared" / "data"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the benchmark problems are not there")

SUBJECTS = ("algebra", "number_theory")


def write_lines(path: Path, rows: list) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def gsm8k_rows(part: str, count: int) -> list[dict[str, str]]:
    return [
        {
            "question": f"A {part} farmer has {i} hens and buys 1,{i:03} more. How many?",
            "answer": f"He has {i}.\n{i}+1{i:03}=<<{i}+1{i:03}={1000 + 2 * i}>>\n#### 1,{2 * i:03}",
        }
        for i in range(count)
    ]


def write_gsm8k(folder: Path, *, train: int = 12, test: int = 6) -> Path:
    for part, count in (("train", train), ("test", test), ("train_socratic", 1), ("test_socratic", 1)):
        write_lines(folder / f"{part}.jsonl", gsm8k_rows(part, count))
    return folder


def write_math(folder: Path, *, count: int = 4) -> Path:
    r"""`MATH/train/algebra/0.json`, …: the solution of problem i ends in `\frac{i}{7}`."""
    for part in ("train", "test"):
        for subject in SUBJECTS:
            for i in range(count):
                path = folder / "MATH" / part / subject / f"{i}.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                problem = {
                    "problem": f"The {part} problem {i} of {subject} — what is $x$?",
                    "level": f"Level {i % 5 + 1}",
                    "type": subject.title(),
                    "solution": f"First $\\boxed{{0}}$ seems right, but $x = \\boxed{{\\frac{{{i}}}{{7}}}}$.",
                }
                path.write_text(json.dumps(problem))
    return folder


def write_math_archive(folder: Path, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        archive.add(folder / "MATH", "MATH")
    return path
