import json
import sys

import pytest

from rlsp_jax.common.errors import UserError
from rlsp_jax.data import MATH
from rlsp_jax.data.problems import Row
from tests.data.releases import write_math, write_math_archive


def test_the_gold_answer_is_the_last_box_and_the_level_is_the_published_one(tmp_path):
    rows = MATH(folder=write_math(tmp_path)).read("test")
    assert len(rows) == 8 and rows == sorted(rows)
    assert rows[0] == Row("The test problem 0 of algebra — what is $x$?", r"\frac{0}{7}", "Level 1")
    assert MATH(folder=tmp_path / "MATH").read("test") == rows  # the folder, or the one it was extracted into


@pytest.mark.parametrize("form", ["archive", "folder"])
def test_tfds_prepares_the_archive_once_and_gives_what_the_files_give(tmp_path, form):
    raw, data_dir = write_math(tmp_path / "raw"), tmp_path / "tfds"
    manual = data_dir / "downloads" / "manual"
    if form == "archive":
        archive = write_math_archive(raw, manual / "MATH.tar")
    else:
        write_math(manual)
    kept = MATH(data_dir=str(data_dir))
    for part in ("train", "test"):
        assert kept.read(part) == MATH(folder=raw).read(part)
    if form == "archive":
        archive.unlink()
    assert len(kept.read("train")) == 8 == len(kept.problems("train", 0, 8))
    assert any(path.suffix.startswith(".array_record") for path in data_dir.rglob("*-00000-of-00001"))
    assert "tensorflow" not in sys.modules


def test_without_the_archive_one_sentence_says_where_to_put_it(tmp_path):
    with pytest.raises(
        UserError, match=r"^MATH is not in .*1\.0\.0; put the published MATH\.tar in .*/downloads/manual, or"
    ):
        MATH(data_dir=str(tmp_path)).heldout(1)


def test_a_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(
        UserError, match=r"^There is no folder .*/nowhere/test; folder must name the extracted MATH archive"
    ):
        MATH(folder=tmp_path / "nowhere").heldout(1)
    (tmp_path / "MATH" / "test").mkdir(parents=True)
    with pytest.raises(UserError, match="^The test part of MATH is empty"):
        MATH(folder=tmp_path).heldout(1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not a JSON file; get the MATH archive anew"),
        ("[]", "lacks the text fields problem, level, type, solution; use the files"),
        (json.dumps({"problem": "Q?", "level": 3, "type": "Algebra", "solution": ""}), "lacks the text fields level;"),
        (
            json.dumps({"problem": "Q?", "level": "Level 3", "type": "Algebra", "solution": "5"}),
            "has no gold answer: its",
        ),
    ],
)
def test_a_bad_file_is_one_sentence_naming_it(tmp_path, text, sentence):
    folder = write_math(tmp_path)
    (folder / "MATH" / "train" / "algebra" / "1.json").write_text(text)
    with pytest.raises(UserError, match=rf"^\S+/train/algebra/1\.json {sentence}"):
        MATH(folder=folder).read("train")


def test_without_tfds_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    monkeypatch.delitem(sys.modules, "rlsp_jax.data.tfds_copy", raising=False)
    with pytest.raises(
        UserError, match=r"^The published data sets are read through TFDS, which lacks tensorflow_datasets: install"
    ):
        MATH().heldout(1)
