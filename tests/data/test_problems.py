"""What every set of published problems promises, shown on JSONL files; how each is read has tests of its own."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from rlsp_jax.common.describe import to_dict
from rlsp_jax.common.errors import UserError
from rlsp_jax.common.override import apply_overrides
from rlsp_jax.data import JSONL, Countdown, ProblemSource
from tests.data.releases import write_lines

ROOT = Path(__file__).parents[2]


def rows(name: str, count: int) -> list[dict]:
    return [{"problem": f"What is {i} in the {name} set?", "answer": i} for i in range(count)]


@pytest.fixture
def source(tmp_path) -> JSONL:
    train, test = (
        write_lines(tmp_path / "a.jsonl", rows("train", 10)),
        write_lines(tmp_path / "b.jsonl", rows("test", 8)),
    )
    return JSONL(train=train, test=test)


def test_an_epoch_has_every_problem_once_and_the_next_goes_on(source):
    epochs = [source.problems("train", start, 10) for start in (0, 10, 20)]
    everything = {row["problem"] for row in rows("train", 10)}
    assert all({problem.question for problem in epoch} == everything for epoch in epochs)
    assert [p.number for epoch in epochs for p in epoch] == list(range(30))  # places, so that no two in a batch agree
    assert len({tuple(p.question for p in epoch) for epoch in epochs}) == 3


def test_a_batch_is_a_function_of_its_place(source):
    ahead = source.problems("train", 7, 6)
    assert ahead == source.problems("train", 0, 13)[7:]
    assert dataclasses.replace(source, seed=1).problems("train", 7, 6) != ahead


def test_batches_are_the_same_in_another_process(source):
    code = (
        "import pathlib, sys; from rlsp_jax.data import JSONL\n"
        "print([p.question for p in JSONL(train=pathlib.Path(sys.argv[1])).problems('train', 5, 9)])"
    )
    command = [sys.executable, "-c", code, str(source.train)]
    other = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str([p.question for p in source.problems("train", 5, 9)])


def test_a_shorter_list_of_heldout_problems_is_a_prefix_of_a_longer_one(source):
    whole = source.heldout(8)
    assert source.heldout(3) == whole[:3] and source.problems("heldout", 3, 5) == whole[3:]
    assert sorted(problem.number for problem in whole) == list(range(8))  # numbered by their rows
    assert all(problem.truth == {"answer": str(problem.number)} for problem in whole)
    assert dataclasses.replace(source, seed=1).heldout(8) == whole


def test_heldout_problems_are_drawn_from_the_whole_test_part(tmp_path):
    path = write_lines(tmp_path / "test.jsonl", rows("test", 200))
    assert max(problem.number for problem in JSONL(test=path).heldout(20)) > 100


def test_a_training_problem_that_is_a_test_problem_is_left_out(tmp_path):
    again = {"problem": "what is $3$ in the test set", "answer": 3}  # the same but for its layout
    train = write_lines(tmp_path / "train.jsonl", [*rows("train", 4), again])
    source = JSONL(train=train, test=write_lines(tmp_path / "test.jsonl", rows("test", 8)))
    assert source.epoch_size() == 4 and JSONL(train=train).epoch_size() == 5
    assert again["problem"] not in {problem.question for problem in source.problems("train", 0, 20)}


def test_long_questions_may_be_left_out_of_training(source, tmp_path):
    assert JSONL(train=source.train, max_characters=27).epoch_size() == 10
    with pytest.raises(
        UserError, match="^No training problem of JSONL has at most 26 characters; raise max_characters"
    ):
        dataclasses.replace(source, max_characters=26).epoch_size()
    assert len(dataclasses.replace(source, max_characters=26).heldout(8)) == 8


def test_a_set_is_a_source_of_problems_and_a_value(source):
    assert isinstance(source, ProblemSource) and isinstance(Countdown(), ProblemSource)
    assert to_dict(source)["train"] == str(source.train) and hash(source) == hash(dataclasses.replace(source))
    assert apply_overrides(source, ["seed=3", "fields.answer=meta.gold", "test=None"]).fields.answer == "meta.gold"


def test_a_typed_question_may_bring_its_answer(source):
    assert source.parse(" What is 2 + 2? #### 4\n").truth == {"answer": "4"}
    assert (asked := source.parse("What is 2 + 2?")).question == "What is 2 + 2?" and asked.truth == {"answer": ""}


def test_nothing_asked_for_reads_nothing(tmp_path):
    assert JSONL().heldout(0) == JSONL(train=tmp_path / "missing").problems("train", 0, 0) == []


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda s: s.problems("demonstrations", 0, 1), "^JSONL has no split 'demonstrations'; its splits are"),
        (
            lambda s: s.heldout(9),
            "^9 held-out problems were asked for, but the test part of JSONL has 8; ask for at most 8",
        ),
        (lambda s: dataclasses.replace(s, test=None).heldout(1), "^The problems have no test part; give JSONL a file"),
        (
            lambda s: dataclasses.replace(s, train=None).problems("train", 0, 1),
            "no train part; give JSONL a file for it",
        ),
        (
            lambda s: dataclasses.replace(s, train=s.test).problems("train", 0, 1),
            "^Every training problem of JSONL is a",
        ),
        (lambda s: dataclasses.replace(s, train=s.test.with_name("no")).epoch_size(), "^There is no file .*no; put it"),
    ],
)
def test_what_is_not_there_is_one_sentence_that_says_what_to_do(source, ask, sentence):
    with pytest.raises(UserError, match=sentence):
        ask(source)


def test_an_empty_file_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="^The test part of JSONL is empty; see whether"):
        JSONL(test=write_lines(tmp_path / "empty.jsonl", [])).heldout(1)
