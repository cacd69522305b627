import json

import pytest

from rlsp_jax.common.codes import Verdict
from rlsp_jax.common.errors import UserError
from rlsp_jax.data.gold import last_box
from rlsp_jax.data.jsonl import Fields, read_rows
from rlsp_jax.data.problems import Row
from rlsp_jax.verifiers import Math
from tests.data.releases import REAL, needs_real, write_lines


@pytest.mark.parametrize(
    ("row", "question", "answer", "level"),
    [
        # MATH-500
        (
            {
                "problem": "Q?",
                "solution": r"\boxed{9}",
                "answer": "3",
                "subject": "Algebra",
                "level": 2,
                "unique_id": "a",
            },
            *("Q?", "3", "Level 2"),
        ),
        # GSM8K
        ({"question": "Q?", "answer": "He has <<1+2=3>>3.\n#### 3"}, "Q?", "3", "rows"),
        # AIME, as a number, as text, and with capitals
        ({"id": 60, "problem": "Q?", "solution": "…", "answer": "204", "url": "…"}, "Q?", "204", "rows"),
        ({"ID": "2024-II-4", "Problem": "Q?", "Solution": "…", "Answer": 33}, "Q?", "33", "rows"),
        # AMC
        ({"id": 0, "problem": "Q?", "answer": 27.0}, "Q?", "27", "rows"),
        ({"problem": "Q?", "answer": 0.5}, "Q?", "0.5", "rows"),
        # OlympiadBench: one answer and several
        (
            {"id": 1, "question": "Q?", "solution": ["long"], "final_answer": ["$2$"], "subfield": "Algebra"},
            *("Q?", "$2$", "Algebra"),
        ),
        ({"question": "Q?", "final_answer": ["1", "3"], "is_multiple_answer": True}, "Q?", "1, 3", "rows"),
        # Omni-MATH
        (
            {"domain": ["Algebra"], "difficulty": 4.5, "problem": "Q?", "solution": "…", "answer": "x+1"},
            "Q?",
            "x+1",
            "Difficulty 4.5",
        ),
        # Minerva: the answer is only in the solution
        ({"problem": "Q?", "solution": r"so \boxed{4.5e33}", "type": "Astronomy"}, "Q?", "4.5e33", "Astronomy"),
        ({"problem": "Q?", "solution": ["no box", r"\boxed{5}"]}, "Q?", "5", "rows"),
        # an answer in a box, one with a box in it, and one that is not there
        ({"prompt": " Q?\n", "expected_answer": r"$\boxed{12}$."}, "Q?", "12", "rows"),
        ({"prompt": "Q?", "answer": r"$\boxed{3}$ or 4"}, "Q?", r"$\boxed{3}$ or 4", "rows"),
        ({"problem": "Q?", "answer": None, "solution": r"\boxed{6}", "level": "Level 5"}, "Q?", "6", "Level 5"),
        ({"problem": "Q?", "answer": 0}, "Q?", "0", "rows"),
        # DAPO: a conversation
        (
            {"prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q?"}], "answer": 1},
            "Q?",
            "1",
            "rows",
        ),
    ],
)
def test_the_fields_of_the_common_releases_are_understood(tmp_path, row, question, answer, level):
    assert read_rows(write_lines(tmp_path / "rows.jsonl", [row])) == [Row(question, answer, level)]


def test_fields_may_be_named_and_lie_inside_others(tmp_path):
    row = {"text": "Q?", "problem": "not this", "answer": "nor this", "reward": {"gold": [1, 2]}, "meta": {"level": 3}}
    path = write_lines(tmp_path / "rows.jsonl", [row])
    assert read_rows(path, Fields("text", "reward.gold", "meta.level")) == [Row("Q?", "1, 2", "Level 3")]


def test_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path):
    path = tmp_path / "rows.jsonl"
    text = json.dumps({"problem": "a\u2028b\u0085c", "answer": "1"}, ensure_ascii=False)  # no ends of lines in JSON
    path.write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n\n  \n" + text.encode())
    assert read_rows(path) == [Row("a\u2028b\u0085c", "1", "rows")] * 2


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{'problem': 1}", "is not a JSON object; each line must be one"),
        ("[1, 2]", "is not a JSON object"),
        (b"\xff\xfe", "is not a JSON object"),
        (
            {"text": "Q?", "answer": 1},
            r"has no question under problem, question, prompt; its fields are text, answer: name",
        ),
        ({"problem": " ", "answer": 1}, "has a question that is empty or no text"),
        ({"problem": [{"role": "user"}], "answer": 1}, "has a question that is empty or no text"),
        ({"prompt": ["Q?"], "answer": 1}, "has a conversation for a question; its text must be the only message of a"),
        (
            {"problem": "Q?"},
            "has no answer under answer, final_answer, expected_answer, solution; its fields are problem",
        ),
        ({"problem": "Q?", "solution": "It is 5."}, "has no gold answer in 'solution'; mend the row"),
        ({"problem": "Q?", "answer": True}, "has no gold answer in 'answer'"),
        ({"problem": "Q?", "answer": ["1", " "]}, "has no gold answer in 'answer'"),
    ],
)
def test_a_bad_row_is_one_sentence_naming_file_and_line(tmp_path, line, sentence):
    path = tmp_path / "rows.jsonl"
    encoded = line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
    path.write_bytes(b'{"problem": "Q?", "answer": 1}\n\n' + encoded + b"\n")
    with pytest.raises(UserError, match=rf"^\S+rows\.jsonl, line 3 {sentence}"):
        read_rows(path)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (Fields(answer="gold"), "line 1 has no field 'gold'; there is problem, answer, meta"),
        (Fields(level="meta.rank"), "line 1 has no field 'meta.rank'; there is level"),
        (Fields(level="answer.rank"), r"line 1 has no field 'answer\.rank'\.$"),
    ],
)
def test_a_field_that_a_row_lacks_is_one_sentence(tmp_path, fields, sentence):
    path = write_lines(tmp_path / "rows.jsonl", [{"problem": "Q?", "answer": "1", "meta": {"level": 1}}])
    with pytest.raises(UserError, match=sentence):
        read_rows(path, fields)


@needs_real
@pytest.mark.parametrize(
    ("name", "count"), [("math500", 500), ("aime24", 30), ("aime25", 30), ("amc23", 40), ("olympiadbench", 675)]
)
def test_the_real_benchmarks_are_read_as_a_whole(name, count):
    path = REAL / f"{name}.jsonl"
    with open(path, "rb") as file:
        plain = [json.loads(line) for line in file]
    rows = read_rows(path)
    assert [(row.question, row.answer) for row in rows] == [(r["problem"].strip(), r["answer"].strip()) for r in plain]
    assert len(rows) == count


@needs_real
def test_the_last_box_of_a_real_solution_is_the_published_answer():
    with open(REAL / "math500.jsonl", "rb") as file:
        rows = [json.loads(line) for line in file]
    others = [(r["answer"], last_box(r["solution"])) for r in rows if last_box(r["solution"]) != r["answer"]]
    assert others == [(r"\frac{639}{40}", r"15\frac{39}{40}, \frac{639}{40}")]  # one value in two boxes
    assert Math().compare(*others[0]).verdict == Math().compare(*others[0][::-1]).verdict == Verdict.CORRECT
